//! Outlier ejection (`ejectafter=N`): a member that answers, but badly, is taken out for a while.
//!
//! It fails when N answers in a row are failures; or when N answers within a window of [`WINDOW`] are,
//! and that is at least half of all (linkerd's circuit breaker counts both ways, too). The window
//! begins with a failure, and only failures move it: good answers cost nothing.
//!
//! **Probation.** When it is back it owes N good answers; until then the first failure ejects it again,
//! for twice as long.

use crate::Micros;
use crate::board::record::{MemberHealth, MemberRecord};
use crate::health::{Cause, healthy, take_out};
use crate::sync::Ordering;

/// Longest ejection, unless the base time itself is longer (Envoy's `max_ejection_time`).
pub const EJECTION_MAX: Micros = 300_000_000;

/// Failures are compared with all answers over this time: 10 s.
pub const WINDOW: Micros = 10_000_000;

/// A good answer: it counts for the probation.
pub fn good(health: &MemberHealth) {
    let owed = &health.probation;
    // Read first: the line stays shared among the processes while all is well.
    if owed.load(Ordering::Relaxed) != 0 {
        let less = |owed: u32| owed.checked_sub(1);
        let _ = owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// Whether a failure, the `streak`th in a row, is one too many. The attempt has been counted in
/// `served` or `failed`.
pub fn fails(member: &MemberRecord, streak: u32, after: u32, now: Micros) -> bool {
    let often = fails_often(member, after, now);
    streak >= after || often || member.health.probation.load(Ordering::Relaxed) != 0
}

fn fails_often(member: &MemberRecord, after: u32, now: Micros) -> bool {
    let (hot, health) = (&member.hot, &member.health);
    let answers = [&hot.served, &hot.failed].iter().fold(0_u64, |sum, count| {
        sum.wrapping_add(count.load(Ordering::Relaxed))
    });
    let began = health.window_at.load(Ordering::Relaxed);
    let over = began == 0 || now.saturating_sub(began) >= WINDOW;
    if over
        && health
            .window_at
            .compare_exchange(began, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    {
        let before = answers.wrapping_sub(1);
        health.window_from.store(before, Ordering::Relaxed);
        health.window_failures.store(0, Ordering::Relaxed);
    }
    let failures = health
        .window_failures
        .fetch_add(1, Ordering::Relaxed)
        .saturating_add(1);
    let all = answers.saturating_sub(health.window_from.load(Ordering::Relaxed));
    failures >= after && u64::from(failures) * 2 >= all
}

/// The member is back from an ejection: it owes `after` good answers.
pub fn on_probation(health: &MemberHealth, after: u32) {
    health.probation.store(after, Ordering::Relaxed);
    health.window_at.store(0, Ordering::Relaxed);
}

/// How many of so many members may be out at a time: `percent` of them (`maxeject`), but one at least.
pub fn allowed(members: usize, percent: u8) -> usize {
    (members * usize::from(percent) / 100).max(1)
}

/// How long the ejection after `ejections` earlier ones lasts: `base`, doubled with each, up to ten
/// times `base` and [`EJECTION_MAX`]; with Envoy's base of 30 s that is Envoy's limit of 300 s. (Envoy
/// itself adds `base` each time, see `source/common/upstream/outlier_detection_impl.cc`.)
pub fn ejection_time(base: Micros, ejections: u32) -> Micros {
    let doubled = base.saturating_mul(1 << ejections.min(4));
    doubled
        .min(base.saturating_mul(10))
        .min(EJECTION_MAX.max(base))
}

/// Ejects a member that is not in error. True when this call did. That `maxeject` allows it is for
/// the caller to know. A `base` of 0 ejects nothing.
///
/// Ejections count as in a row when less time lies between the member's return and the next one
/// than the last one took.
pub fn eject(health: &MemberHealth, now: Micros, base: Micros) -> bool {
    if base == 0 || !healthy(health) {
        return false;
    }
    let before = health.ejections.load(Ordering::Relaxed);
    let back_for = now.saturating_sub(health.recovered_at.load(Ordering::Relaxed));
    let last = ejection_time(base, before.saturating_sub(1));
    let in_a_row = if back_for < last { before } else { 0 };
    let ejected = take_out(health, Cause::Ejected, now, ejection_time(base, in_a_row));
    if ejected {
        health
            .ejections
            .store(in_a_row.saturating_add(1), Ordering::Relaxed);
        health.streak.store(0, Ordering::Relaxed);
    }
    ejected
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{failure, recover, success};

    const SECOND: Micros = 1_000_000;
    const NOW: Micros = 5_000 * SECOND;

    /// Answers at these times, `x` a failure; which of them is one too many.
    fn first_too_many(after: u32, every: Micros, answers: &str) -> Option<usize> {
        let member = MemberRecord::default();
        let mut now = NOW;
        answers.bytes().position(|answer| {
            now += every;
            member.hot.served.fetch_add(1, Ordering::Relaxed);
            if answer == b'x' {
                fails(&member, failure(&member.health), after, now)
            } else {
                success(&member.health);
                good(&member.health);
                false
            }
        })
    }

    #[test]
    fn in_a_row_or_half_of_a_window() {
        for (after, answers, found) in [
            (3, "xx.xxx", Some(3)),
            (3, "xxx", Some(2)),
            (1, "..x", Some(2)),
            // From the first failure on: the third of five, the third of six.
            (3, ".x..xx", Some(5)),
            (3, "x..x.x", Some(5)),
            (3, "x..x..x", None),
            (5, "x.x.x.x.x", Some(8)),
            (5, "x..x..x..x..x", None),
        ] {
            assert_eq!(
                first_too_many(after, 1, answers),
                found,
                "{after}: {answers}"
            );
        }
    }

    #[test]
    fn a_window_ends() {
        assert_eq!(first_too_many(3, 6 * SECOND, "x.x.x.x.x"), None);
        assert_eq!(first_too_many(3, 2 * SECOND, "x.x.x.x.x"), Some(4));
    }

    #[test]
    fn on_probation_one_failure_is_too_many() {
        let member = MemberRecord::default();
        on_probation(&member.health, 3);
        (0..2).for_each(|_| good(&member.health));
        assert!(fails(&member, 1, 3, NOW));
        good(&member.health);
        good(&member.health);
        assert!(!fails(&member, 1, 3, NOW));
    }

    #[test]
    fn one_may_always_be_out() {
        for (members, percent, out) in [(1, 50, 1), (2, 10, 1), (5, 50, 2), (10, 100, 10)] {
            assert_eq!(allowed(members, percent), out);
        }
    }

    #[test]
    fn ejection_times_double_up_to_envoys_limit() {
        let seconds = |base: u64| -> Vec<u64> {
            (0..6)
                .map(|earlier| ejection_time(base * SECOND, earlier) / SECOND)
                .collect()
        };
        assert_eq!(seconds(30), [30, 60, 120, 240, 300, 300]);
        assert_eq!(seconds(1), [1, 2, 4, 8, 10, 10]);
        assert_eq!(seconds(100), [100, 200, 300, 300, 300, 300]);
        assert_eq!(seconds(900), [900; 6]);
        assert_eq!(ejection_time(Micros::MAX, u32::MAX), Micros::MAX);
    }

    #[test]
    fn ejections_in_a_row_grow_and_a_good_while_ends_the_row() {
        let health = MemberHealth::default();
        let base = 30 * SECOND;
        let mut now = NOW;
        for expected in [30, 60, 120] {
            assert!(eject(&health, now, base));
            assert!(
                !eject(&health, now, base),
                "only the one who ejects counts it"
            );
            assert_eq!(
                health.retry_at.load(Ordering::Relaxed),
                now + expected * SECOND
            );
            now += expected * SECOND;
            assert!(recover(&health, now));
            now += SECOND;
        }
        now += 120 * SECOND;
        assert!(eject(&health, now, base));
        assert_eq!(health.retry_at.load(Ordering::Relaxed), now + base);
    }
}
