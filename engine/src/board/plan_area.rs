//! Where a farm's plan is published: two buffers, of which one is read while the other is written.
//!
//! A plan is read without a lock by many and written under the farm's lock by one. The writer fills
//! the older buffer, stamps it with the new version and stores that version in the farm's record;
//! the version's low bit names the buffer. A reader that is overtaken by two publications may see
//! a mix of two plans; as each entry is checked before it is used, that costs at most one choice
//! made by a plan that is no longer, or not yet, the newest.
//!
//! A farm that outgrows its area gets a larger one, which children of older generations do not
//! know, while the version is shared by all. So the stamp decides: where the named buffer of an
//! area does not bear the published version, the area's newest complete buffer is read.
//!
//! Lists and capacities are slices from private memory; what the board says about lengths is
//! clamped to them.

use crate::plan::parts::Parts;
use crate::plan::{Capacity, Compiled, Count, Plan};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::record::FarmRecord;

/// What precedes the lists of a buffer.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct PlanHead {
    /// The version this buffer holds; 0 while it was never filled, or is being filled.
    pub stamp: AtomicU64,
    /// The farm's ticket at publication.
    pub base: AtomicU64,
    /// Entries of the eligible list.
    pub eligible: AtomicU32,
    /// Entries of the turns list.
    pub turns: AtomicU32,
    /// Entries of the table.
    pub table: AtomicU32,
    /// Entries of the index.
    pub index: AtomicU32,
    /// Sum of the eligible members' weights.
    pub weight: AtomicU64,
    /// All members.
    pub members: AtomicU32,
    /// Those that are usable.
    pub usable: AtomicU32,
    /// Those that are ejected.
    pub ejected: AtomicU32,
    /// Those that may answer, though they are in error.
    pub answering: AtomicU32,
    /// Of a long rotation. What each request counts is on a line of its own.
    pub parts: Parts,
}

/// One of the two buffers.
#[derive(Clone, Copy, Debug)]
pub struct PlanBuffer<'a> {
    /// Stamp, base, lengths.
    pub head: &'a PlanHead,
    /// Room for eligible members.
    pub eligible: &'a [AtomicU32],
    /// Room for turns.
    pub turns: &'a [AtomicU32],
    /// Room for the table; empty where the farm has none.
    pub table: &'a [AtomicU32],
    /// Room for the index.
    pub index: &'a [AtomicU32],
}

impl<'a> PlanBuffer<'a> {
    fn stamp(&self) -> u64 {
        self.head.stamp.load(Ordering::Acquire)
    }

    fn plan(&self) -> Plan<'a> {
        let eligible = filled(self.eligible, &self.head.eligible);
        let turns = filled(self.turns, &self.head.turns);
        Plan {
            eligible,
            turns,
            parts: Parts::suit(eligible.len(), turns.len()).then_some(&self.head.parts),
            table: filled(self.table, &self.head.table),
            index: filled(self.index, &self.head.index),
            weight: self.head.weight.load(Ordering::Relaxed),
            count: Count {
                members: self.head.members.load(Ordering::Relaxed),
                usable: self.head.usable.load(Ordering::Relaxed),
                ejected: self.head.ejected.load(Ordering::Relaxed),
                answering: self.head.answering.load(Ordering::Relaxed),
            },
            base: self.head.base.load(Ordering::Relaxed),
        }
    }
}

fn filled<'a>(list: &'a [AtomicU32], length: &AtomicU32) -> &'a [AtomicU32] {
    let length = length.load(Ordering::Relaxed) as usize;
    list.get(..length).unwrap_or(list)
}

fn fill(list: &[AtomicU32], length: &AtomicU32, values: &[u32]) {
    let mut filled = 0;
    for (entry, value) in list.iter().zip(values) {
        put(entry, *value);
        filled += 1;
    }
    put(length, filled);
}

/// What stays is not written: readers keep their copies of its cache line.
fn put(place: &AtomicU32, value: u32) {
    if place.load(Ordering::Relaxed) != value {
        place.store(value, Ordering::Relaxed);
    }
}

/// A farm's two plan buffers.
#[derive(Clone, Copy, Debug)]
pub struct PlanArea<'a> {
    even: PlanBuffer<'a>,
    odd: PlanBuffer<'a>,
}

