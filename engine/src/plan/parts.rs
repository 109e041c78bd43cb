//! A long rotation in parts, so that each process keeps to some of the members.
//!
//! **Why.** Each process has connections of its own to all members. Where members take turns in one order for
//! all processes, each goes through all of its connections, and finds every one gone from the processor's
//! caches: among many members that costs more than all else about a choice. A process that has a home among
//! them uses few connections often, and the others seldom.
//!
//! **The rule.** A cycle is cut into [`PARTS`] stretches. A process takes the turns of its home first, then
//! those that others have left of theirs. No part begins a cycle before all have ended the one before: in
//! each cycle each member has its turn once, however busy each process is. One process alone takes the
//! parts one after the other, which is the one order again.
//!
//! **What members are owed** ([`super::carry`]) differs by less than two turns, however often plans change:
//! before the parts begin, those that are owed a whole turn more than any other have it, in order
//! ([`owed_first`]); the part of a cycle that a plan then breaks off adds less than one.

use core::ops::Range;

use super::carry::TURN;
use crate::sync::{AtomicU64, Ordering};

/// So many; their counts are one cache line.
pub const PARTS: usize = 8;
/// The connections to fewer members stay in the caches.
const MANY: usize = 256;
/// Other processes may be faster so often; then one turn is taken ahead of the rule.
const TRIES: usize = 8;

/// Of a plan's rotation.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Parts {
    /// Turns in order before the parts begin.
    owed: AtomicU64,
    /// Turns that are taken of each part since.
    counts: [AtomicU64; PARTS],
}

/// A part as it is now.
#[derive(Clone, Copy)]
struct Part {
    at: usize,
    /// Its turns that are taken, since the first cycle.
    taken: u64,
    /// Those that it has in each.
    length: u64,
}

impl Parts {
    /// Whether a plan of so many turns for so many members is taken in parts: all have one weight, and it does
    /// not matter whose turns are side by side.
    pub fn suit(eligible: usize, turns: usize) -> bool {
        eligible == turns && turns >= MANY
    }

