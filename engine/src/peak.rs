//! A member's slow answers, which count by themselves until they are forgiven.
//!
//! One slow answer may be the first of many, or a pause of a garbage collector that says nothing about
//! the next. At first it counts in full, then less and less, by [`FADES`] in a half-life: one of 50 ms is
//! forgiven soon, one of 2 s is not. If the member has become slow, its average ([`crate::ewma`]) says so
//! by then. (The peak EWMA of Finagle and linkerd has one number for both: an answer ten times as slow as
//! usual keeps requests away for three half-lives, and of equal members the load follows such answers.)
//!
//! It fades in a straight line, so one word holds it for all processes: when it is forgiven. Of several
//! slow answers, the one forgiven last counts.

use crate::Micros;
use crate::ageing::float;
use crate::board::record::MemberHot;
use crate::ewma::PENALTY_MAX;
use crate::sync::Ordering;

/// What is forgiven in a half-life: 3 s. With 10 s of it, an answer of 50 ms counts for 167 ms.
const FADES: f64 = 3e6;

/// Takes an answer's time into account.
pub fn note(hot: &MemberHot, sample_us: f64, now: Micros, half_life: Micros) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number, which saturates"
    )]
    let lasts = (sample_us.min(PENALTY_MAX) * float(half_life) / FADES) as Micros;
    let until = now.saturating_add(lasts);
    hot.slow_until.fetch_max(until, Ordering::Relaxed);
}

/// Nothing is held against it.
pub fn forget(hot: &MemberHot) {
    hot.slow_until.store(0, Ordering::Relaxed);
}

/// What its slow answers count as now, in microseconds; 0 when all are forgiven.
pub fn left(hot: &MemberHot, now: Micros, half_life: Micros) -> f64 {
    let until = hot.slow_until.load(Ordering::Relaxed);
    float(until.saturating_sub(now)) * FADES / float(half_life.max(1))
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Micros = 1_000_000;
    const HALF_LIFE: Micros = 10 * SECOND;
    const START: Micros = 1_000 * SECOND;

    fn close(left: f64, expected: f64) -> bool {
        (left - expected).abs() <= 1.0
    }

    #[test]
    fn a_slow_answer_is_forgiven_in_a_straight_line() {
        let hot = MemberHot::default();
        assert!(close(left(&hot, START, HALF_LIFE), 0.0));
        note(&hot, 60_000.0, START, HALF_LIFE);
        for (after, expected) in [(0, 60e3), (50_000, 45e3), (100_000, 30e3), (200_000, 0.0)] {
            assert!(close(left(&hot, START + after, HALF_LIFE), expected));
        }
    }

    #[test]
    fn the_slowest_counts_until_another_one_does() {
        let hot = MemberHot::default();
        note(&hot, 60_000.0, START, HALF_LIFE);
        note(&hot, 5_000.0, START + 100_000, HALF_LIFE);
        assert!(close(left(&hot, START + 100_000, HALF_LIFE), 30e3));
        note(&hot, 40_000.0, START + 100_000, HALF_LIFE);
        assert!(close(left(&hot, START + 100_000, HALF_LIFE), 40e3));
        forget(&hot);
        assert!(close(left(&hot, START + 100_000, HALF_LIFE), 0.0));
    }

    #[test]
    fn an_answer_that_took_hours_is_forgiven_like_one_of_a_minute() {
        let hot = MemberHot::default();
        note(&hot, 1e11, START, HALF_LIFE);
        assert!(close(left(&hot, START, HALF_LIFE), PENALTY_MAX));
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn any_word_gives_a_time(until: u64, sample: f64, now: u64, half_life: u64) {
            let hot = MemberHot::default();
            hot.slow_until.store(until, Ordering::Relaxed);
            note(&hot, sample, now, half_life);
            let left = left(&hot, now, half_life);
            prop_assert!(left.is_finite() && left >= 0.0);
        }
    }
}
