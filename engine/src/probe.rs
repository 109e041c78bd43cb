//! When a farm has to be looked at for members in error that are due for their probe
//! ([`crate::lookout`]).

use crate::Micros;
use crate::board::record::FarmHot;
use crate::sync::Ordering;

/// A member's `retry_at` has become `at`. Called after that.
pub fn note(farm: &FarmHot, at: Micros) {
    let next = &farm.next_probe_at;
    // Another word in any case: a look that is under way may have passed the member already, and
    // must not end as if nobody had come.
    let earlier = |next: Micros| Some(at.min(next.saturating_sub(1)));
    let _ = next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, earlier);
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookout::claim;

    const NOW: Micros = 5_000_000_000;
    const RETRY: Micros = 60_000_000;

    /// It failed after the look had passed it.
    #[test]
    fn a_member_that_fails_during_a_look_is_not_lost() {
        let farm = FarmHot::default();
        let look = claim(&farm.next_probe_at, || NOW, || true).unwrap();
        note(&farm, NOW + RETRY);
        look.end();
        assert!(farm.next_probe_at.load(Ordering::Relaxed) <= NOW + RETRY);
    }

    #[test]
    fn the_first_that_is_due_says_when() {
        let farm = FarmHot::default();
        farm.next_probe_at.store(Micros::MAX, Ordering::Relaxed);
        for at in [NOW + RETRY, NOW, NOW + 2 * RETRY] {
            note(&farm, at);
        }
        assert!(claim(&farm.next_probe_at, || NOW - 3, || true).is_none());
        assert!(claim(&farm.next_probe_at, || NOW, || true).is_some());
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use crate::board::record::MemberHealth;
    use crate::health::{Cause, fail};
    use crate::lookout::claim;
    use loom::sync::Arc;
    use loom::thread::spawn;

    const NOW: Micros = 1_000;
    const RETRY: Micros = 2_000_000;

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
            if let Some(mut look) = claim(&farm.next_probe_at, || NOW, || true) {
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
