//! A member's response time on average, shared by all processes over two atomics.
//!
//! An exponentially weighted moving average of some [`ANSWERS`]; what a single slow answer says beyond that
//! is [`crate::peak`]'s. While there are no answers it fades by half-lives, so that a slow member is tried
//! again some time. Like linkerd's (`linkerd/ewma/src/lib.rs`) it takes the time as an argument and does
//! not change when it is read.
//!
//! Two atomics and no lock: a sample first moves the time stamp, by which it owns the interval since
//! the stamp's former value; then it moves the estimate by compare-and-swap, with that interval's
//! decay. No interval is counted twice, whatever the interleaving; one that is overtaken between its
//! two steps only reads a slightly older estimate.
//!
//! All times are microseconds, estimates as `f64`.

use crate::Micros;
use crate::ageing::{self, decay, float};
use crate::board::record::MemberHot;
use crate::peak;
use crate::sync::Ordering;

/// What repeated failures count as, at least: 1 s. The idea is linkerd's `PenaltyPeakEwma`
/// (linkerd2-proxy #4537): without it, a member that fails fast looks like the fastest.
pub const PENALTY: f64 = 1e6;

/// What they can drive the average to: 60 s.
pub const PENALTY_MAX: f64 = 60e6;

/// What the first failure counts as, at least: 250 ms.
const DOUBT: f64 = PENALTY / 4.0;

/// Each answer moves the average by a part of this many.
const ANSWERS: f64 = 32.0;

/// No response is faster than the clock's resolution; also keeps 0, which is "unknown", free.
const FASTEST: f64 = 1.0;

/// Takes an answer's time into account.
///
/// The first one may have been made by a process that has just started: the average is
/// [`usual`] with the second, and begins with the faster of them.
pub fn observe(hot: &MemberHot, sample_us: f64, now: Micros, half_life: Micros) {
    if !sample_us.is_finite() || sample_us < 0.0 {
        return;
    }
    let sample = sample_us.max(FASTEST);
    peak::note(hot, sample, now, half_life);
    learn(hot, now, half_life, |average, kept| match average {
        None => marked(sample, 0),
        Some(first) if !is(USUAL, first) => marked(first.min(sample), USUAL),
        Some(average) => {
            // A slow member that is tried again is what it was, or has become faster.
            let present = average * kept;
            let from = if sample > present { average } else { present };
            marked(from + (sample - from) * weight(sample, half_life), USUAL)
        }
    });
}

/// What an answer counts for: no less than the part of a half-life that it took. A member that answers
/// after seconds must not be taken for a fast one until it has done so many times.
fn weight(sample: f64, half_life: Micros) -> f64 {
    (sample / float(half_life.max(1))).clamp(1.0 / ANSWERS, 1.0)
}

/// Moves the average to `change(average, kept)`: what it was with the last answer, if known, and the part
/// of it that the time since then has left.
fn learn(
    hot: &MemberHot,
    now: Micros,
    half_life: Micros,
    change: impl Fn(Option<f64>, f64) -> f64,
) {
    let change = |bits, kept| change(known(bits), kept);
    ageing::update(&hot.ewma, &hot.ewma_at, now, half_life, change);
}

/// Takes a failed attempt into account that lasted `elapsed_us`.
///
/// Once may be chance, and be it that the member is gone, another attempt has to find out: it counts as a
/// slow answer of [`DOUBT`], which is forgiven soon, even if nothing else is known. If an attempt that
/// began after it fails as well, the average is raised to [`PENALTY`], to the attempt's own time or to
/// twice of what it is, whichever is most: it has been too inviting, however many requests the other
/// members have in flight. Attempts that fail together were under way before, and count once.
pub fn penalise(hot: &MemberHot, elapsed_us: f64, now: Micros, half_life: Micros) {
    let elapsed = if elapsed_us.is_finite() {
        elapsed_us.max(0.0)
    } else {
        0.0
    };
    let observed_at = float(hot.ewma_at.load(Ordering::Acquire));
    let chosen_again = float(now) - elapsed >= observed_at;
    peak::note(hot, elapsed.max(DOUBT), now, half_life);
    learn(hot, now, half_life, |average, kept| match average {
        None => marked(DOUBT, FAILED),
        Some(average) if !is(FAILED, average) => marked(average, marks(average) | FAILED),
        Some(average) if !chosen_again => average,
        Some(average) => {
            let present = average * kept;
            let raised = (2.0 * present).min(PENALTY_MAX.max(present));
            marked(raised.max(PENALTY).max(elapsed), USUAL | FAILED)
        }
    });
}

