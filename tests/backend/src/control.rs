//! The control port: `GET /stats`, `POST /member/N` with a behaviour, `POST /reset`.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::behaviour::Behaviour;
use crate::http::{Connection, Head, Socket};
use crate::member::Member;

/// Serves a connection to the control port.
pub fn serve<S: Socket>(mut connection: Connection<S>, members: &[Arc<Member>]) {
    while let Ok(Some(head)) = connection.head() {
        if exchange(&mut connection, &head, members).is_err() || !head.keep_alive() {
            return;
        }
    }
}

fn exchange<S: Socket>(
    connection: &mut Connection<S>,
    head: &Head,
    members: &[Arc<Member>],
) -> io::Result<()> {
    let mut body = Vec::new();
    connection.body(head, |piece| body.extend_from_slice(piece))?;
    let (status, answer) = match control(head, &body, members) {
        Ok(answer) => ("200 OK", answer.to_string()),
        Err(why) => ("400 Bad Request", why),
    };
    let length = answer.len();
    connection
        .write(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{answer}").as_bytes())
}

fn control(head: &Head, body: &[u8], members: &[Arc<Member>]) -> Result<Value, String> {
    let path = String::from_utf8_lossy(head.path());
    match (head.method.as_str(), path.as_ref()) {
        ("GET", "/stats") => {
            let stats: Vec<Value> = members.iter().map(|member| member.stats()).collect();
            Ok(json!({ "members": stats }))
        }
        ("POST", "/reset") => {
            for member in members {
                member.reset();
            }
            Ok(json!({}))
        }
        ("POST", path) => {
            let number = path
                .strip_prefix("/member/")
                .and_then(|number| number.parse().ok());
            let member = members.iter().find(|member| Some(member.number) == number);
            let member = member.ok_or_else(|| format!("no such member: {path}"))?;
            let behaviour: Behaviour =
                serde_json::from_slice(body).map_err(|error| error.to_string())?;
            member.behave(behaviour);
            Ok(json!({}))
        }
        _ => Err("GET /stats, POST /member/N, POST /reset".to_owned()),
    }
}
