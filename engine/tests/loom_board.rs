//! All interleavings of the board's transitions, on miniatures of the board: the same code over
//! slices on the heap. Run by `ci/loom`.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::array::from_fn;

use athena_engine::MemberId;
use athena_engine::board::plan_area::{PlanArea, PlanBuffer, PlanHead};
use athena_engine::board::record::{FarmRecord, MemberHot};
use athena_engine::board::slots::{Column, Matrix, SlotId, SlotTable, close, open};
use athena_engine::plan::Compiled;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use loom::thread;

fn entries(count: usize) -> Vec<AtomicU32> {
    (0..count).map(|_| AtomicU32::new(0)).collect()
}

/// Slots and one member.
struct Slots {
    owners: Vec<AtomicU64>,
    cells: Vec<AtomicU32>,
    hot: MemberHot,
}

const MEMBER: MemberId = MemberId(0);

impl Slots {
    fn new(slots: usize) -> Self {
        Self {
            owners: words(slots),
            cells: entries(slots),
            hot: MemberHot::default(),
        }
    }

    fn table(&self) -> SlotTable<'_> {
        let column = Column {
            hot: &self.hot,
            farm: None,
        };
        SlotTable::new(
            &self.owners,
            vec![Matrix::new(0, 1, &self.cells, vec![column])],
        )
    }

    fn open(&self, slot: SlotId) {
        self.hot.elected.fetch_add(1, Relaxed);
        open(self.table().cell(slot, MEMBER).unwrap(), &self.hot.inflight);
    }

    fn close(&self, slot: SlotId) {
        close(self.table().cell(slot, MEMBER).unwrap(), &self.hot.inflight);
    }

    fn total(&self) -> i64 {
        self.hot.inflight.load(Relaxed)
    }
}

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn two_claims_get_two_slots_or_one() {
    for slots in [1, 2] {
        loom::model(move || {
            let board = Arc::new(Slots::new(slots));
            let other = board.clone();
            let second = thread::spawn(move || other.table().claim(2, 2));
            let first = board.table().claim(1, 2);
            let second = second.join().unwrap();
            assert_ne!(first, second);
            let taken = [first, second].iter().flatten().count();
            assert_eq!(taken, slots);
            assert_eq!(board.table().live().count(), slots);
        });
    }
}

#[test]
fn a_slot_given_back_is_claimed_clean() {
    loom::model(|| {
        let board = Arc::new(Slots::new(1));
        let dead = board.table().claim(1, 2).unwrap();
        board.open(dead);
        let other = board.clone();
        let claimant = thread::spawn(move || {
            let slot = other.table().claim(2, 2)?;
            other.open(slot);
            Some(slot)
        });
        let repaired = board.table().release(|live| live.pid == 1);
        assert_eq!(repaired.requests, 1);
        let expected = i64::from(claimant.join().unwrap().is_some());
        assert_eq!(board.total(), expected);
        assert_eq!(board.table().inflight(MEMBER), expected.unsigned_abs());
    });
}

/// A child that died after any of its steps is taken off while another one works.
#[test]
fn a_release_is_exact_beside_a_working_child() {
    for steps in 0..=4 {
        loom::model(move || {
            let board = Arc::new(Slots::new(2));
            let (dead, alive) = (
                board.table().claim(1, 2).unwrap(),
                board.table().claim(2, 2).unwrap(),
            );
            let drift = live_for(&board, dead, steps);
            let other = board.clone();
            let child = thread::spawn(move || {
                other.open(alive);
                other.close(alive);
                other.open(alive);
            });
            board.table().release(|live| live.pid == 1);
            child.join().unwrap();
            assert_eq!(board.total(), 1 - drift);
            assert_eq!(board.table().inflight(MEMBER), 1);
        });
    }
}

/// One request's four steps, up to a kill; returns by how much the total is too low afterwards.
fn live_for(board: &Slots, slot: SlotId, steps: u32) -> i64 {
    let table = board.table();
    let cell = table.cell(slot, MEMBER).unwrap();
    for step in 0..steps {
        match step {
            0 => drop(cell.fetch_add(1, Relaxed)),
            1 => drop(board.hot.inflight.fetch_add(1, Relaxed)),
            2 => drop(board.hot.inflight.fetch_sub(1, Relaxed)),
            _ => drop(cell.fetch_sub(1, Relaxed)),
        }
    }
    i64::from(steps == 1 || steps == 3)
}