/// With the first answer of a member that was out of service: what was learnt until then, penalties
/// above all, is about one that failed. How long that answer took says little, either: it was made by a
/// process that may have just started, over a new connection.
pub fn forget(hot: &MemberHot) {
    hot.ewma.store(0, Ordering::Release);
    peak::forget(hot);
}

/// The average at `now`, faded. `None` until the first observation.
pub fn estimate(hot: &MemberHot, now: Micros, half_life: Micros) -> Option<f64> {
    let since = hot.ewma_at.load(Ordering::Acquire);
    measured(hot)
        .map(|average| (average * decay(now.saturating_sub(since), half_life)).max(FASTEST))
}

/// What people are told of an average: of a member that has never answered, it would be made of failures.
pub fn told(hot: &MemberHot, average: Option<f64>) -> Option<f64> {
    average.filter(|_| hot.served.load(Ordering::Relaxed) != 0)
}

/// The average as it was at the last observation.
pub fn measured(hot: &MemberHot) -> Option<f64> {
    known(hot.ewma.load(Ordering::Acquire))
}

/// The same, unless it is of one answer alone.
pub fn usual(hot: &MemberHot) -> Option<f64> {
    measured(hot).filter(|average| is(USUAL, *average))
}

/// The lowest two bits of an average, to which no response time is exact, say more about it: that it is of
/// more than one answer,
const USUAL: u64 = 1;
/// and that a failure was the last that happened.
const FAILED: u64 = 2;

fn marks(average: f64) -> u64 {
    average.to_bits() & (USUAL | FAILED)
}

fn is(mark: u64, average: f64) -> bool {
    marks(average) & mark != 0
}

fn marked(average: f64, marks: u64) -> f64 {
    f64::from_bits(average.to_bits() & !(USUAL | FAILED) | marks)
}