impl<'a> PlanArea<'a> {
    /// An area of two buffers for the plans with even and odd versions.
    pub const fn new(even: PlanBuffer<'a>, odd: PlanBuffer<'a>) -> Self {
        Self { even, odd }
    }

    /// What a plan can have here at most.
    pub const fn capacity(&self) -> Capacity {
        Capacity {
            eligible: self.even.eligible.len(),
            turns: self.even.turns.len(),
            table: self.even.table.len(),
            index: self.even.index.len(),
        }
    }

    /// The plan in force; None before the first publication in this area.
    pub fn read(&self, farm: &FarmRecord) -> Option<Plan<'a>> {
        // SYNC POINT: read a buffer. Its stamp is stored after its contents, the version after that.
        let version = farm.cold.published.load(Ordering::Acquire);
        let named = if version & 1 == 0 {
            self.even
        } else {
            self.odd
        };
        let stamp = named.stamp();
        let known = stamp == version && stamp != 0;
        let (buffer, stamp) = if known { (named, stamp) } else { self.newest() };
        (stamp != 0).then(|| buffer.plan())
    }

    /// Publishes a plan. What exceeds the capacity is left out. The caller holds the farm's lock.
    pub fn publish(&self, farm: &FarmRecord, plan: &Compiled) {
        let (_, newest) = self.newest();
        let parity = (newest & 1) ^ 1;
        let buffer = if parity == 0 { self.even } else { self.odd };
        let version = following(farm.cold.published.load(Ordering::Relaxed), parity);

        // Acquire: the entries are not written before it. A writer that dies among them leaves
        // a buffer nobody takes for a plan.
        buffer.head.stamp.swap(0, Ordering::Acquire);
        fill(buffer.eligible, &buffer.head.eligible, &plan.eligible);
        fill(buffer.turns, &buffer.head.turns, &plan.turns);
        fill(buffer.table, &buffer.head.table, &plan.table);
        fill(buffer.index, &buffer.head.index, &plan.index);
        let Count {
            members,
            usable,
            ejected,
            answering,
        } = plan.count;
        put(&buffer.head.members, members);
        put(&buffer.head.usable, usable);
        put(&buffer.head.ejected, ejected);
        put(&buffer.head.answering, answering);
        buffer.head.weight.store(plan.weight, Ordering::Relaxed);
        if Parts::suit(plan.eligible.len(), plan.turns.len()) {
            buffer.head.parts.begin(plan.owed);
        }
        buffer
            .head
            .base
            .store(farm.hot.ticket.load(Ordering::Relaxed), Ordering::Relaxed);
        buffer.head.stamp.store(version, Ordering::Release);
        // SYNC POINT: write a buffer.
        farm.cold.published.store(version, Ordering::Release);
    }

    /// Forgets both plans, for a farm that has just been given this area.
    #[cfg(not(loom))]
    pub(super) fn clear(&self) {
        self.even.head.stamp.store(0, Ordering::Release);
        self.odd.head.stamp.store(0, Ordering::Release);
    }

    fn newest(&self) -> (PlanBuffer<'a>, u64) {
        let (even, odd) = (self.even.stamp(), self.odd.stamp());
        if odd > even {
            (self.odd, odd)
        } else {
            (self.even, even)
        }
    }
}

