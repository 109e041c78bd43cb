//! All interleavings of the board's transitions, on miniatures of the board: the same code over
//! slices on the heap. Run by `ci/loom`.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::array::from_fn;

use athena_engine::MemberId;
use athena_engine::board::inflight::{InFlight, Totals, close, open};
use athena_engine::board::limit::{Limit, Share};
use athena_engine::board::plan_area::{PlanArea, PlanBuffer, PlanHead};
use athena_engine::board::record::{FarmRecord, MemberHot};
use athena_engine::board::slots::{Matrix, SlotId, SlotTable};
use athena_engine::plan::Compiled;
use athena_engine::plan::parts::Parts;
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
        SlotTable::new(
            &self.owners,
            vec![Matrix::new(0, 1, &self.cells, vec![self.totals()])],
        )
    }

    fn totals(&self) -> Totals<'_> {
        Totals {
            member: &self.hot.inflight,
            farm: None,
        }
    }

    fn open(&self, slot: SlotId, most: Option<u32>) -> bool {
        let table = self.table();
        let cell = table.cell(slot, MEMBER).unwrap();
        open(cell, self.totals(), most.into())
    }

    fn close(&self, slot: SlotId) {
        close(self.table().cell(slot, MEMBER).unwrap(), self.totals());
    }

    fn total(&self) -> u64 {
        self.hot.inflight.count()
    }
}

/// Two members of a farm whose total is counted; each may have the mean, rounded up.
#[derive(Default)]
struct Pair {
    members: [InFlight; 2],
    farm: InFlight,
}

impl Pair {
    fn totals(&self, member: usize) -> Totals<'_> {
        Totals {
            member: &self.members[member],
            farm: Some(&self.farm),
        }
    }

    fn claim(&self, member: usize) -> bool {
        let share = Some(Share::new(100, 100, 200));
        self.totals(member).take(Limit { most: None, share })
    }
}

#[test]
fn the_last_place_of_a_share_is_one_requests() {
    loom::model(|| {
        let pair = Arc::new(Pair::default());
        let other = pair.clone();
        let second = thread::spawn(move || other.claim(0));
        let first = pair.claim(0);
        assert_ne!(first, second.join().unwrap(), "half of two is one");
        assert_eq!((pair.members[0].count(), pair.farm.count()), (1, 1));
    });
}

/// The second of three may be at one member, the second of two may not.
#[test]
fn a_share_that_shrinks_while_it_is_claimed_is_not_exceeded() {
    loom::model(|| {
        let pair = Arc::new(Pair::default());
        assert!(pair.claim(0) && pair.claim(1));
        let other = pair.clone();
        let ends = thread::spawn(move || {
            other.totals(1).give_back(1);
            other.farm.count()
        });
        let claimed = pair.claim(0);
        let left = ends.join().unwrap();
        assert!(
            !claimed || left == 2,
            "it was claimed before the other ended"
        );
        assert_eq!(pair.farm.count(), 1 + u64::from(claimed));
    });
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
        board.open(dead, None);
        let other = board.clone();
        let claimant = thread::spawn(move || {
            let slot = other.table().claim(2, 2)?;
            other.open(slot, None);
            Some(slot)
        });
        let repaired = board.table().release(|live| live.pid == 1);
        assert_eq!(repaired.requests, 1);
        let expected = u64::from(claimant.join().unwrap().is_some());
        assert_eq!(board.total(), expected);
        assert_eq!(board.table().inflight(MEMBER), expected);
    });
}

/// One request's six steps, up to a kill.
fn live_for(board: &Slots, slot: SlotId, steps: u32) {
    const MOVING: u32 = 1 << 20;
    let table = board.table();
    let cell = table.cell(slot, MEMBER).unwrap();
    for step in 0..steps {
        match step {
            0 => drop(cell.fetch_add(MOVING, Relaxed)),
            1 => drop(board.hot.inflight.take(None)),
            2 => drop(cell.fetch_sub(MOVING - 1, Relaxed)),
            3 => drop(cell.fetch_add(MOVING - 1, Relaxed)),
            4 => board.hot.inflight.give_back(1),
            _ => drop(cell.fetch_sub(MOVING, Relaxed)),
        }
    }
}

/// A child that died after any of its steps is taken off while another one works: never is a place
/// given that is not free, and none is lost.
#[test]
fn a_release_is_exact_beside_a_working_child() {
    for steps in 0..=6 {
        loom::model(move || {
            let board = Arc::new(Slots::new(2));
            let (dead, alive) = (
                board.table().claim(1, 2).unwrap(),
                board.table().claim(2, 2).unwrap(),
            );
            live_for(&board, dead, steps);
            let other = board.clone();
            // The dead request's place may be free by then, or not; there are two.
            let child = thread::spawn(move || {
                assert!(other.open(alive, Some(2)));
                other.open(alive, Some(2))
            });
            board.table().release(|live| live.pid == 1);
            let held = 1 + u64::from(child.join().unwrap());
            board.table().reconcile();
            assert_eq!(board.total(), held);
            assert_eq!(board.table().inflight(MEMBER), held);
        });
    }
}

/// Two children and one place: one of them has it, or each in its turn.
#[test]
fn one_place_is_held_once() {
    loom::model(|| {
        let board = Arc::new(Slots::new(2));
        let holders = Arc::new(AtomicU32::new(0));
        let work = |board: Arc<Slots>, holders: Arc<AtomicU32>, pid| {
            move || {
                let slot = board.table().claim(pid, 2).unwrap();
                let had = board.open(slot, Some(1));
                if had {
                    assert_eq!(holders.fetch_add(1, Relaxed), 0);
                    holders.fetch_sub(1, Relaxed);
                    board.close(slot);
                }
                had
            }
        };
        let other = thread::spawn(work(board.clone(), holders.clone(), 1));
        let first = work(board.clone(), holders, 2)();
        let second = other.join().unwrap();
        assert!(first || second);
        assert_eq!(board.total(), 0);
    });
}

/// Reconciliation never takes a request for a drift, and after the last request all is exact.
#[test]
fn reconciling_beside_a_working_child_ends_exact() {
    for drift in [0, 1] {
        loom::model(move || {
            let board = Arc::new(Slots::new(1));
            let slot = board.table().claim(1, 2).unwrap();
            board.hot.inflight.0.store(drift, Relaxed);
            let other = board.clone();
            let child = thread::spawn(move || {
                assert!(other.open(slot, None));
                let held = other.total();
                assert!((1..=1 + drift).contains(&held), "{held}");
                other.close(slot);
            });
            board.table().reconcile();
            child.join().unwrap();
            board.table().reconcile();
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
            index: &[],
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
            // What stays in a buffer is not written: each gets the other's plan.
            other.publish(2);
            other.publish(1);
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
        assert_eq!(plans.read().unwrap(), plan_of(1));
    });
}

/// One takes the cycle's last turn, the other one of the next: none is taken twice, or left.
#[test]
fn a_cycle_in_parts_has_one_last_turn() {
    const TURNS: usize = 8;
    loom::model(|| {
        let parts = Arc::new(Parts::default());
        let before: Vec<u64> = (1..TURNS).map(|_| parts.take(TURNS, 0)).collect();
        assert_eq!(before, [0, 1, 2, 3, 4, 5, 6]);
        let other = parts.clone();
        let second = thread::spawn(move || other.take(TURNS, 1));
        let first = parts.take(TURNS, 0);
        let second = second.join().unwrap();
        let (last, next) = (first.min(second), first.max(second));
        assert!(last == 7 && (8..16).contains(&next), "{last}, {next}");
    });
}
