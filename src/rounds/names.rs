//! Names of places. A name is looked up in a thread of its own, since that may take long, and kept
//! until a connection there fails: the name may have other addresses by then.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

#[derive(Default)]
pub struct Names {
    known: HashMap<String, Vec<IpAddr>>,
    /// Being looked up: never twice at a time.
    asked: HashMap<String, Receiver<Vec<IpAddr>>>,
}

/// What is known of a name.
pub enum Found {
    /// Its addresses, the one to try first last.
    Addresses(Vec<IpAddr>),
    /// It has none.
    Nothing,
    /// To be seen.
    Later,
}

impl Names {
    /// The addresses of a name; an address is its own.
    pub fn find(&mut self, host: &str) -> Found {
        if let Ok(address) = host.parse() {
            return Found::Addresses(vec![address]);
        }
        if let Some(addresses) = self.known.get(host) {
            return Found::Addresses(addresses.clone());
        }
        let Some(answer) = self.asked.get(host) else {
            return self.ask(host);
        };
        let addresses = match answer.try_recv() {
            Err(TryRecvError::Empty) => return Found::Later,
            Err(TryRecvError::Disconnected) => Vec::new(),
            Ok(addresses) => addresses,
        };
        self.asked.remove(host);
        if addresses.is_empty() {
            return Found::Nothing;
        }
        self.known.insert(host.to_owned(), addresses.clone());
        Found::Addresses(addresses)
    }

    /// To be looked up again.
    pub fn forget(&mut self, host: &str) {
        self.known.remove(host);
    }

    fn ask(&mut self, host: &str) -> Found {
        let (tell, answer) = sync_channel(1);
        let name = host.to_owned();
        let look_up = move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            let mut addresses: Vec<_> = found
                .map(|found| found.map(|address| address.ip()).collect())
                .unwrap_or_default();
            addresses.reverse();
            // Nobody may want to know any more.
            let _ = tell.send(addresses);
        };
        match thread::Builder::new().spawn(look_up) {
            Ok(_) => {
                self.asked.insert(host.to_owned(), answer);
                Found::Later
            }
            Err(_) => Found::Nothing,
        }
    }
}
