//! How long a member's requests have been waiting for the first byte of an answer, on average: what
//! tells of a member that hangs before it has answered anything (nginx's `least_time … inflight` goes
//! by it, too).
//!
//! One word holds it for all processes: how many wait, in its lower bits, and the sum of the times at
//! which they began, in the upper ones, modulo their number. The sum of their ages is then
//! `waiting × now - sum`, whatever has been added and taken off in between.
//!
//! Requests of a child that was killed are never taken off. The parent then forgets the words of the
//! members that it had requests at ([`forget`]); each is right again as soon as nobody waits there.

use crate::Micros;
use crate::sync::{AtomicU64, Ordering};

/// Up to a million requests may wait.
const COUNT: u64 = (1 << SHIFT) - 1;
const SHIFT: u32 = 20;
/// Times are kept in units of 256 microseconds: 44 bits of them are a hundred years.
const UNIT: u32 = 8;
/// Sums above this are differences below zero.
const NEGATIVE: u64 = 1 << 43;

/// A request begins to wait; what [`end`] is to be called with. Never 0.
pub fn begin(waiting: &AtomicU64, now: Micros) -> u64 {
    let request = (now >> UNIT) << SHIFT | 1;
    waiting.fetch_add(request, Ordering::Relaxed);
    request
}

/// Its answer has come, or none will.
pub fn end(waiting: &AtomicU64, request: u64) {
    let without = |word: u64| match word & COUNT {
        // Forgotten meanwhile.
        0 => None,
        // Whatever is left of the sum is an error.
        1 => Some(0),
        _ => Some(word.wrapping_sub(request)),
    };
    let _ = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, without);
}

/// Nobody waits, as far as can be known.
pub fn forget(waiting: &AtomicU64) {
    waiting.store(0, Ordering::Relaxed);
}

/// The mean age of those that wait, in microseconds; 0 without any.
pub fn mean_age(waiting: &AtomicU64, now: Micros) -> Micros {
    let word = waiting.load(Ordering::Relaxed);
    let count = word & COUNT;
    let ages = (count.wrapping_mul(now >> UNIT).wrapping_sub(word >> SHIFT) << SHIFT) >> SHIFT;
    if ages >= NEGATIVE {
        return 0;
    }
    (ages << UNIT).checked_div(count).unwrap_or(0)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Micros = 1_024;
    const NOW: Micros = 1_000_000 * MS;

    #[test]
    fn ages_are_those_of_whoever_waits() {
        let waiting = AtomicU64::new(0);
        let age = |ms| mean_age(&waiting, NOW + ms * MS) / MS;
        assert_eq!(age(5), 0);
        let one = begin(&waiting, NOW);
        let other = begin(&waiting, NOW + 10 * MS);
        assert_eq!(age(30), 25);
        end(&waiting, one);
        assert_eq!(age(30), 20);
        end(&waiting, other);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_clock_that_is_a_little_behind_sees_no_age() {
        let waiting = AtomicU64::new(0);
        begin(&waiting, NOW + MS);
        assert_eq!(mean_age(&waiting, NOW), 0);
    }

    #[test]
    fn what_was_forgotten_is_right_again_when_nobody_waits() {
        let waiting = AtomicU64::new(0);
        let old = begin(&waiting, NOW);
        forget(&waiting);
        end(&waiting, old);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
        let new = begin(&waiting, NOW + 5 * MS);
        begin(&waiting, NOW + 5 * MS);
        end(&waiting, old);
        end(&waiting, new);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn any_word_gives_an_age(word: u64, now: u64) {
            let age = mean_age(&AtomicU64::new(word), now);
            prop_assert!(age < NEGATIVE << UNIT);
        }
    }
}