/// Whatever another process may have left there: 0, negative, NaN and infinity are "unknown".
fn known(bits: u64) -> Option<f64> {
    // Between those of 0 and of infinity are the bits of the others.
    let known = (1..f64::INFINITY.to_bits()).contains(&bits);
    known.then_some(f64::from_bits(bits))
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Micros = 1_000_000;
    const HALF_LIFE: Micros = 10 * SECOND;
    const START: Micros = 1_000 * SECOND;

    fn after(sample: f64) -> MemberHot {
        let hot = MemberHot::default();
        observe(&hot, sample, START, HALF_LIFE);
        observe(&hot, sample, START, HALF_LIFE);
        hot
    }

    fn close(estimate: Option<f64>, expected: f64) -> bool {
        estimate.is_some_and(|estimate| (estimate - expected).abs() < expected * 1e-9)
    }

    #[test]
    fn unknown_until_the_first_sample() {
        let hot = MemberHot::default();
        assert_eq!(estimate(&hot, START, HALF_LIFE), None);
        observe(&hot, 20_000.0, START, HALF_LIFE);
        assert!(close(estimate(&hot, START, HALF_LIFE), 20_000.0));
    }

    /// It may have been made by a process that has just started.
    #[test]
    fn one_answer_says_nothing_of_what_is_usual() {
        let hot = MemberHot::default();
        observe(&hot, 50_000.0, START, HALF_LIFE);
        assert!(usual(&hot).is_none() && close(measured(&hot), 50_000.0));
        observe(&hot, 5_000.0, START + SECOND, HALF_LIFE);
        assert!(close(usual(&hot), 5_000.0));
    }

    #[test]
    fn an_answer_moves_the_average_by_a_little() {
        let hot = after(20_000.0);
        observe(&hot, 52_000.0, START, HALF_LIFE);
        assert!(close(measured(&hot), 21_000.0));
        observe(&hot, 5_000.0, START, HALF_LIFE);
        assert!(close(measured(&hot), 20_500.0));
        // A fifth of a half-life.
        observe(&hot, 2_020_500.0, START, HALF_LIFE);
        assert!(close(measured(&hot), 20_500.0 + 0.202_05 * 2e6));
    }

    /// After a trial, the average goes on from where the trial's answer belongs to.
    #[test]
    fn a_trial_tells_whether_it_has_become_faster() {
        let later = START + 2 * HALF_LIFE;
        let slow = after(80_000.0);
        observe(&slow, 48_000.0, later, HALF_LIFE);
        assert!(close(measured(&slow), 79_000.0));
        let fast = after(80_000.0);
        observe(&fast, 4_000.0, later, HALF_LIFE);
        assert!(close(measured(&fast), 19_500.0));
    }

    #[test]
    fn reading_decays_but_does_not_change() {
        let hot = after(80_000.0);
        for half_lives in [0, 1, 3] {
            let left = 80_000.0 / 2_f64.powi(half_lives);
            let later = START + u64::try_from(half_lives).unwrap() * HALF_LIFE;
            assert!(close(estimate(&hot, later, HALF_LIFE), left));
        }
        assert!(close(measured(&hot), 80_000.0));
        assert!(close(
            estimate(&hot, START + 1_000 * HALF_LIFE, HALF_LIFE),
            FASTEST
        ));
    }

    #[test]
    fn a_clock_reading_from_before_the_stamp_does_not_take_it_back() {
        let hot = after(20_000.0);
        observe(&hot, 20_000.0, START - SECOND, HALF_LIFE);
        assert_eq!(hot.ewma_at.load(Ordering::Relaxed), START);
        assert!(close(measured(&hot), 20_000.0));
    }

    #[test]
    fn of_a_member_that_never_answered_people_are_told_nothing() {
        let hot = MemberHot::default();
        penalise(&hot, 500.0, START, HALF_LIFE);
        penalise(&hot, 500.0, START + SECOND, HALF_LIFE);
        assert_eq!(told(&hot, measured(&hot)), None);
        hot.served.store(1, Ordering::Relaxed);
        assert!(close(told(&hot, measured(&hot)), PENALTY));
    }

    #[test]
    fn one_that_is_back_is_known_by_its_answer() {
        let hot = after(20_000.0);
        penalise(&hot, 100.0, START + SECOND, HALF_LIFE);
        forget(&hot);
        assert_eq!(measured(&hot), None);
        observe(&hot, 5_000.0, START + 2 * SECOND, HALF_LIFE);
        assert!(close(measured(&hot), 5_000.0));
    }

    #[test]
    fn damaged_values_read_as_unknown_and_heal() {
        for damaged in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0, -0.0] {
            let hot = after(1.0);
            hot.ewma.store(damaged.to_bits(), Ordering::Relaxed);
            assert_eq!(estimate(&hot, START, HALF_LIFE), None);
            observe(&hot, 7_000.0, START + 1, HALF_LIFE);
            assert!(close(measured(&hot), 7_000.0));
            observe(&hot, damaged.min(-1.0), START + 2, HALF_LIFE);
            assert!(close(measured(&hot), 7_000.0));
        }
    }

    #[test]
    fn a_failure_may_be_chance_and_a_second_one_is_none() {
        let hot = after(20_000.0);
        penalise(&hot, 500.0, START + SECOND, HALF_LIFE);
        assert!(close(measured(&hot), 20_000.0));
        assert!(peak::left(&hot, START + SECOND, HALF_LIFE) > 0.99 * DOUBT);
        penalise(&hot, 500.0, START + 2 * SECOND, HALF_LIFE);
        assert!(close(measured(&hot), PENALTY));

        let hot = after(20_000.0);
        penalise(&hot, 500.0, START + SECOND, HALF_LIFE);
        observe(&hot, 20_000.0, START + 2 * SECOND, HALF_LIFE);
        penalise(&hot, 500.0, START + 3 * SECOND, HALF_LIFE);
        assert!(close(measured(&hot), 20_000.0));
    }

    #[test]
    fn a_failure_counts_for_its_own_time_if_that_is_more() {
        let failed = || {
            let hot = MemberHot::default();
            penalise(&hot, 500.0, START, HALF_LIFE);
            hot
        };
        let later = START + 4 * SECOND;
        let hot = failed();
        penalise(&hot, 3e6, later, HALF_LIFE);
        assert!(close(measured(&hot), 3e6));
        assert!(peak::left(&hot, later, HALF_LIFE) > 2.99e6);
        let hot = failed();
        penalise(&hot, f64::NAN, later, HALF_LIFE);
        assert!(close(measured(&hot), PENALTY));
    }

    /// As with any other: an answer that follows is what is known of it.
    #[test]
    fn the_first_attempt_may_fail_by_chance() {
        let hot = MemberHot::default();
        penalise(&hot, 500.0, START, HALF_LIFE);
        assert!(usual(&hot).is_none() && close(measured(&hot), DOUBT));
        for later in 1..3 {
            observe(&hot, 20_000.0, START + later * SECOND, HALF_LIFE);
        }
        assert!(close(usual(&hot), 20_000.0));
    }

    /// A member whose answers take 5 s must not become attractive by failing within a second.
    #[test]
    fn a_failure_never_lowers_the_average() {
        let hot = after(5e6);
        penalise(&hot, float(SECOND), START + 1, HALF_LIFE);
        assert!(measured(&hot) > Some(4.9e6));
        penalise(&hot, 1.0, START + 3, HALF_LIFE);
        assert!(measured(&hot) > Some(9.9e6));
    }

    #[test]
    fn failing_again_doubles_and_failing_together_does_not() {
        let hot = after(20_000.0);
        for _ in 0..50 {
            penalise(&hot, 1_000.0, START + 900, HALF_LIFE);
        }
        assert!(close(measured(&hot), 20_000.0));
        penalise(&hot, 100.0, START + 1_100, HALF_LIFE);
        assert!(close(measured(&hot), PENALTY));
        penalise(&hot, 100.0, START + 1_300, HALF_LIFE);
        assert!(measured(&hot) > Some(1.99 * PENALTY));
        for later in 2..100 {
            penalise(&hot, 100.0, START + later * 1_000, HALF_LIFE);
        }
        assert!(measured(&hot) <= Some(1.001 * PENALTY_MAX));
        assert!(measured(&hot) > Some(0.99 * PENALTY_MAX));
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn the_estimate_stays_within_what_was_seen(
            samples in prop::collection::vec((1_u32..10_000_000, 0_u64..30_000_000), 1..50),
            half_life in 0_u64..60_000_000,
        ) {
            let hot = MemberHot::default();
            let mut now = START;
            for (sample, pause) in &samples {
                now += pause;
                observe(&hot, f64::from(*sample), now, half_life);
            }
            let seen = samples.iter().map(|(sample, _)| f64::from(*sample));
            let least = seen.clone().fold(f64::MAX, f64::min);
            let most = seen.fold(0.0, f64::max);
            let last = measured(&hot).unwrap();
            prop_assert!((least * 0.999..=most * 1.001).contains(&last));
            prop_assert!(estimate(&hot, now + 1, half_life) <= Some(last.max(FASTEST)));
        }

        #[test]
        fn any_bits_are_survived(bits: u64, at: u64, sample: u64, now: u64, half_life: u64) {
            let hot = MemberHot::default();
            hot.ewma.store(bits, Ordering::Relaxed);
            hot.ewma_at.store(at, Ordering::Relaxed);
            observe(&hot, f64::from_bits(sample), now, half_life);
            penalise(&hot, f64::from_bits(sample), now, half_life);
            let read = estimate(&hot, now, half_life);
            prop_assert!(read.is_some_and(|read| read.is_finite() && read >= FASTEST));
        }
    }
}