/// The next version of that parity; never 0, which would mean "none".
const fn following(version: u64, parity: u64) -> u64 {
    let next = version.wrapping_add(1);
    let next = if next & 1 == parity {
        next
    } else {
        next.wrapping_add(1)
    };
    if next == 0 { 2 } else { next }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::super::spec::sample;
    use super::super::{Board, FarmSeat, Storage};
    use super::*;

    fn seat() -> (Board, FarmSeat) {
        let (board, attached) = Board::open(Storage::Memory, 1, &[sample("f", 0..3)], 1).unwrap();
        let seat = attached.farms[0].clone();
        (board, seat)
    }

    fn plan(eligible: &[u32], turns: &[u32]) -> Compiled {
        Compiled {
            eligible: eligible.to_vec(),
            turns: turns.to_vec(),
            ..Compiled::default()
        }
    }

    fn read(seat: &FarmSeat) -> (Vec<u32>, Vec<u32>, u64) {
        let plan = seat.plan.read(seat.record).unwrap();
        let list = |entries: &[AtomicU32]| -> Vec<u32> {
            entries
                .iter()
                .map(|entry| entry.load(Ordering::Relaxed))
                .collect()
        };
        (list(plan.eligible), list(plan.turns), plan.base)
    }

    #[test]
    fn what_is_published_is_read() {
        let (_board, seat) = seat();
        assert!(seat.plan.read(seat.record).is_none());
        for version in 1..=5 {
            seat.record
                .hot
                .ticket
                .store(u64::from(version) * 10, Ordering::Relaxed);
            seat.plan
                .publish(seat.record, &plan(&[version, 7], &[version, 7, version]));
            let expected = (
                vec![version, 7],
                vec![version, 7, version],
                u64::from(version) * 10,
            );
            assert_eq!(read(&seat), expected);
            let published = seat.record.cold.published.load(Ordering::Relaxed);
            let named = if published & 1 == 0 {
                seat.plan.even
            } else {
                seat.plan.odd
            };
            assert_eq!(named.stamp(), published, "the low bit names the buffer");
        }
        seat.plan.publish(seat.record, &plan(&[], &[]));
        assert!(read(&seat).0.is_empty(), "nothing eligible is a plan, too");
    }

    #[test]
    fn what_exceeds_the_capacity_is_left_out() {
        let (_board, seat) = seat();
        let capacity = seat.plan.capacity();
        assert_eq!((capacity.eligible, capacity.turns), (8, 1024));
        seat.plan.publish(seat.record, &plan(&[1; 9], &[2; 1025]));
        let (read_eligible, read_turns, _) = read(&seat);
        assert_eq!((read_eligible.len(), read_turns.len()), (8, 1024));
    }

    #[test]
    fn lengths_and_versions_written_by_others_lead_nowhere_else() {
        let (_board, seat) = seat();
        seat.plan.publish(seat.record, &plan(&[1], &[1]));
        for published in [0, 1, 2, 3, u64::MAX, u64::MAX - 1] {
            for buffer in [seat.plan.even, seat.plan.odd] {
                buffer.head.eligible.store(u32::MAX, Ordering::Relaxed);
                buffer.head.turns.store(1025, Ordering::Relaxed);
            }
            seat.record
                .cold
                .published
                .store(published, Ordering::Relaxed);
            let (eligible, turns, _) = read(&seat);
            assert_eq!((eligible.len(), turns.len()), (8, 1024));
            seat.plan.publish(seat.record, &plan(&[5], &[5]));
            assert_eq!(read(&seat).0, [5]);
            assert_ne!(seat.record.cold.published.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn an_outgrown_area_and_its_successor_do_not_confuse_each_other() {
        let (mut board, old) = seat();
        for version in 1..=3 {
            old.plan.publish(old.record, &plan(&[version], &[version]));
        }
        let new = board
            .attach(&[sample("f", 0..20)], 1)
            .unwrap()
            .farms
            .remove(0);
        assert!(
            new.plan.read(new.record).is_none(),
            "the larger area is empty"
        );
        for version in 10..=14 {
            new.plan.publish(new.record, &plan(&[version], &[version]));
            assert_eq!(read(&new).0, [version]);
            assert_eq!(
                read(&old).0,
                [3],
                "children of the older generation keep their last plan"
            );
        }
        for version in 20..=24 {
            old.plan.publish(old.record, &plan(&[version], &[version]));
            assert_eq!(read(&old).0, [version]);
            assert_eq!(read(&new).0, [14]);
        }
        new.plan.publish(new.record, &plan(&[30], &[30]));
        assert_eq!((read(&new).0, read(&old).0), (vec![30], vec![24]));
    }

    #[test]
    fn a_writer_that_dies_leaves_the_last_plan() {
        let (_board, seat) = seat();
        seat.plan.publish(seat.record, &plan(&[1], &[1]));
        seat.plan.publish(seat.record, &plan(&[2], &[2]));
        let (newest, _) = seat.plan.newest();
        let other = if newest.stamp() & 1 == 0 {
            seat.plan.odd
        } else {
            seat.plan.even
        };
        other.head.stamp.store(0, Ordering::Relaxed);
        fill(other.eligible, &other.head.eligible, &[9]);
        assert_eq!(read(&seat).0, [2]);
    }
}
