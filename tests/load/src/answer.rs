//! One HTTP/1.1 request and its answer on an open connection.

use std::io::{self, Read, Write};

/// Largest head of an answer.
const HEAD_MAX: usize = 16 * 1024;

/// What matters of an answer.
pub struct Answer {
    pub status: u16,
    /// The connection may be used again.
    pub keeps_alive: bool,
}

/// Sends a GET and reads its whole answer, whose length the server announces.
pub fn fetch(stream: &mut (impl Read + Write), path: &str) -> io::Result<Answer> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut read = Vec::with_capacity(2048);
    loop {
        let before = read.len();
        read.resize(before + 2048, 0);
        let more = stream.read(read.get_mut(before..).unwrap_or_default())?;
        read.truncate(before + more);
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((answer, head, body)) = parse(&read)? {
            skip(stream, (head + body).saturating_sub(read.len()))?;
            return Ok(answer);
        }
        if read.len() > HEAD_MAX {
            return Err(io::Error::other("the head of the answer is too long"));
        }
    }
}

/// The answer, and the lengths of its head and body; `None` while the head is incomplete.
fn parse(read: &[u8]) -> io::Result<Option<(Answer, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(read).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = answer
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let length = header("content-length").and_then(|length| length.parse().ok());
    let Some(body) = length else {
        return Err(io::Error::other("an answer without a length"));
    };
    let keeps_alive = header("connection").is_none_or(|word| !word.eq_ignore_ascii_case("close"));
    let status = answer.code.unwrap_or_default();
    Ok(Some((
        Answer {
            status,
            keeps_alive,
        },
        head,
        body,
    )))
}

fn skip(stream: &mut impl Read, bytes: usize) -> io::Result<()> {
    let skipped = io::copy(&mut stream.take(bytes as u64), &mut io::sink())?;
    if skipped == bytes as u64 {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_as_servers_send_them() {
        let whole = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nConnection: close\r\n\r\nab";
        let (answer, head, body) = parse(whole).unwrap().unwrap();
        assert_eq!((answer.status, answer.keeps_alive), (503, false));
        assert_eq!((head, body), (whole.len() - 2, 4));
        assert!(parse(whole.get(..20).unwrap()).unwrap().is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
