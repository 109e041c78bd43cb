//! `heartbeat`: stock httpd's rule (`mod_lbmethod_heartbeat`). Servers say how many of their workers are
//! free (`mod_heartbeat`); of those heard of lately, one is drawn by that number. A server none of whose workers
//! is busy has probably just started, and counts for a quarter.
//!
//! `mod_heartmonitor` keeps what it hears in shared memory or in a file ([`read`]).

use std::collections::HashMap;

/// A server not heard of for so many seconds is not alive.
const LATELY: i64 = 10;

/// What a server said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Free workers.
    pub ready: i32,
    /// Busy workers.
    pub busy: i32,
    /// Seconds ago.
    pub ago: i64,
}

impl Heard {
    /// Workers it can be reckoned to have for requests.
    pub fn open(self) -> u32 {
        let ready = u32::try_from(self.ready).unwrap_or(0);
        match self.busy {
            _ if self.ago >= LATELY => 0,
            0 => ready / 4,
            _ => ready,
        }
    }
}

/// What servers said, by their hosts' names.
pub type Servers = HashMap<Vec<u8>, Heard>;

/// Reads `mod_heartmonitor`'s file: lines of `HOST &ready=N&busy=N&lastseen=SECONDS&port=N`, of which the
/// last one for a host holds. What is no such line is passed over, what is no number is 0.
pub fn read(file: &[u8]) -> Servers {
    let lines = file.split(|byte| *byte == b'\n');
    lines.filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<(Vec<u8>, Heard)> {
    let (host, said) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    if host.is_empty() || host.starts_with('#') {
        return None;
    }
    let mut heard = Heard::default();
    for (key, value) in said.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = value.trim();
        match key {
            "ready" => heard.ready = value.parse().unwrap_or(0),
            "busy" => heard.busy = value.parse().unwrap_or(0),
            "lastseen" => heard.ago = value.parse().unwrap_or(LATELY),
            _ => {}
        }
    }
    Some((host.into(), heard))
}

/// Draws one by its open workers; `None` where nobody has any.
pub fn draw<T: Copy>(open: &[(T, u32)], random: &mut fastrand::Rng) -> Option<T> {
    let all: u64 = open.iter().map(|(_, open)| u64::from(*open)).sum();
    let mut drawn = (all > 0).then(|| random.u64(..all))?;
    for (one, open) in open {
        let Some(rest) = drawn.checked_sub(u64::from(*open)) else {
            return Some(*one);
        };
        drawn = rest;
    }
    None
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(servers: &Servers, host: &str) -> Option<u32> {
        servers.get(host.as_bytes()).map(|heard| heard.open())
    }

    #[test]
    fn the_file_is_httpds() {
        let servers = read(
            b"# comment=1\n\
              10.0.0.1 &ready=40&busy=3&lastseen=2&port=80\n\
              10.0.0.2 &ready=40&busy=0&lastseen=9&port=8080\n\
              10.0.0.3 &ready=40&busy=3&lastseen=10&port=80\n\
              ::1 &busy=1&ready=7\n\
              10.0.0.4 &ready=1&busy=1&lastseen=0&port=80\n\
              10.0.0.4 &ready=2&busy=1&lastseen=0&port=80",
        );
        for (host, expected) in [
            ("10.0.0.1", 40),
            ("10.0.0.2", 10),
            ("10.0.0.3", 0),
            ("::1", 7),
            ("10.0.0.4", 2),
        ] {
            assert_eq!(open(&servers, host), Some(expected), "{host}");
        }
        assert_eq!(servers.len(), 5);
    }

    #[test]
    fn what_is_no_number_is_no_worker() {
        let servers = read(
            b"a &ready=x&busy=1&lastseen=0\nb &ready=-4&busy=1\nc &ready=99999999999&busy=1\n\
              d &ready=4&busy=1&lastseen=z\n e &ready=4\nf\n\xff &ready=4&busy=1\n",
        );
        assert_eq!(
            ["a", "b", "c", "d"].map(|host| open(&servers, host)),
            [Some(0); 4]
        );
        assert_eq!(servers.len(), 4);
    }

    #[test]
    fn one_is_drawn_by_its_open_workers() {
        let mut random = fastrand::Rng::with_seed(5);
        let servers = [('a', 10), ('b', 0), ('c', 30)];
        let mut drawn = [0; 3];
        for _ in 0..4_000 {
            let at = draw(&servers, &mut random).unwrap();
            drawn[servers.iter().position(|(name, _)| *name == at).unwrap()] += 1;
        }
        assert!((900..1_100).contains(&drawn[0]), "{drawn:?}");
        assert_eq!(drawn[1], 0);
        assert_eq!(draw(&[('a', 0)], &mut random), None);
        assert_eq!(draw::<char>(&[], &mut random), None);
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn any_file_is_survived(file: Vec<u8>, counts: Vec<u32>) {
            read(&file);
            let counts: Vec<_> = counts.into_iter().enumerate().collect();
            let drawn = draw(&counts, &mut fastrand::Rng::with_seed(6));
            prop_assert_eq!(drawn.is_some(), counts.iter().any(|(_, open)| *open > 0));
        }
    }
}
