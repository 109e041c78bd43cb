//! Requests that wait: one list for all farms and children, and so no more of them than it has entries.
//!
//! A waiting request holds an entry, which says whose it is, and sleeps on its own word. Whoever
//! gives a place back [`call`](Queue::call)s the first of those that can use it ([`Reach`]): class
//! before class, then in the order of arrival. A request that is called elects again. Should it find
//! nothing, it waits on where it was, and [`pass`](Queue::pass)es the call on to those behind it:
//! each of them tries once, and the call ends with the line. One that leaves passes it on to the first.
//!
//! Nothing is lost with a child that is killed: its parent gives its entries back
//! ([`Queue::abandon`]). A call that was lost with it, a place that nobody gave back and a member
//! that returned are found by the first in line, which looks for itself now and then.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::slots::SlotId;
use crate::{FarmId, MemberId};

/// One waiting request.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Waiter {
    /// 0: nobody's. Otherwise the child's slot, counted from 1.
    owner: AtomicU32,
    /// What the request sleeps on: its arrival, shifted, and whether it is called.
    word: AtomicU32,
    /// 0: not in line yet. Otherwise priority and arrival: the lowest is first.
    rank: AtomicU64,
    /// The farm it waits for.
    farm: AtomicU32,
    /// Percent of a member's places that it leaves to others, and whether it is bound.
    terms: AtomicU32,
    /// As in [`Reach`].
    homes: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Waiter>() == 32);

const CALLED: u32 = 1;
/// Above the percent that it leaves.
const BOUND: u32 = 1 << 8;
/// Arrivals beyond this many bits come around; priorities stand above them.
const ARRIVAL_BITS: u32 = 47;

/// What a request wants to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The child it waits in.
    pub slot: SlotId,
    /// The farm.
    pub farm: FarmId,
    /// Its class's priority: lower is served first.
    pub priority: u16,
    /// The places that it can use.
    pub reach: Reach,
}

/// Which places a request can use, as far as others can tell: it may find that it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Percent of a member's places that its class leaves to others.
    pub leaves: u8,
    /// Members that keep its session, each by its [bit](Self::bit), which it may share.
    pub homes: u64,
    /// It may go to no others.
    pub bound: bool,
}

impl Reach {
    /// A member among 64.
    pub const fn bit(member: MemberId) -> u64 {
        1 << (member.0 % u64::BITS)
    }

    /// It may go to this member, which is draining or not.
    pub const fn has(self, member: MemberId, drains: bool) -> bool {
        self.homes & Self::bit(member) != 0 || !(self.bound || drains)
    }
}

/// The farm's own part: whether anybody may wait for it, and how many have so far.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Not 0: there may be somebody in line.
    pub waiting: &'a AtomicU32,
    /// Requests that ever were.
    pub arrivals: &'a AtomicU64,
}

/// The list.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    entries: &'a [&'a Waiter],
}