/// Whatever reconciliation sees while a child works: two calls after the last request all is exact.
#[test]
fn reconciling_beside_a_working_child_ends_exact() {
    for drift in [-1, 0] {
        loom::model(move || {
            let board = Arc::new(Slots::new(1));
            let slot = board.table().claim(1, 2).unwrap();
            board.hot.inflight.store(drift, Relaxed);
            let other = board.clone();
            let child = thread::spawn(move || {
                other.open(slot);
                other.close(slot);
            });
            let mut sightings = Vec::new();
            board.table().reconcile(&mut sightings);
            board.table().reconcile(&mut sightings);
            child.join().unwrap();
            board.table().reconcile(&mut sightings);
            board.table().reconcile(&mut sightings);
            assert_eq!(board.total(), 0);
        });
    }
}

/// A farm with an area of two eligible members and four turns.
struct Plans {
    farm: FarmRecord,
    heads: [PlanHead; 2],
    eligible: [Vec<AtomicU32>; 2],
    turns: [Vec<AtomicU32>; 2],
}

impl Plans {
    fn new() -> Self {
        Self {
            farm: FarmRecord::default(),
            heads: from_fn(|_| PlanHead::default()),
            eligible: from_fn(|_| entries(2)),
            turns: from_fn(|_| entries(4)),
        }
    }

    fn area(&self) -> PlanArea<'_> {
        let buffer = |number: usize| PlanBuffer {
            head: &self.heads[number],
            eligible: &self.eligible[number],
            turns: &self.turns[number],
            table: &[],
        };
        PlanArea::new(buffer(0), buffer(1))
    }

    fn publish(&self, member: u32) {
        let members = vec![member; member as usize];
        let plan = Compiled {
            eligible: members.clone(),
            turns: members,
            ..Compiled::default()
        };
        self.area().publish(&self.farm, &plan);
    }

    fn read(&self) -> Option<(Vec<u32>, Vec<u32>)> {
        let plan = self.area().read(&self.farm)?;
        let list =
            |entries: &[AtomicU32]| entries.iter().map(|entry| entry.load(Relaxed)).collect();
        Some((list(plan.eligible), list(plan.turns)))
    }
}

/// The plan of member `n`, for n = 1 or 2: its number n times.
fn plan_of(member: u32) -> (Vec<u32>, Vec<u32>) {
    let list = vec![member; member as usize];
    (list.clone(), list)
}

#[test]
fn a_reader_beside_one_publication_sees_a_whole_plan() {
    loom::model(|| {
        let plans = Arc::new(Plans::new());
        plans.publish(1);
        let other = plans.clone();
        let writer = thread::spawn(move || other.publish(2));
        let seen = plans.read().unwrap();
        assert!(seen == plan_of(1) || seen == plan_of(2), "{seen:?}");
        writer.join().unwrap();
        assert_eq!(plans.read().unwrap(), plan_of(2));
    });
}

#[test]
fn the_first_publication_is_seen_whole_or_not_at_all() {
    loom::model(|| {
        let plans = Arc::new(Plans::new());
        let other = plans.clone();
        let writer = thread::spawn(move || other.publish(2));
        let seen = plans.read();
        assert!(seen.is_none() || seen == Some(plan_of(2)), "{seen:?}");
        writer.join().unwrap();
    });
}

/// Overtaken twice, a reader may see a mix: of entries that were published, none beyond the
/// lengths.
#[test]
fn a_reader_overtaken_twice_sees_published_entries_only() {
    loom::model(|| {
        let plans = Arc::new(Plans::new());
        plans.publish(1);
        plans.publish(2);
        let other = plans.clone();
        let writer = thread::spawn(move || {
            other.publish(1);
            other.publish(2);
        });
        let (eligible, turns) = plans.read().unwrap();
        assert!((1..=2).contains(&eligible.len()) && (1..=2).contains(&turns.len()));
        assert!(
            eligible
                .iter()
                .chain(&turns)
                .all(|entry| (1..=2).contains(entry))
        );
        writer.join().unwrap();
        assert_eq!(plans.read().unwrap(), plan_of(2));
    });
}
