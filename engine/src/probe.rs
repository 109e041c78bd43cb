//! When a farm has to be looked at for members in error that are due for their probe.
//!
//! The farm knows the earliest such time, so that a request reads one word while none is due. Whoever
//! comes by later claims a look at all members and writes down when the next one is. A look is a
//! lease: a child that dies at it delays the next one, and loses nobody.

use crate::Micros;
use crate::board::record::FarmHot;
use crate::sync::Ordering;

/// Whoever looks has so long until another may, should he not come to an end.
const LOOKING: Micros = 1_000_000;

/// A member's `retry_at` has become `at`. Called after that.
pub fn note(farm: &FarmHot, at: Micros) {
    let next = &farm.next_probe_at;
    // Another word in any case: a look that is under way may have passed the member already, and
    // must not end as if nobody had come.
    let earlier = |next: Micros| Some(at.min(next.saturating_sub(1)));
    let _ = next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, earlier);
}

/// Claims the look at a farm where a member may be due, for one who sees them all.
#[inline]
pub fn look(farm: &FarmHot, now: Micros, sees_all: impl FnOnce() -> bool) -> Option<Look<'_>> {
    let next = &farm.next_probe_at;
    let due = next.load(Ordering::Relaxed);
    if now < due || !sees_all() {
        return None;
    }
    let lease = now.saturating_add(LOOKING);
    let claim = next.compare_exchange(due, lease, Ordering::SeqCst, Ordering::SeqCst);
    claim.is_ok().then_some(Look {
        farm,
        lease,
        next: Micros::MAX,
    })
}

/// A look at a farm, by the one who claimed it: `again` for each member that has to be looked at
/// later, then `end`.
pub struct Look<'a> {
    farm: &'a FarmHot,
    lease: Micros,
    next: Micros,
}

impl Look<'_> {
    /// A member has to be looked at then.
    pub fn again(&mut self, at: Micros) {
        self.next = self.next.min(at);
    }

    /// Writes down when to look next, at the end of the lease if a member came meanwhile.
    pub fn end(self) {
        let next = &self.farm.next_probe_at;
        if self.next < self.lease {
            next.fetch_min(self.next, Ordering::SeqCst);
        } else {
            let _ =
                next.compare_exchange(self.lease, self.next, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 5_000_000_000;
    const RETRY: Micros = 60_000_000;

    fn farm(next: Micros) -> FarmHot {
        let farm = FarmHot::default();
        farm.next_probe_at.store(next, Ordering::Relaxed);
        farm
    }

    fn next(farm: &FarmHot) -> Micros {
        farm.next_probe_at.load(Ordering::Relaxed)
    }

    #[test]
    fn one_looks_when_a_member_is_due_and_says_when_next() {
        let farm = farm(Micros::MAX);
        assert!(look(&farm, NOW, || true).is_none());
        note(&farm, NOW + RETRY);
        assert!(look(&farm, NOW + RETRY - 1, || true).is_none());
        assert!(
            look(&farm, NOW + RETRY, || false).is_none(),
            "of an older generation"
        );
        let mut first = look(&farm, NOW + RETRY, || true).unwrap();
        assert!(look(&farm, NOW + RETRY, || true).is_none(), "one is at it");
        for at in [NOW + 3 * RETRY, NOW + 2 * RETRY] {
            first.again(at);
        }
        first.end();
        assert_eq!(next(&farm), NOW + 2 * RETRY);
        look(&farm, NOW + 2 * RETRY, || true).unwrap().end();
        assert_eq!(next(&farm), Micros::MAX);
    }

    #[test]
    fn who_is_due_still_is_looked_at_at_once() {
        let farm = farm(NOW);
        let mut first = look(&farm, NOW, || true).unwrap();
        first.again(NOW - 1);
        first.end();
        assert!(look(&farm, NOW, || true).is_some());
    }

    #[test]
    fn a_look_that_does_not_end_loses_nobody() {
        let farm = farm(NOW);
        assert!(look(&farm, NOW, || true).is_some());
        assert!(look(&farm, NOW + LOOKING, || true).is_some());
    }

    /// It failed after the look had passed it.
    #[test]
    fn a_member_that_fails_during_a_look_is_not_lost() {
        let farm = farm(NOW);
        let before = look(&farm, NOW, || true).unwrap();
        note(&farm, NOW + RETRY);
        before.end();
        assert!(next(&farm) <= NOW + RETRY);
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use crate::board::record::MemberHealth;
    use crate::health::{Cause, fail};
    use loom::sync::Arc;
    use loom::thread::spawn;

    const NOW: Micros = 1_000;
    const RETRY: Micros = 2 * LOOKING;

    /// Whatever their order, a farm with a member in error is looked at when that is due.
    #[test]
    fn a_failure_beside_a_look_is_not_lost() {
        loom::model(|| {
            let shared = Arc::new((FarmHot::default(), MemberHealth::default()));
            let theirs = Arc::clone(&shared);
            let failing = spawn(move || {
                let (farm, health) = &*theirs;
                fail(health, Cause::Connect, NOW, RETRY);
                note(farm, NOW + RETRY);
            });
            let (farm, health) = &*shared;
            if let Some(mut look) = look(farm, NOW, || true) {
                match health.retry_at.load(Ordering::SeqCst) {
                    0 => {}
                    at => look.again(at),
                }
                look.end();
            }
            failing.join().unwrap();
            assert!(farm.next_probe_at.load(Ordering::SeqCst) <= NOW + RETRY);
        });
    }
}