    /// No turn is taken, and so many are [`owed_first`].
    pub fn begin(&self, owed: u32) {
        self.owed.store(owed.into(), Ordering::Relaxed);
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// How many turns are [`owed_first`].
    pub fn owed(&self) -> usize {
        usize::try_from(self.owed.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The next ticket of a process in a rotation of so many turns, unless another process takes it first. Its
    /// place in the cycle is its remainder by `turns`.
    pub fn next(&self, turns: usize, process: usize) -> u64 {
        let open = self.open(turns, process);
        open.map_or(0, |part| part.ticket(turns))
    }

    /// Takes it.
    pub fn take(&self, turns: usize, process: usize) -> u64 {
        let relaxed = Ordering::Relaxed;
        for _ in 0..TRIES {
            let Some(part) = self.open(turns, process) else {
                break;
            };
            let (before, after) = (part.taken, part.taken.wrapping_add(1));
            let count = self.counts.get(part.at);
            if count.is_some_and(|count| {
                count
                    .compare_exchange(before, after, relaxed, relaxed)
                    .is_ok()
            }) {
                return part.ticket(turns);
            }
        }
        let home = home(process);
        let count = self.counts.get(home);
        let taken = count.map_or(0, |count| count.fetch_add(1, relaxed));
        Part::new(home, taken, turns).ticket(turns)
    }

    /// The places in the running cycle whose turns are taken.
    pub fn over(&self, turns: usize) -> impl Iterator<Item = usize> {
        let parts = self.now(turns);
        let running = running(&parts);
        parts.into_iter().flat_map(move |part| {
            let start = stretch(part.at, turns).start;
            let taken = part.taken_since(running).min(part.length);
            start..start.saturating_add(usize::try_from(taken).unwrap_or(0))
        })
    }

    /// The first part from the home of a process on that is in the running cycle. It stays the running one as
    /// long as that part's count stays: counts only grow.
    fn open(&self, turns: usize, process: usize) -> Option<Part> {
        let parts = self.now(turns);
        let running = running(&parts);
        let (before, after) = parts.split_at_checked(home(process))?;
        let mut from_home = after.iter().chain(before);
        from_home
            .find(|part| part.taken_since(running) < part.length)
            .copied()
    }

    fn now(&self, turns: usize) -> [Part; PARTS] {
        core::array::from_fn(|at| {
            let count = self.counts.get(at);
            let taken = count.map_or(0, |count| count.load(Ordering::Relaxed));
            Part::new(at, taken, turns)
        })
    }
}

/// The cycle that not all parts have ended.
fn running(parts: &[Part; PARTS]) -> u64 {
    parts.iter().fold(u64::MAX, |running, part| {
        // The least of their cycles, with few divisions.
        if part.taken < running.saturating_mul(part.length) {
            part.taken / part.length
        } else {
            running
        }
    })
}

impl Part {
    fn new(at: usize, taken: u64, turns: usize) -> Self {
        let length = (stretch(at, turns).len() as u64).max(1);
        Self { at, taken, length }
    }

    /// The turns of a cycle that it has ended or is in, and of those behind it.
    fn taken_since(&self, cycle: u64) -> u64 {
        self.taken.wrapping_sub(cycle.wrapping_mul(self.length))
    }

    fn ticket(&self, turns: usize) -> u64 {
        (self.taken / self.length)
            .wrapping_mul(turns as u64)
            .wrapping_add(stretch(self.at, turns).start as u64)
            .wrapping_add(self.taken % self.length)
    }
}

/// How many members are owed a whole turn more than any other.
pub fn owed_first(owed: &[i64]) -> usize {
    let least = owed.iter().min().copied().unwrap_or(0);
    let whole = least.saturating_add(TURN);
    owed.iter().filter(|owed| **owed >= whole).count()
}

/// Where the turns of a process begin. Those of the first processes are apart from each other by van der
/// Corput's sequence: few processes have as many parts each to themselves.
fn home(process: usize) -> usize {
    let bits = usize::BITS - PARTS.trailing_zeros();
    (process % PARTS).reverse_bits() >> bits
}

/// The places of a part in a cycle of so many turns.
fn stretch(at: usize, turns: usize) -> Range<usize> {
    let begin = |at: usize| turns.saturating_mul(at) / PARTS;
    begin(at)..begin(at + 1)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut tickets: Vec<u64>) -> Vec<u64> {
        tickets.sort_unstable();
        tickets
    }

    #[test]
    fn few_processes_are_at_home_far_from_each_other() {
        let homes: Vec<_> = (0..10).map(home).collect();
        assert_eq!(homes, [0, 4, 2, 6, 1, 5, 3, 7, 0, 4]);
    }

    #[test]
    fn parts_are_the_cycle_and_of_one_length() {
        for turns in [256, 257, 263, 1_000, 10_007] {
            let cut: Vec<_> = (0..PARTS).map(|at| stretch(at, turns)).collect();
            assert!(cut.iter().cloned().flatten().eq(0..turns));
            let length = turns / PARTS;
            let lengths = |part: &Range<usize>| (length..=length + 1).contains(&part.len());
            assert!(cut.iter().all(lengths), "{cut:?}");
        }
    }

    #[test]
    fn one_process_alone_keeps_the_order() {
        let parts = Parts::default();
        for ticket in 0..2_100 {
            assert_eq!(parts.next(1_000, 0), ticket);
            assert_eq!(parts.take(1_000, 0), ticket);
        }
    }

    #[test]
    fn processes_that_are_as_busy_keep_to_their_homes() {
        let parts = Parts::default();
        for _ in 0..3 * 1_000 / PARTS {
            for process in 0..PARTS {
                let place = usize::try_from(parts.take(1_000, process)).unwrap() % 1_000;
                assert!(stretch(home(process), 1_000).contains(&place));
            }
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        /// However busy each process is: a cycle has each turn once, and is over before the next begins.
        #[test]
        fn each_cycle_is_whole(
            turns in MANY..400,
            busy in prop::collection::vec(0_usize..100, 1..6),
            cycles in 1_usize..4,
            seed: u64,
        ) {
            let parts = Parts::default();
            let mut random = fastrand::Rng::with_seed(seed);
            let mut take = |count| -> Vec<u64> {
                (0..count).map(|_| parts.take(turns, busy[random.usize(..busy.len())])).collect()
            };
            let whole = take(cycles * turns);
            let end = (cycles * turns) as u64;
            prop_assert!(sorted(whole).into_iter().eq(0..end));

            let begun = take(turns / 3);
            let places = begun.into_iter().map(|ticket| ticket - end).collect();
            let over = parts.over(turns).map(|place| place as u64);
            prop_assert!(sorted(places).into_iter().eq(over));
        }

        #[test]
        fn any_counts_are_survived(counts: [u64; PARTS], turns in 0_usize..100_000, process: usize) {
            let parts = Parts { counts: counts.map(AtomicU64::new), ..Parts::default() };
            parts.next(turns, process);
            parts.take(turns, process);
            prop_assert!(parts.over(turns).all(|place| place < turns));
        }
    }
}
