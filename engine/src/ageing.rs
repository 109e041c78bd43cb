//! A number that ages with a half-life, shared by all processes over two atomics: the bits of an
//! `f64`, and when it was last moved.
//!
//! Who moves the time stamp owns the interval since its former value, so that each interval is
//! counted once; the value follows by compare-and-swap.

use crate::Micros;
use crate::sync::{AtomicU64, Ordering};

/// Moves the value to `change(bits, kept)`: its present bits, and what an interval's age leaves of
/// one.
pub(crate) fn update(
    value: &AtomicU64,
    stamp: &AtomicU64,
    now: Micros,
    half_life: Micros,
    change: impl Fn(u64, f64) -> f64,
) {
    // `fetch_max`: another process' clock reading may be a little ahead of ours.
    let since = stamp.fetch_max(now, Ordering::AcqRel);
    let kept = decay(now.saturating_sub(since), half_life);
    let mut bits = value.load(Ordering::Acquire);
    loop {
        let new = change(bits, kept).to_bits();
        match value.compare_exchange_weak(bits, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(current) => bits = current,
        }
    }
}

/// What is left of a number after an interval. A burst of samples has no interval between them and
/// need not pay for the exponential.
pub(crate) fn decay(interval: Micros, half_life: Micros) -> f64 {
    if interval == 0 {
        1.0
    } else {
        (-float(interval) / float(half_life.max(1))).exp2()
    }
}

/// A time as a number. Signed integers are what processors convert in one step.
#[expect(
    clippy::cast_precision_loss,
    reason = "times are far below 2^52 microseconds"
)]
pub(crate) fn float(time: Micros) -> f64 {
    i64::try_from(time).unwrap_or(i64::MAX) as f64
}