impl<'a> Queue<'a> {
    /// The list of these entries.
    pub const fn new(entries: &'a [&'a Waiter]) -> Self {
        Self { entries }
    }

    /// Lines up. `None`: `most` requests wait for the farm already, or there is no entry left.
    pub fn enter(&self, wish: Wish, gate: Gate<'a>, most: u32) -> Option<InLine<'a>> {
        if self.of(wish.farm).take(most as usize).count() >= most as usize {
            return None;
        }
        let entry = take(self.entries, wish.slot)?;
        let arrival = gate.arrivals.fetch_add(1, Ordering::Relaxed) + 1;
        let word = (arrival << 1 & 0xffff_fffe) as u32;
        let arrival = arrival & ((1 << ARRIVAL_BITS) - 1);
        entry.0.word.store(word, Ordering::Relaxed);
        entry.0.farm.store(wish.farm.0, Ordering::Relaxed);
        let bound = u32::from(wish.reach.bound) * BOUND;
        let terms = u32::from(wish.reach.leaves) | bound;
        entry.0.terms.store(terms, Ordering::Relaxed);
        entry.0.homes.store(wish.reach.homes, Ordering::Relaxed);
        let rank = u64::from(wish.priority) << ARRIVAL_BITS | arrival;
        // Whoever sees the rank sees the rest.
        entry.0.rank.store(rank.max(1), Ordering::SeqCst);
        gate.waiting.store(1, Ordering::SeqCst);
        Some(InLine {
            queue: *self,
            entry,
            farm: wish.farm,
            waiting: word,
        })
    }

    /// An entry for a request that waits in no line, since nobody will call it. `None`: there is none
    /// left.
    pub fn stay(&self, slot: SlotId) -> Option<Stay<'a>> {
        take(self.entries, slot)
    }

    /// Somebody may be in line for a farm.
    pub fn has_line(gate: Gate<'_>) -> bool {
        gate.waiting.load(Ordering::SeqCst) != 0
    }

    /// One that waits, and comes before a request of this priority that arrives now, may have a place.
    pub fn precedes(&self, farm: FarmId, priority: u16, may: impl Fn(Reach) -> bool) -> bool {
        self.of(farm)
            .any(|(rank, entry)| rank >> ARRIVAL_BITS <= u64::from(priority) && may(entry.reach()))
    }

    /// Calls the first in line that may have a place and is not called yet. Returns the word it sleeps
    /// on.
    pub fn call(
        &self,
        farm: FarmId,
        gate: Gate<'_>,
        may: impl Fn(Reach) -> bool,
    ) -> Option<&'a AtomicU32> {
        loop {
            let waits = |_, entry: &Waiter| !entry.is_called() && may(entry.reach());
            let Some(first) = self.first(farm, waits) else {
                self.close(farm, gate);
                return None;
            };
            // Else it was called by another, or has left: the next one then.
            if first.call() {
                return Some(&first.word);
            }
        }
    }

    /// Calls the first behind this rank that may have one of the places that are left. Nothing is done
    /// if that one has been called already: it is about to look at every place left, these included,
    /// and whoever is behind it must not overtake it.
    pub fn pass(
        &self,
        farm: FarmId,
        gate: Gate<'_>,
        behind: u64,
        may: impl Fn(Reach) -> bool,
    ) -> Option<&'a AtomicU32> {
        loop {
            let waits = |rank, entry: &Waiter| rank > behind && may(entry.reach());
            let Some(next) = self.first(farm, waits) else {
                self.close(farm, gate);
                return None;
            };
            if next.is_called() {
                return None;
            }
            if next.call() {
                return Some(&next.word);
            }
        }
    }

    /// Gives back the entries of a child that certainly runs no more.
    pub fn abandon(&self, slot: SlotId) {
        let owner = slot.0.wrapping_add(1);
        for entry in self.entries {
            if entry.owner.load(Ordering::Relaxed) == owner {
                entry.free();
            }
        }
    }

    /// Gives back the entries of owners that are none.
    pub fn abandon_unless(&self, known: impl Fn(SlotId) -> bool) {
        for entry in self.entries {
            let owner = entry.owner.load(Ordering::Relaxed).checked_sub(1);
            if owner.is_some_and(|slot| !known(SlotId(slot))) {
                entry.free();
            }
        }
    }

    /// How many wait for a farm.
    pub fn len(&self, farm: FarmId) -> usize {
        self.of(farm).count()
    }

    fn of(&self, farm: FarmId) -> impl Iterator<Item = (u64, &'a Waiter)> {
        let ranked = |entry: &&'a Waiter| (entry.rank.load(Ordering::SeqCst), *entry);
        self.entries
            .iter()
            .map(ranked)
            .filter(move |(rank, entry)| *rank != 0 && entry.farm.load(Ordering::Relaxed) == farm.0)
    }

    /// The first in line of these.
    fn first(&self, farm: FarmId, of: impl Fn(u64, &Waiter) -> bool) -> Option<&'a Waiter> {
        let in_line = self.of(farm).filter(|(rank, entry)| of(*rank, entry));
        in_line
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, entry)| entry)
    }

    /// Nobody is in line any more, unless somebody has just come.
    fn close(&self, farm: FarmId, gate: Gate<'_>) {
        if self.of(farm).next().is_none() {
            gate.waiting.store(0, Ordering::SeqCst);
            if self.of(farm).next().is_some() {
                gate.waiting.store(1, Ordering::SeqCst);
            }
        }
    }
}

impl Waiter {
    fn reach(&self) -> Reach {
        let terms = self.terms.load(Ordering::Relaxed);
        Reach {
            leaves: u8::try_from(terms % BOUND).unwrap_or(0),
            homes: self.homes.load(Ordering::Relaxed),
            bound: terms & BOUND != 0,
        }
    }

    fn is_called(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CALLED != 0
    }

    /// False: another has called it, or it has left.
    fn call(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word & CALLED == 0
            && self
                .word
                .compare_exchange(word, word | CALLED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    fn free(&self) {
        self.rank.store(0, Ordering::SeqCst);
        self.owner.store(0, Ordering::Release);
    }
}

/// Takes the first of these entries that is nobody's.
fn take<'a>(entries: &[&'a Waiter], slot: SlotId) -> Option<Stay<'a>> {
    let owner = slot.0.checked_add(1)?;
    let mine = |entry: &&&Waiter| {
        entry
            .owner
            .compare_exchange(0, owner, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    };
    entries.iter().find(mine).map(|entry| Stay(entry))
}

/// An entry that a request has, given back when dropped.
#[derive(Debug)]
pub struct Stay<'a>(&'a Waiter);

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.0.free();
    }
}

/// A request in line, which it leaves when dropped.
#[derive(Debug)]
pub struct InLine<'a> {
    queue: Queue<'a>,
    entry: Stay<'a>,
    farm: FarmId,
    waiting: u32,
}

impl<'a> InLine<'a> {
    /// The word to sleep on, and what it says while nobody has called.
    pub const fn word(&self) -> (&'a AtomicU32, u32) {
        (&self.entry.0.word, self.waiting)
    }

    /// Takes a call. True when there was one; the next call is another one.
    pub fn answer(&self) -> bool {
        self.entry.0.word.swap(self.waiting, Ordering::AcqRel) & CALLED != 0
    }

    /// Where it stands: those with a higher rank are behind it.
    pub fn rank(&self) -> u64 {
        self.entry.0.rank.load(Ordering::Relaxed)
    }

    /// Nobody is before it.
    pub fn is_first(&self) -> bool {
        let rank = self.rank();
        self.queue.of(self.farm).all(|(other, _)| other >= rank)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(loom)]
#[cfg(test)]
mod interleavings;
