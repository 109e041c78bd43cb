//! Who looks at all members of a farm when one of them is due for something: for its probe
//! ([`crate::probe`]), or to report ([`crate::stats::expect`]).
//!
//! The farm has a word for each that says when, so that a request reads one word while none is due; at
//! `Micros::MAX` none ever is. Whoever comes by later claims a look and writes down when the next one is. A
//! look is a lease: a child that dies at it delays the next one, and loses nobody.

use crate::Micros;
use crate::sync::{AtomicU64, Ordering};

/// Whoever looks has so long until another may, should he not come to an end.
const LOOKING: Micros = 1_000_000;

/// Claims the look that `next` says, if it is due, for one who sees all members: a child of an older
/// generation leaves it to others. The clock is read where there can be one.
#[inline]
pub fn claim(
    next: &AtomicU64,
    clock: impl FnOnce() -> Micros,
    sees_all: impl FnOnce() -> bool,
) -> Option<Look<'_>> {
    let due = next.load(Ordering::Relaxed);
    if due == Micros::MAX {
        return None;
    }
    let now = clock();
    if now < due || !sees_all() {
        return None;
    }
    let look = Look {
        next,
        now,
        again: Micros::MAX,
    };
    next.compare_exchange(due, look.lease(), Ordering::SeqCst, Ordering::SeqCst)
        .is_ok()
        .then_some(look)
}

/// A look at a farm, by the one who claimed it: `again` for each member that has to be looked at
/// later, then `end`.
pub struct Look<'a> {
    next: &'a AtomicU64,
    now: Micros,
    again: Micros,
}

impl Look<'_> {
    /// When it was claimed.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// A member has to be looked at then.
    pub fn again(&mut self, at: Micros) {
        self.again = self.again.min(at);
    }

    /// Writes down when to look next, at the end of the lease if a member came meanwhile.
    pub fn end(self) {
        let lease = self.lease();
        if self.again < lease {
            self.next.fetch_min(self.again, Ordering::SeqCst);
        } else {
            let order = Ordering::SeqCst;
            let _ = self.next.compare_exchange(lease, self.again, order, order);
        }
    }

    fn lease(&self) -> Micros {
        self.now.saturating_add(LOOKING)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 5_000_000_000;
    const LATER: Micros = NOW + 60_000_000;

    fn look(next: &AtomicU64, now: Micros) -> Option<Look<'_>> {
        claim(next, || now, || true)
    }

    #[test]
    fn one_looks_when_a_member_is_due_and_says_when_next() {
        let next = AtomicU64::new(NOW);
        assert!(look(&next, NOW - 1).is_none());
        let old = claim(&next, || NOW, || false);
        assert!(old.is_none(), "it does not see all");
        let mut first = look(&next, NOW).unwrap();
        assert!(look(&next, NOW).is_none(), "one is at it");
        for at in [LATER + 1, LATER] {
            first.again(at);
        }
        first.end();
        assert!(look(&next, LATER - 1).is_none());
        look(&next, LATER).unwrap().end();
        let clock = || panic!("where none is due, the clock is not read");
        assert!(claim(&next, clock, || true).is_none());
    }

    #[test]
    fn who_is_due_still_is_looked_at_at_once() {
        let next = AtomicU64::new(NOW);
        let mut first = look(&next, NOW).unwrap();
        first.again(NOW - 1);
        first.end();
        assert!(look(&next, NOW).is_some());
    }

    #[test]
    fn a_look_that_does_not_end_loses_nobody() {
        let next = AtomicU64::new(NOW);
        assert!(look(&next, NOW).is_some());
        assert!(look(&next, NOW + LOOKING - 1).is_none());
        assert!(look(&next, NOW + LOOKING).is_some());
    }
}
