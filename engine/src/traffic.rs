//! A member's recent traffic, shared by all processes over two atomics: a sum of bytes in which each
//! byte counts half after a half-life, a quarter after two, and so on.
//!
//! At a steady rate `r` the sum settles at `r × half-life / ln 2`; what a member carried yesterday
//! says nothing today, which is what tells it from lifetime totals.
//!
//! The two atomics are moved as [`crate::ageing`] says. Where two processes meet, one may add before
//! the other has aged the sum: its bytes then count as if they had come an instant earlier.

use crate::Micros;
use crate::ageing::{self, decay};
use crate::board::record::MemberHot;
use crate::sync::Ordering;

/// Adds the bytes of a request that ended.
pub fn observe(hot: &MemberHot, bytes: u64, now: Micros, half_life: Micros) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a request's bytes are below 2^52"
    )]
    age_then(hot, now, half_life, |sum| sum + bytes as f64);
}

/// Lifts the sum to `floor`, if it is below.
pub fn raise(hot: &MemberHot, floor: f64, now: Micros, half_life: Micros) {
    age_then(hot, now, half_life, |sum| sum.max(floor));
}

/// The sum at `now`.
pub fn recent(hot: &MemberHot, now: Micros, half_life: Micros) -> f64 {
    let since = hot.traffic_at.load(Ordering::Acquire);
    known(hot.traffic.load(Ordering::Acquire)) * decay(now.saturating_sub(since), half_life)
}

/// A request of the member ended within the last half-life.
pub fn heard_of(hot: &MemberHot, now: Micros, half_life: Micros) -> bool {
    let last = hot.traffic_at.load(Ordering::Relaxed);
    last != 0 && now.saturating_sub(last) < half_life
}

fn age_then(hot: &MemberHot, now: Micros, half_life: Micros, change: impl Fn(f64) -> f64) {
    ageing::update(
        &hot.traffic,
        &hot.traffic_at,
        now,
        half_life,
        |bits, kept| change(known(bits) * kept).min(f64::MAX),
    );
}

/// Whatever another process may have left there: negative, NaN and infinity are nothing.
fn known(bits: u64) -> f64 {
    let sum = f64::from_bits(bits);
    if sum.is_finite() { sum.max(0.0) } else { 0.0 }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Micros = 1_000_000;
    const HALF_LIFE: Micros = 10 * SECOND;
    const START: Micros = 1_000 * SECOND;

    fn after(bytes: u64) -> MemberHot {
        let hot = MemberHot::default();
        observe(&hot, bytes, START, HALF_LIFE);
        hot
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= b.abs() * 1e-9
    }

    #[test]
    fn bytes_add_up_and_count_half_after_a_half_life() {
        let hot = after(4_000);
        observe(&hot, 1_000, START, HALF_LIFE);
        assert!(close(recent(&hot, START, HALF_LIFE), 5_000.0));
        assert!(close(recent(&hot, START + HALF_LIFE, HALF_LIFE), 2_500.0));
        observe(&hot, 500, START + HALF_LIFE, HALF_LIFE);
        assert!(close(recent(&hot, START + HALF_LIFE, HALF_LIFE), 3_000.0));
        assert!(recent(&hot, START + 100 * HALF_LIFE, HALF_LIFE) < 1e-6);
    }

    #[test]
    fn a_steady_rate_settles() {
        let hot = MemberHot::default();
        for second in 0..300 {
            observe(&hot, 1_000, START + second * SECOND, HALF_LIFE);
        }
        let settled = 1_000.0 * 10.0 / std::f64::consts::LN_2;
        let sum = recent(&hot, START + 299 * SECOND, HALF_LIFE);
        assert!((sum / settled - 1.0).abs() < 0.05, "{sum} of {settled}");
    }

    #[test]
    fn raising_never_lowers() {
        let hot = after(1_000);
        raise(&hot, 500.0, START, HALF_LIFE);
        assert!(close(recent(&hot, START, HALF_LIFE), 1_000.0));
        raise(&hot, 800.0, START + HALF_LIFE, HALF_LIFE);
        assert!(close(recent(&hot, START + HALF_LIFE, HALF_LIFE), 800.0));
    }

    #[test]
    fn a_clock_reading_from_before_the_stamp_ages_nothing() {
        let hot = after(1_000);
        observe(&hot, 500, START - SECOND, HALF_LIFE);
        assert!(close(recent(&hot, START, HALF_LIFE), 1_500.0));
    }

    #[test]
    fn heard_of_for_one_half_life() {
        let hot = MemberHot::default();
        assert!(!heard_of(&hot, HALF_LIFE / 2, HALF_LIFE));
        observe(&hot, 1, START, HALF_LIFE);
        assert!(heard_of(&hot, START + HALF_LIFE - 1, HALF_LIFE));
        assert!(!heard_of(&hot, START + HALF_LIFE, HALF_LIFE));
    }

    /// Threads stand for processes: no byte is lost and no interval counted twice.
    #[test]
    fn processes_lose_nothing() {
        let hot = MemberHot::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| observe(&hot, 3, START, HALF_LIFE)));
            }
        });
        assert!(close(recent(&hot, START, HALF_LIFE), 60_000.0));
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn any_bits_are_survived(bits: u64, at: u64, bytes: u64, floor: u64, now: u64, half_life: u64) {
            let hot = MemberHot::default();
            hot.traffic.store(bits, Ordering::Relaxed);
            hot.traffic_at.store(at, Ordering::Relaxed);
            observe(&hot, bytes, now, half_life);
            raise(&hot, f64::from_bits(floor), now, half_life);
            let sum = recent(&hot, now, half_life);
            prop_assert!(sum.is_finite() && sum >= 0.0, "{sum}");
        }

        #[test]
        fn the_sum_is_at_most_what_was_sent(
            requests in prop::collection::vec((0_u32..1_000_000, 0_u64..30_000_000), 1..50),
        ) {
            let hot = MemberHot::default();
            let mut now = START;
            for (bytes, pause) in &requests {
                now += pause;
                observe(&hot, u64::from(*bytes), now, HALF_LIFE);
            }
            let sent: f64 = requests.iter().map(|(bytes, _)| f64::from(*bytes)).sum();
            prop_assert!(recent(&hot, now, HALF_LIFE) <= sent * 1.001);
        }
    }
}
