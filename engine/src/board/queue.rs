//! Requests that wait: one list for all farms and children, and so no more of them than it has entries.
//!
//! A waiting request holds an entry, which says whose it is, and sleeps on its own word. Whoever
//! gives a place back [`call`](Queue::call)s the first of those that wait for it: class before class,
//! then in the order of arrival. A request that is called elects again, and waits on in its old
//! place should it have come too late. One that leaves without a place passes its call on.
//!
//! Nothing is lost with a child that is killed: its parent gives its entries back
//! ([`Queue::abandon`]). A call that was lost with it, a place that nobody gave back and a member
//! that returned are found by the first in line, which looks for itself now and then.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::slots::SlotId;
use crate::FarmId;

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
    /// Percent of a member's places that it leaves to others.
    leaves: AtomicU32,
    /// Room to keep entries within cache lines.
    spare: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Waiter>() == 32);

const CALLED: u32 = 1;
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
    /// Percent of a member's places that its class leaves to others.
    pub leaves: u8,
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
    pub fn enter(&self, wish: Wish, gate: Gate<'a>, most: u32) -> Option<Place<'a>> {
        if self.of(wish.farm).take(most as usize).count() >= most as usize {
            return None;
        }
        let entry = take(self.entries, wish.slot)?;
        let arrival = gate.arrivals.fetch_add(1, Ordering::Relaxed) + 1;
        let word = (arrival << 1 & 0xffff_fffe) as u32;
        let arrival = arrival & ((1 << ARRIVAL_BITS) - 1);
        entry.0.word.store(word, Ordering::Relaxed);
        entry.0.farm.store(wish.farm.0, Ordering::Relaxed);
        entry.0.leaves.store(wish.leaves.into(), Ordering::Relaxed);
        let rank = u64::from(wish.priority) << ARRIVAL_BITS | arrival;
        // Whoever sees the rank sees the rest.
        entry.0.rank.store(rank.max(1), Ordering::SeqCst);
        gate.waiting.store(1, Ordering::SeqCst);
        Some(Place {
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

    /// Somebody may be in line for a farm: one that arrives now is not served before him.
    pub fn has_line(gate: Gate<'_>) -> bool {
        gate.waiting.load(Ordering::SeqCst) != 0
    }

    /// Calls the first in line that may have a place, which depends on how many percent it
    /// `leaves`. Returns the word it sleeps on.
    pub fn call(
        &self,
        farm: FarmId,
        gate: Gate<'_>,
        may: impl Fn(u8) -> bool,
    ) -> Option<&'a AtomicU32> {
        loop {
            let Some(first) = self.first(farm, &may) else {
                self.close(farm, gate);
                return None;
            };
            let word = first.word.load(Ordering::Acquire);
            let called = word & CALLED == 0
                && first
                    .word
                    .compare_exchange(word, word | CALLED, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok();
            // Else it was called by another, or has left: the next one then.
            if called {
                return Some(&first.word);
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

    /// The first in line that is not called yet.
    fn first(&self, farm: FarmId, may: impl Fn(u8) -> bool) -> Option<&'a Waiter> {
        let waits = |(_, entry): &(u64, &Waiter)| {
            let leaves = entry.leaves.load(Ordering::Relaxed);
            entry.word.load(Ordering::Relaxed) & CALLED == 0
                && may(u8::try_from(leaves).unwrap_or(0))
        };
        let in_line = self.of(farm).filter(waits);
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

/// A place in line, left when dropped.
#[derive(Debug)]
pub struct Place<'a> {
    queue: Queue<'a>,
    entry: Stay<'a>,
    farm: FarmId,
    waiting: u32,
}

impl<'a> Place<'a> {
    /// The word to sleep on, and what it says while nobody has called.
    pub const fn word(&self) -> (&'a AtomicU32, u32) {
        (&self.entry.0.word, self.waiting)
    }

    /// Takes a call. True when there was one; the next call is another one.
    pub fn answer(&self) -> bool {
        self.entry.0.word.swap(self.waiting, Ordering::AcqRel) & CALLED != 0
    }

    /// Nobody is before it.
    pub fn is_first(&self) -> bool {
        let rank = self.entry.0.rank.load(Ordering::Relaxed);
        self.queue.of(self.farm).all(|(other, _)| other >= rank)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const FARM: FarmId = FarmId(3);

    struct List {
        entries: Vec<Waiter>,
        waiting: AtomicU32,
        arrivals: AtomicU64,
    }

    impl List {
        fn new(entries: usize) -> Self {
            Self {
                entries: (0..entries).map(|_| Waiter::default()).collect(),
                waiting: AtomicU32::new(0),
                arrivals: AtomicU64::new(0),
            }
        }

        fn gate(&self) -> Gate<'_> {
            Gate {
                waiting: &self.waiting,
                arrivals: &self.arrivals,
            }
        }

        fn with<T>(&self, action: impl FnOnce(Queue<'_>) -> T) -> T {
            let entries: Vec<&Waiter> = self.entries.iter().collect();
            action(Queue::new(&entries))
        }
    }

    fn wish(priority: u16, leaves: u8) -> Wish {
        Wish {
            slot: SlotId(u32::from(priority)),
            farm: FARM,
            priority,
            leaves,
        }
    }

    #[test]
    fn class_before_class_and_then_by_arrival() {
        let list = List::new(8);
        list.with(|queue| {
            let gate = list.gate();
            let enter = |priority| queue.enter(wish(priority, 0), gate, 8).unwrap();
            let mut line = [9, 9, 1, u16::MAX, 1].map(|priority| Some(enter(priority)));
            let first = |at: usize| line[at].as_ref().unwrap().is_first();
            assert!(Queue::has_line(gate) && first(2) && !first(0));
            for next in [2, 4, 0, 1, 3] {
                assert!(queue.call(FARM, gate, |_| true).is_some());
                let called = |place: &Option<Place<'_>>| place.as_ref().is_some_and(Place::answer);
                let called: Vec<bool> = line.iter().map(called).collect();
                let expected: Vec<bool> = (0..5).map(|at| at == next).collect();
                assert_eq!(called, expected);
                // It has its place, and is gone.
                line[next] = None;
            }
            assert!(queue.call(FARM, gate, |_| true).is_none());
            assert!(queue.call(FarmId(4), gate, |_| true).is_none());
        });
    }

    #[test]
    fn one_that_may_not_have_the_place_is_passed_over() {
        let list = List::new(8);
        list.with(|queue| {
            let gate = list.gate();
            let first = queue.enter(wish(1, 30), gate, 8).unwrap();
            let second = queue.enter(wish(2, 0), gate, 8).unwrap();
            assert!(queue.call(FARM, gate, |leaves| leaves < 30).is_some());
            assert!(!first.answer() && second.answer());
        });
    }

    #[test]
    fn the_list_and_the_line_have_an_end() {
        let list = List::new(3);
        list.with(|queue| {
            let gate = list.gate();
            let enter = |most| queue.enter(wish(1, 0), gate, most);
            let one = enter(2).unwrap();
            let two = enter(2).unwrap();
            assert!(enter(2).is_none() && queue.len(FARM) == 2);
            let three = enter(9).unwrap();
            assert!(enter(9).is_none(), "no entry is left");
            drop((one, two, three));
            assert_eq!(queue.len(FARM), 0);
            assert!(Queue::has_line(gate), "nobody has looked yet");
            assert!(queue.call(FARM, gate, |_| true).is_none());
            assert!(!Queue::has_line(gate));
            assert!(enter(2).is_some());
        });
    }

    #[test]
    fn who_waits_in_no_line_has_an_entry_and_nothing_else() {
        let list = List::new(3);
        list.with(|queue| {
            let gate = list.gate();
            let stays = [1, 2].map(|slot| queue.stay(SlotId(slot)).unwrap());
            assert_eq!((queue.len(FARM), Queue::has_line(gate)), (0, false));
            let place = queue.enter(wish(1, 0), gate, 9).unwrap();
            assert!(place.is_first());
            assert!(queue.enter(wish(1, 0), gate, 9).is_none());
            assert!(queue.stay(SlotId(3)).is_none());
            drop(stays);
            assert!(queue.enter(wish(1, 0), gate, 9).is_some());
            std::mem::forget(queue.stay(SlotId(3)));
            queue.abandon(SlotId(3));
            let stays = [1, 2].map(|slot| queue.stay(SlotId(slot)));
            assert!(stays.iter().all(Option::is_some));
        });
    }

    #[test]
    fn a_dead_childs_entries_are_free() {
        let list = List::new(3);
        list.with(|queue| {
            let gate = list.gate();
            for priority in [1, 1, 2] {
                std::mem::forget(queue.enter(wish(priority, 0), gate, 9));
            }
            queue.abandon(SlotId(1));
            assert_eq!(queue.len(FARM), 1);
            queue.abandon_unless(|slot| slot != SlotId(2));
            assert_eq!(queue.len(FARM), 0);
            assert!(queue.enter(wish(5, 0), gate, 9).is_some());
        });
    }
}
