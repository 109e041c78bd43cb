//! HTTP/1 as far as a back end needs it: heads by httparse, bodies counted and thrown away.

use std::io::{self, ErrorKind, Read, Write};

/// Where a request comes from: TCP or a unix socket.
pub trait Socket: Read + Write + Send + 'static {}

impl<T: Read + Write + Send + 'static> Socket for T {}

const MAX_HEADERS: usize = 128;
const MAX_HEAD: usize = 1 << 20;

/// A request's head.
pub struct Head {
    pub method: String,
    /// The target as it came, byte for byte.
    pub target: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor: u8,
}

impl Head {
    /// The first header of that name, compared without case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self
            .headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }

    fn says(&self, name: &str, word: &str) -> bool {
        self.header(name)
            .is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The target without its query.
    pub fn path(&self) -> &[u8] {
        self.target
            .split(|&byte| byte == b'?')
            .next()
            .unwrap_or_default()
    }

    pub fn keep_alive(&self) -> bool {
        match self.minor {
            0 => self.says("connection", "keep-alive"),
            _ => !self.says("connection", "close"),
        }
    }

    pub fn wants_websocket(&self) -> bool {
        self.says("upgrade", "websocket")
    }
}

/// A connection and what was read of it ahead.
pub struct Connection<S> {
    stream: S,
    ahead: Vec<u8>,
}

impl<S: Socket> Connection<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// The next request's head; `None` when the peer closed between two requests.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, length)) = parse(&self.ahead)? {
                self.ahead.drain(..length);
                return Ok(Some(head));
            }
            if self.ahead.len() > MAX_HEAD {
                return Err(ErrorKind::InvalidData.into());
            }
            let idle = self.ahead.is_empty();
            match self.fill() {
                Ok(()) => {}
                Err(_) if idle => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a request's body and hands each piece to `take`.
    pub fn body(&mut self, head: &Head, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        if head.says("expect", "100-continue") {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if head.says("transfer-encoding", "chunked") {
            return self.chunks(take);
        }
        let length = match head.header("content-length") {
            Some(digits) => number(digits)?,
            None => 0,
        };
        self.exactly(length, &mut take)
    }

    fn chunks(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            match httparse::parse_chunk_size(&self.ahead) {
                Ok(httparse::Status::Complete((line, size))) => {
                    self.ahead.drain(..line);
                    self.exactly(size, &mut take)?;
                    // The line end after a chunk; after the last one too, for want of trailers.
                    self.exactly(2, &mut |_| {})?;
                    if size == 0 {
                        return Ok(());
                    }
                }
                Ok(httparse::Status::Partial) => self.fill()?,
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            }
        }
    }

    fn exactly(&mut self, mut left: u64, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            if self.ahead.is_empty() {
                self.fill()?;
            }
            let length = self
                .ahead
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let piece: Vec<u8> = self.ahead.drain(..length).collect();
            take(&piece);
            left -= length as u64;
        }
        Ok(())
    }

    /// Reads once; an end of stream is an error, since more was due.
    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let length = self.stream.read(&mut piece)?;
        match piece.get(..length) {
            Some(read) if !read.is_empty() => self.ahead.extend_from_slice(read),
            _ => return Err(ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The socket itself and the bytes read ahead, for another protocol.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.ahead)
    }
}

fn number(digits: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(digits).map_err(|_| ErrorKind::InvalidData)?;
    text.trim()
        .parse()
        .map_err(|_| ErrorKind::InvalidData.into())
}

fn parse(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
    };
    let target = request.path.unwrap_or_default().as_bytes().to_vec();
    let head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        target,
        headers: request
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), header.value.to_vec()))
            .collect(),
        minor: request.version.unwrap_or_default(),
    };
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// What a peer sends, given out one byte a read.
    struct Drip(Cursor<Vec<u8>>);

    impl Read for Drip {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buf[..1])
        }
    }

    impl Write for Drip {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drip(text: &[u8]) -> Connection<Drip> {
        Connection::new(Drip(Cursor::new(text.to_vec())))
    }

    #[test]
    fn two_requests_with_bodies_of_either_framing() {
        let mut connection = drip(
            b"POST /a%20b?q=\xc3\xa9 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
              PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n",
        );
        let mut bodies = Vec::new();
        let mut targets = Vec::new();
        while let Some(head) = connection.head().unwrap() {
            connection
                .body(&head, |piece| bodies.extend_from_slice(piece))
                .unwrap();
            targets.push(head.target);
        }
        assert_eq!(targets, [b"/a%20b?q=\xc3\xa9".to_vec(), b"/c".to_vec()]);
        assert_eq!(bodies, b"abcdef");
    }

    #[test]
    fn a_peer_that_leaves_within_a_request_is_an_error() {
        assert!(drip(b"GET / HT").head().is_err());
        let mut connection = drip(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab");
        let head = connection.head().unwrap().unwrap();
        assert!(connection.body(&head, |_| {}).is_err());
    }

    #[test]
    fn keep_alive_follows_the_version() {
        let keeps = |text: &[u8]| drip(text).head().unwrap().unwrap().keep_alive();
        assert!(keeps(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(!keeps(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(!keeps(b"GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    }
}
