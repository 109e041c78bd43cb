//! Places of those who follow the events as they happen. Each keeps a worker, so there are few, for
//! all children together. A place is let for some seconds and renewed: who dies with one loses it.

use super::Board;
use crate::Micros;
use crate::sync::{AtomicU64, Ordering};

/// How many may follow at a time.
pub const WATCHERS: usize = 8;
/// For how long a place is let.
const LEASE: Micros = 10_000_000;

/// A place, until it is dropped or no longer renewed.
#[derive(Debug)]
pub struct Watcher {
    place: &'static AtomicU64,
    until: Micros,
}

impl Board {
    /// Takes a place; `None` when others have them all.
    pub fn watch(&self, now: Micros) -> Option<Watcher> {
        self.view
            .header
            .watchers
            .iter()
            .find_map(|place| take(place, now))
    }
}

fn take(place: &'static AtomicU64, now: Micros) -> Option<Watcher> {
    let before = place.load(Ordering::Relaxed);
    // What lies further ahead nobody let: it is from before a reboot, or garbage.
    if before > now && before - now <= LEASE {
        return None;
    }
    let mut watcher = Watcher {
        place,
        until: before,
    };
    watcher.renew(now).then_some(watcher)
}

impl Watcher {
    /// Keeps the place. False when somebody else has it.
    pub fn renew(&mut self, now: Micros) -> bool {
        let until = now.saturating_add(LEASE);
        let order = Ordering::Relaxed;
        let kept = self
            .place
            .compare_exchange(self.until, until, order, order)
            .is_ok();
        if kept {
            self.until = until;
        }
        kept
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let order = Ordering::Relaxed;
        // Somebody else's stays.
        let _ = self.place.compare_exchange(self.until, 0, order, order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(until: Micros) -> &'static AtomicU64 {
        Box::leak(Box::new(AtomicU64::new(until)))
    }

    #[test]
    fn a_place_is_one_watchers_until_it_is_given_back() {
        let place = place(0);
        let mut first = take(place, 5).unwrap();
        assert!(take(place, 6).is_none());
        assert!(first.renew(7));
        assert!(take(place, 7 + LEASE - 1).is_none());
        drop(first);
        assert!(take(place, 8).is_some());
    }

    #[test]
    fn who_does_not_renew_loses_it() {
        let place = place(0);
        let mut dead = take(place, 5).unwrap();
        let heir = take(place, 5 + LEASE).unwrap();
        assert!(!dead.renew(6 + LEASE));
        drop(dead);
        assert!(take(place, 7 + LEASE).is_none());
        drop(heir);
    }

    #[test]
    fn garbage_is_no_lease() {
        assert!(take(place(u64::MAX), 5).is_some());
    }
}
