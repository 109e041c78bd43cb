//! Peak EWMA of a member's response time, shared by all processes over two atomics.
//!
//! The estimator is Finagle's `PeakEwma`, as tower (`tower/src/load/peak_ewma.rs`) and linkerd
//! (`linkerd/ewma/src/lib.rs`) have it: it jumps to a sample above it and decays towards a sample
//! below it, so that it is quick to see trouble and slow to forget it. Like linkerd's it takes the
//! time as an argument and does not change when it is read.
//!
//! Two atomics and no lock: a sample first moves the time stamp, by which it owns the interval since
//! the stamp's former value; then it moves the estimate by compare-and-swap, with that interval's
//! decay. No interval is counted twice, whatever the interleaving; one that is overtaken between its
//! two steps only reads a slightly older estimate.
//!
//! All times are microseconds, estimates as `f64`.

#![expect(
    clippy::cast_precision_loss,
    reason = "intervals and response times are far below 2^52 microseconds"
)]

use core::f64::consts::LN_2;

use crate::Micros;
use crate::ageing::{self, decay};
use crate::board::record::MemberHot;
use crate::sync::Ordering;

/// What a failed attempt counts as, at least: 1 s. The idea is linkerd's `PenaltyPeakEwma`
/// (linkerd2-proxy #4537): without it, a member that fails fast looks like the fastest.
pub const PENALTY: f64 = 1e6;

/// What repeated failures can drive the estimate to: 60 s.
pub const PENALTY_MAX: f64 = 60e6;

/// No response is faster than the clock's resolution; also keeps 0, which is "unknown", free.
const FASTEST: f64 = 1.0;

/// Takes an answer's time into account.
pub fn observe(hot: &MemberHot, sample_us: f64, now: Micros, half_life: Micros) {
    if !sample_us.is_finite() || sample_us < 0.0 {
        return;
    }
    let sample = sample_us.max(FASTEST);
    ageing::update(
        &hot.ewma,
        &hot.ewma_at,
        now,
        half_life,
        |bits, kept| match known(bits) {
            Some(estimate) if sample < estimate * kept => sample + (estimate - sample) * kept,
            _ => sample,
        },
    );
}

/// Takes a failed attempt into account that lasted `elapsed_us`: it counts as [`PENALTY`], as its
/// own time or as the present estimate, whichever is most.
///
/// A failure of an attempt that began after the last observation says that the estimate is still
/// too inviting, however many requests the other members have in flight: it doubles the estimate,
/// up to [`PENALTY_MAX`]. Attempts that fail together were under way before, and count once.
pub fn penalise(hot: &MemberHot, elapsed_us: f64, now: Micros, half_life: Micros) {
    let elapsed = if elapsed_us.is_finite() {
        elapsed_us.max(0.0)
    } else {
        0.0
    };
    let present = estimate(hot, now, half_life).unwrap_or(0.0);
    let observed_at = hot.ewma_at.load(Ordering::Acquire) as f64;
    let chosen_again = now as f64 - elapsed >= observed_at;
    let raised = if chosen_again { present * 2.0 } else { present };
    let sample = raised
        .min(PENALTY_MAX.max(present))
        .max(PENALTY)
        .max(elapsed);
    observe(hot, sample, now, half_life);
}

/// With the first answer of a member that was out of service: what was learnt until then, penalties
/// above all, is about one that failed. How long that answer took says little, either: it was made by a
/// process that may have just started, over a new connection.
pub fn forget(hot: &MemberHot) {
    hot.ewma.store(0, Ordering::Release);
}

/// The estimate at `now`: it decays towards 0 while the member is idle, so that a slow member is
/// tried again some time. `None` until the first observation.
pub fn estimate(hot: &MemberHot, now: Micros, half_life: Micros) -> Option<f64> {
    let since = hot.ewma_at.load(Ordering::Acquire);
    measured(hot)
        .map(|estimate| (estimate * decay(now.saturating_sub(since), half_life)).max(FASTEST))
}

/// What the estimate is at least, without an exponential: `2^-x` is no less than `1 - x ln 2`.
pub fn estimate_at_least(hot: &MemberHot, now: Micros, half_life: Micros) -> f64 {
    let since = hot.ewma_at.load(Ordering::Acquire);
    let half_lives = now.saturating_sub(since) as f64 / half_life.max(1) as f64;
    measured(hot).map_or(0.0, |estimate| estimate * (1.0 - half_lives * LN_2))
}

/// The estimate as it was at the last observation.
pub fn measured(hot: &MemberHot) -> Option<f64> {
    known(hot.ewma.load(Ordering::Acquire))
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

    #[test]
    fn jumps_up_and_comes_down_by_half_lives() {
        let hot = after(20_000.0);
        observe(&hot, 90_000.0, START + 1, HALF_LIFE);
        assert!(close(measured(&hot), 90_000.0));
        observe(&hot, 10_000.0, START + 1 + HALF_LIFE, HALF_LIFE);
        assert!(close(measured(&hot), 50_000.0));
        // Above what is left of the estimate, though below its last value: a peak.
        observe(&hot, 30_000.0, START + 1 + 2 * HALF_LIFE, HALF_LIFE);
        assert!(close(measured(&hot), 30_000.0));
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
    fn samples_of_one_instant_move_it_only_up() {
        let hot = after(20_000.0);
        observe(&hot, 1_000.0, START, HALF_LIFE);
        assert!(close(measured(&hot), 20_000.0));
        observe(&hot, 30_000.0, START, HALF_LIFE);
        assert!(close(measured(&hot), 30_000.0));
    }

    #[test]
    fn a_clock_reading_from_before_the_stamp_does_not_take_it_back() {
        let hot = after(20_000.0);
        observe(&hot, 10_000.0, START - SECOND, HALF_LIFE);
        assert_eq!(hot.ewma_at.load(Ordering::Relaxed), START);
        assert!(close(measured(&hot), 20_000.0));
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
    fn a_failure_counts_as_the_penalty_or_its_own_time() {
        let hot = after(20_000.0);
        penalise(&hot, 500.0, START + 400, HALF_LIFE);
        assert!(close(measured(&hot), PENALTY));
        let hot = after(20_000.0);
        penalise(&hot, 3e6, START + SECOND, HALF_LIFE);
        assert!(close(measured(&hot), 3e6));
        let hot = MemberHot::default();
        penalise(&hot, f64::NAN, START, HALF_LIFE);
        assert!(close(measured(&hot), PENALTY));
    }

    /// A member whose answers take 5 s must not become attractive by failing within a second.
    #[test]
    fn a_failure_never_lowers_the_estimate() {
        let hot = after(5e6);
        penalise(&hot, SECOND as f64, START + 1, HALF_LIFE);
        assert!(measured(&hot) > Some(4.9e6));
    }

    #[test]
    fn failing_again_doubles_and_failing_together_does_not() {
        let hot = after(20_000.0);
        for _ in 0..50 {
            penalise(&hot, 1_000.0, START + 900, HALF_LIFE);
        }
        assert!(close(measured(&hot), PENALTY));
        penalise(&hot, 100.0, START + 1_100, HALF_LIFE);
        assert!(measured(&hot) > Some(1.99 * PENALTY));
        for later in 2..100 {
            penalise(&hot, 100.0, START + later * 1_000, HALF_LIFE);
        }
        assert!(measured(&hot) <= Some(PENALTY_MAX));
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
            let least = estimate_at_least(&hot, now, half_life);
            prop_assert!(read.is_some_and(|read| least <= read * (1.0 + 1e-12)));
        }
    }
}
