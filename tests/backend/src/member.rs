//! A member and what it counts.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

use serde_json::{Map, Value, json};

use crate::behaviour::Behaviour;
use crate::http::Head;

/// Methods counted by name; any other is counted as the last.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other",
];

/// What a member saw. Counters are independent of one another, hence relaxed.
#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: [AtomicU64; METHODS.len()],
    answered: AtomicU64,
    aborted: AtomicU64,
    body_bytes: AtomicU64,
    peak: AtomicU64,
}

/// A member of a farm, as seen from behind.
pub struct Member {
    /// What `X-Member` says.
    pub number: usize,
    counts: Counts,
    now: AtomicU64,
    draws: AtomicU64,
    behaviour: RwLock<Arc<Behaviour>>,
    /// Requests being answered, where [`Behaviour::places`] bounds them.
    taken: Mutex<usize>,
    given_back: Condvar,
    ids: Option<Arc<File>>,
}

/// A request in service; counted as such until dropped.
pub struct InService<'a>(&'a Member);

impl Drop for InService<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

/// One of a member's places; given back when dropped.
pub struct Place<'a>(&'a Member);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.given_back.notify_one();
    }
}

impl Member {
    pub fn new(number: usize, ids: Option<Arc<File>>) -> Self {
        Self {
            number,
            counts: Counts::default(),
            now: AtomicU64::new(0),
            draws: AtomicU64::new(0),
            behaviour: RwLock::default(),
            taken: Mutex::default(),
            given_back: Condvar::new(),
            ids,
        }
    }

    pub fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(
            &self
                .behaviour
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self
            .behaviour
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    /// Waits for one of so many places.
    pub fn place(&self, places: usize) -> Option<Place<'_>> {
        if places == 0 {
            return None;
        }
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut usize| *taken >= places;
        let waited = self.given_back.wait_while(taken, full);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Some(Place(self))
    }

    /// The number of the next draw from the behaviour's distribution, over all connections.
    pub fn draw(&self) -> u64 {
        self.draws.fetch_add(1, Relaxed)
    }

    pub fn connected(&self) {
        self.counts.connections.fetch_add(1, Relaxed);
    }

    /// Counts a request whose head has come, and logs its id before anything can go wrong with it.
    pub fn received(&self, head: &Head) -> InService<'_> {
        let method = self
            .counts
            .requests
            .iter()
            .zip(METHODS)
            .find(|(_, name)| *name == head.method);
        if let Some(count) = method
            .map(|(count, _)| count)
            .or(self.counts.requests.last())
        {
            count.fetch_add(1, Relaxed);
        }
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.counts.peak.fetch_max(now, Relaxed);
        if let (Some(ids), Some(id)) = (&self.ids, head.header("x-id")) {
            let line = format!("{} {} {}\n", self.number, head.method, id.escape_ascii());
            // The test that reads the log misses the line.
            let _ = ids.as_ref().write(line.as_bytes());
        }
        InService(self)
    }

    pub fn received_body(&self, bytes: usize) {
        self.counts.body_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts an answer written to its end.
    pub fn answered(&self) {
        self.counts.answered.fetch_add(1, Relaxed);
    }

    /// Counts a request or an answer that the peer broke off.
    pub fn aborted(&self) {
        self.counts.aborted.fetch_add(1, Relaxed);
    }

    /// All counters to 0, the default behaviour; requests in service stay counted as such.
    pub fn reset(&self) {
        let counts = &self.counts;
        let single = [
            &counts.connections,
            &counts.answered,
            &counts.aborted,
            &counts.body_bytes,
            &counts.peak,
        ];
        for count in single.into_iter().chain(&counts.requests) {
            count.store(0, Relaxed);
        }
        self.draws.store(0, Relaxed);
        self.behave(Behaviour::default());
    }

    pub fn stats(&self) -> Value {
        let counts = &self.counts;
        let requests: Map<String, Value> = METHODS
            .iter()
            .zip(&counts.requests)
            .map(|(name, count)| ((*name).to_owned(), count.load(Relaxed).into()))
            .collect();
        json!({
            "member": self.number,
            "connections": counts.connections.load(Relaxed),
            "requests": requests,
            "answered": counts.answered.load(Relaxed),
            "aborted": counts.aborted.load(Relaxed),
            "body_bytes": counts.body_bytes.load(Relaxed),
            "now": self.now.load(Relaxed),
            "peak": counts.peak.load(Relaxed),
        })
    }
}
