//! A member's answers.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocket};

use crate::behaviour::{Behaviour, Close};
use crate::http::{Connection, Head, Socket};
use crate::member::{InService, Member};

const PIECES: usize = 10;
static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// Serves a connection until either side has enough of it.
pub fn serve<S: Socket>(mut connection: Connection<S>, member: &Member) {
    member.connected();
    let mut answers = 0;
    loop {
        let head = match connection.head() {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(_) => return member.aborted(),
        };
        let in_service = member.received(&head);
        if head.wants_websocket() && head.path().ends_with(b"/ws") {
            return echo_messages(connection, &head, member);
        }
        let behaviour = member.behaviour();
        let behaviour = behaviour.asked(&head.target);
        match exchange(&mut connection, &head, member, &behaviour, in_service) {
            Ok(true) => member.answered(),
            Ok(false) => return,
            Err(_) => return member.aborted(),
        }
        answers += 1;
        if !head.keep_alive() || answers == behaviour.close_after {
            return;
        }
    }
}

/// One request and its answer; `false` where the behaviour breaks the answer off. The request is in
/// service until its last byte is written: whoever has read that may send the next one.
fn exchange<S: Socket>(
    connection: &mut Connection<S>,
    head: &Head,
    member: &Member,
    behaviour: &Behaviour,
    in_service: InService<'_>,
) -> io::Result<bool> {
    connection.body(head, |piece| member.received_body(piece.len()))?;
    let _place = member.place(behaviour.places);
    if behaviour.delay_ms > 0.0 {
        thread::sleep(behaviour.delay(member.draw()));
    }
    while behaviour.hold && member.behaviour().hold {
        thread::sleep(Duration::from_millis(2));
    }
    if behaviour.close == Some(Close::Head) {
        return Ok(false);
    }

    let echo = head
        .path()
        .ends_with(b"/echo")
        .then(|| echo(head, member).to_string());
    let text = echo.unwrap_or_else(|| format!("member {}\n", member.number));
    let length = behaviour.size.unwrap_or(text.len());
    let mut out = answer_head(head, member, behaviour, length)?;
    if head.method == "HEAD" {
        drop(in_service);
        connection.write(&out)?;
        return Ok(true);
    }
    if behaviour.size.is_none() {
        out.extend_from_slice(text.as_bytes());
    }
    let filler = behaviour.size.unwrap_or(0);
    match behaviour.close {
        Some(Close::Body) => {
            out.truncate(out.len() - (length - filler) / 2);
            fill(connection, out, filler / 2, Some(in_service))?;
            Ok(false)
        }
        _ if behaviour.slow_ms > 0 => {
            connection.write(&out)?;
            let mut in_service = Some(in_service);
            for piece in 0..PIECES {
                thread::sleep(Duration::from_millis(behaviour.slow_ms));
                let upto = |piece| filler * piece / PIECES;
                let length = upto(piece + 1) - upto(piece);
                let last = in_service.take_if(|_| piece + 1 == PIECES);
                fill(connection, Vec::new(), length, last)?;
            }
            Ok(true)
        }
        _ => fill(connection, out, filler, Some(in_service)).map(|()| true),
    }
}

/// Writes `out` and `filler` bytes, the small ones in one go, and ends the service before the last.
fn fill<S: Socket>(
    connection: &mut Connection<S>,
    mut out: Vec<u8>,
    mut filler: usize,
    mut last: Option<InService<'_>>,
) -> io::Result<()> {
    while let Some(piece) = FILLER.get(..filler.min(FILLER.len())) {
        out.extend_from_slice(piece);
        filler -= piece.len();
        if filler == 0 {
            last.take();
        }
        connection.write(&out)?;
        out.clear();
        if filler == 0 {
            break;
        }
    }
    Ok(())
}

fn answer_head(
    head: &Head,
    member: &Member,
    behaviour: &Behaviour,
    length: usize,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    let (status, number) = (behaviour.status, member.number);
    write!(
        out,
        "HTTP/1.1 {status} Status\r\nContent-Type: text/plain\r\n"
    )?;
    write!(
        out,
        "Content-Length: {length}\r\nX-Member: {number}\r\nX-Target: "
    )?;
    out.extend_from_slice(&head.target);
    out.extend_from_slice(b"\r\n");
    for (name, value) in &behaviour.headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    match (head.minor, head.keep_alive()) {
        (0, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

/// The request as it came, for who wants to see what a proxy made of it.
fn echo(head: &Head, member: &Member) -> Value {
    let headers: Vec<(&str, String)> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    json!({
        "member": member.number,
        "method": head.method,
        "target": String::from_utf8_lossy(&head.target),
        "headers": headers,
    })
}

/// Sends every message back until the peer closes.
fn echo_messages<S: Socket>(mut connection: Connection<S>, head: &Head, member: &Member) {
    let key = derive_accept_key(head.header("sec-websocket-key").unwrap_or_default());
    let opened = connection.write(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\nX-Member: {}\r\n\r\n",
            member.number
        )
        .as_bytes(),
    );
    if opened.is_err() {
        return member.aborted();
    }
    let (stream, ahead) = connection.into_parts();
    let mut socket = WebSocket::from_partially_read(stream, ahead, Role::Server, None);
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => {
                if socket.send(message).is_err() {
                    return member.aborted();
                }
            }
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return member.answered(),
            Err(_) => return member.aborted(),
        }
    }
}
