//! Which record a key gets: its own, or one that is free.

use std::collections::HashMap;
use std::hash::Hash;

/// A record given to a configured farm or member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its index.
    pub id: u32,
    /// It has to be zeroed: it was nobody's, or somebody else's.
    pub fresh: bool,
}

/// Records by key, and free ones, while a configuration takes them.
pub struct Pool<K> {
    known: HashMap<K, (u32, bool)>,
    free: std::vec::IntoIter<u32>,
    next: u32,
}

impl<K: Eq + Hash> Pool<K> {
    /// Of each record the key, or None for a free one.
    pub fn of(records: impl Iterator<Item = Option<K>>) -> Self {
        let mut known = HashMap::new();
        let mut free = Vec::new();
        let mut next = 0;
        for (id, record) in (0..).zip(records) {
            match record {
                Some(key) => drop(known.insert(key, (id, false))),
                None => free.push(id),
            }
            next = id + 1;
        }
        Self {
            known,
            free: free.into_iter(),
            next,
        }
    }

    /// The record of that key, or a free one; None if it has been taken already.
    pub fn take(&mut self, key: K) -> Option<Given> {
        if let Some((id, taken)) = self.known.get_mut(&key) {
            let first = !std::mem::replace(taken, true);
            return first.then_some(Given {
                id: *id,
                fresh: false,
            });
        }
        let id = self.free.next().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.known.insert(key, (id, true));
        Some(Given { id, fresh: true })
    }
}
