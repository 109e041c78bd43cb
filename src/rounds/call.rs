//! One errand on its way: to each address of its place until there is a connection; then what it says
//! is written, and what comes is read.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use athena_engine::Micros;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{End, Errand};

/// Read at a time.
const PART: usize = 512;

pub struct Call {
    /// Dropped first: it is closed before somebody else has the errand's turn.
    stream: Option<TcpStream>,
    /// Until it has ended.
    errand: Option<Box<dyn Errand>>,
    /// Those not tried yet, the next one last.
    pub addresses: Vec<IpAddr>,
    connected: bool,
    said: usize,
    heard: Vec<u8>,
    until: Micros,
}

impl Call {
    pub fn new(errand: Box<dyn Errand>, now: Micros) -> Self {
        Self {
            until: now.saturating_add(errand.patience()),
            errand: Some(errand),
            addresses: Vec::new(),
            stream: None,
            connected: false,
            said: 0,
            heard: Vec::new(),
        }
    }

    pub fn host(&self) -> &str {
        self.errand.as_ref().map_or("", |errand| errand.place().0)
    }

    pub fn is_late(&self, now: Micros) -> bool {
        self.until <= now
    }

    pub fn goes_on(&mut self, now: Micros) -> bool {
        let errand = self.errand.as_mut();
        errand.is_some_and(|errand| errand.goes_on(now))
    }

    /// Begins to connect to the next address. False: there is none.
    pub fn connect(&mut self, registry: &Registry, token: Token) -> bool {
        let port = self.errand.as_ref().map_or(0, |errand| errand.place().1);
        self.stream = None;
        while let Some(address) = self.addresses.pop() {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            let registered = connecting.and_then(|mut stream| {
                registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                Ok(stream)
            });
            if let Ok(stream) = registered {
                self.stream = Some(stream);
                return true;
            }
        }
        false
    }

    /// Does what can be done without waiting. How it ends, once it does; [`End::Refused`]: not at this
    /// address.
    pub fn step(&mut self) -> Option<End> {
        let (Some(errand), Some(stream)) = (&self.errand, &mut self.stream) else {
            return Some(End::Closed);
        };
        if !self.connected {
            if !matches!(stream.take_error(), Ok(None)) {
                return Some(End::Refused);
            }
            match stream.peer_addr() {
                Ok(_) => self.connected = true,
                Err(error) if error.kind() == ErrorKind::NotConnected => return None,
                Err(_) => return Some(End::Refused),
            }
        }
        while let Some(rest) = errand
            .says()
            .get(self.said..)
            .filter(|rest| !rest.is_empty())
        {
            match stream.write(rest) {
                Ok(length) => self.said += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(End::Closed),
            }
        }
        let mut part = [0; PART];
        while !errand.is_enough(&self.heard) {
            match stream.read(&mut part) {
                Ok(0) => return Some(End::Closed),
                Ok(length) => self
                    .heard
                    .extend_from_slice(part.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(End::Closed),
            }
        }
        Some(End::Answered)
    }

    pub fn end(&mut self, end: End) {
        // Nothing is left of it by the time its result takes effect.
        self.stream = None;
        if let Some(errand) = self.errand.take() {
            errand.end(&self.heard, end);
        }
    }
}
