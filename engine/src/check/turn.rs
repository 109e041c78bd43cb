//! Whose turn a check is, and what checks in a row come to: over all processes, through two words on
//! the board.
//!
//! A turn is a lease of the word `check_at`, moved by compare-and-swap: whoever moves it checks the
//! member, and moves it on while the check lasts. If that process dies, the lease ends by itself; if
//! it was only held up, it finds that the turn is another's, and its result does not count.

use super::{Check, LEASE};
use crate::Micros;
use crate::board::record::MemberHealth;
use crate::sync::Ordering;

/// The right to check a member. Dropped, it lasts until its lease ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn(Micros);

impl Turn {
    /// Takes the turn of a member whose check is due.
    pub fn take(health: &MemberHealth, now: Micros) -> Option<Self> {
        let due = health.check_at.load(Ordering::Relaxed);
        let mut turn = Self(due);
        (due <= now && turn.keep(health, now)).then_some(turn)
    }

    /// Lasts on. False: it is another's.
    pub fn keep(&mut self, health: &MemberHealth, now: Micros) -> bool {
        let until = now.saturating_add(LEASE);
        let kept = self.pass_on(health, until);
        if kept {
            self.0 = until;
        }
        kept
    }

    /// The next one's is due then.
    pub fn end(self, health: &MemberHealth, next: Micros) {
        self.pass_on(health, next);
    }

    fn pass_on(&self, health: &MemberHealth, at: Micros) -> bool {
        let word = &health.check_at;
        word.compare_exchange(self.0, at, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

impl Check {
    /// Counts the result of a check in turn. True when it changes the member's state; `down`: its
    /// checks have it down so far.
    pub fn turns(&self, health: &MemberHealth, passed: bool, down: bool) -> bool {
        let before = health.check_run.load(Ordering::Relaxed);
        let run = if passed {
            before.max(0).saturating_add(1)
        } else {
            before.min(0).saturating_sub(1)
        };
        health.check_run.store(run, Ordering::Relaxed);
        let enough = if down { self.passes } else { self.fails };
        passed == down && run.unsigned_abs() >= u64::from(enough)
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use loom::sync::Arc;
    use loom::thread::spawn;

    const NOW: Micros = 1_000;

    /// Of two children that find a check due, and one that was held up in the last, one makes it.
    #[test]
    fn a_check_is_one_childs() {
        loom::model(|| {
            let health = Arc::new(MemberHealth::default());
            let held_up = Turn::take(&health, NOW).unwrap();
            let shared = Arc::clone(&health);
            let ended = spawn(move || held_up.end(&shared, NOW + 2 * LEASE));
            let shared = Arc::clone(&health);
            let other = spawn(move || Turn::take(&shared, NOW + LEASE).is_some());
            let one = Turn::take(&health, NOW + LEASE).is_some();
            ended.join().unwrap();
            assert!(!(one & other.join().unwrap()));
        });
    }
}
