//! Child slots: who has how many requests under way at which member.
//!
//! The truth is a matrix of cells (slot, member), each written by the one process that owns the
//! slot; a total per member ([`MemberHot::inflight`]) is kept beside it because choices need one
//! cheap number. A child [`open`]s cell first, total second, and [`close`]s total first, cell
//! second. So at every instant a child's part of a total is at most its cell: one killed between
//! the two steps leaves its cell one too high against the total, and after [`SlotTable::release`]
//! has taken the cells off, the total is one too low; never does a dead request make a member look
//! busy.
//!
//! [`SlotTable::reconcile`] removes that drift. Total and cells cannot be read at one instant, so
//! it acts only on a member whose total, cells and elections are the same in two calls: without an
//! election nothing was opened in between, and closes alone would have lowered the cells. What
//! remains is a thread caught between its two steps by both calls. Then a total is corrected too
//! early and is wrong by one as soon as that thread goes on; but that again is a drift, and the
//! next two quiet calls end it. So whatever caused a drift, garbage included, and whatever was
//! corrected before, a member left alone for two calls is exact.
//!
//! Owners, cells and totals can be overwritten by a hostile child, which makes numbers wrong; where
//! they lie is private memory.

use crate::MemberId;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::record::MemberHot;

/// A child's row in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotId(pub u32);

/// A slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSlot {
    /// Which.
    pub slot: SlotId,
    /// The child's process id.
    pub pid: u32,
    /// The configuration pass the child was forked in.
    pub generation: u32,
}

impl LiveSlot {
    const fn owner(pid: u32, generation: u32) -> u64 {
        (generation as u64) << 32 | pid as u64
    }

    fn of(slot: usize, owner: u64) -> Option<Self> {
        let (generation, pid) = ((owner >> 32) as u32, (owner & 0xffff_ffff) as u32);
        Some(Self {
            slot: SlotId(u32::try_from(slot).ok()?),
            pid,
            generation,
        })
        .filter(|_| owner != 0)
    }
}

/// What was put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Requests by which totals were corrected.
    pub requests: u64,
}

/// A request at a member begins.
pub fn open(cell: &AtomicU32, total: &AtomicI64) {
    cell.fetch_add(1, Ordering::Relaxed);
    // Release: not before the cell.
    total.fetch_add(1, Ordering::Release);
}

/// A request at a member has ended.
pub fn close(cell: &AtomicU32, total: &AtomicI64) {
    total.fetch_sub(1, Ordering::Relaxed);
    // Release: not before the total.
    cell.fetch_sub(1, Ordering::Release);
}

/// What the cells of one member add up to.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// The member's counters.
    pub hot: &'a MemberHot,
    /// The total of its farm, where that is counted.
    pub farm: Option<&'a AtomicI64>,
}

/// The in-flight cells of one extent's members: one row a slot.
#[derive(Debug)]
pub struct Matrix<'a> {
    first: u32,
    stride: usize,
    cells: &'a [AtomicU32],
    members: Vec<Column<'a>>,
}

impl<'a> Matrix<'a> {
    /// The matrix of `members`, the first of which has board index `first`; a row begins every
    /// `stride` cells.
    pub const fn new(
        first: u32,
        stride: usize,
        cells: &'a [AtomicU32],
        members: Vec<Column<'a>>,
    ) -> Self {
        Self {
            first,
            stride,
            cells,
            members,
        }
    }

    fn row(&self, slot: usize) -> &'a [AtomicU32] {
        let start = slot.saturating_mul(self.stride);
        let end = start.saturating_add(self.members.len());
        self.cells.get(start..end).unwrap_or_default()
    }

    fn column(&self, member: MemberId) -> Option<usize> {
        let column = member.0.checked_sub(self.first)? as usize;
        (column < self.members.len()).then_some(column)
    }
}

/// One member as reconciliation saw it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    total: i64,
    truth: i64,
    elected: u64,
}

#[cfg(not(loom))]
impl Sighting {
    /// What its cells added up to.
    pub(super) const fn truth(&self) -> i64 {
        self.truth
    }
}

/// All child slots and their matrices.
#[derive(Debug)]
pub struct SlotTable<'a> {
    owners: &'a [AtomicU64],
    matrices: Vec<Matrix<'a>>,
}

impl<'a> SlotTable<'a> {
    /// A table of as many slots as there are owner words; matrices in the order of their indices.
    pub const fn new(owners: &'a [AtomicU64], matrices: Vec<Matrix<'a>>) -> Self {
        Self { owners, matrices }
    }

    /// Takes a slot for the calling child. None when all are taken: the child then counts totals
    /// only, and what it has under way when it dies is left to [`SlotTable::reconcile`].
    pub fn claim(&self, pid: u32, generation: u32) -> Option<SlotId> {
        let owner = LiveSlot::owner(pid, generation);
        let taken = self.owners.iter().position(|word| {
            // Acquire: the parent's zeroing of the row (SYNC POINT: release).
            word.compare_exchange(0, owner, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })?;
        // Zero already, unless somebody wrote where he must not.
        for matrix in &self.matrices {
            zero(matrix.row(taken));
        }
        u32::try_from(taken).ok().map(SlotId)
    }

    /// The slot's own count for a member.
    pub fn cell(&self, slot: SlotId, member: MemberId) -> Option<&'a AtomicU32> {
        let after = self
            .matrices
            .partition_point(|matrix| matrix.first <= member.0);
        let matrix = self.matrices.get(after.checked_sub(1)?)?;
        matrix.row(slot.0 as usize).get(matrix.column(member)?)
    }

    /// Gives back the slots of all owners that `dead` names, and takes what they had under way off
    /// the totals. For the parent, about children that certainly run no more.
    pub fn release(&self, dead: impl Fn(LiveSlot) -> bool) -> Repaired {
        let mut repaired = Repaired::default();
        for live in self.live().filter(|live| dead(*live)) {
            let slot = live.slot.0 as usize;
            for matrix in &self.matrices {
                for (cell, column) in matrix.row(slot).iter().zip(&matrix.members) {
                    let left = cell.load(Ordering::Relaxed);
                    if left != 0 {
                        for total in column.farm.into_iter().chain([&column.hot.inflight]) {
                            total.fetch_sub(i64::from(left), Ordering::Relaxed);
                        }
                        cell.store(0, Ordering::Relaxed);
                        repaired.requests = repaired.requests.saturating_add(u64::from(left));
                    }
                }
            }
            if let Some(owner) = self.owners.get(slot) {
                // SYNC POINT: the row is zero before the slot is free.
                owner.store(0, Ordering::Release);
            }
        }
        repaired
    }

    /// The slots in use.
    pub fn live(&self) -> impl Iterator<Item = LiveSlot> + '_ {
        let owners = self.owners.iter().enumerate();
        owners.filter_map(|(slot, owner)| LiveSlot::of(slot, owner.load(Ordering::Acquire)))
    }

    /// What all live children together have under way at a member.
    pub fn inflight(&self, member: MemberId) -> u64 {
        let cells = self.live().filter_map(|live| self.cell(live.slot, member));
        cells
            .map(|cell| u64::from(cell.load(Ordering::Relaxed)))
            .sum()
    }

    /// Forgets what a member's column holds, in all slots.
    #[cfg(not(loom))]
    pub(super) fn clear(&self, member: MemberId) {
        for slot in (0..).take(self.owners.len()) {
            if let Some(cell) = self.cell(SlotId(slot), member) {
                cell.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Corrects totals that differ from their cells and have stood still since the last call, whose
    /// `sightings` are kept by the caller. To be called now and then, by one process.
    pub fn reconcile(&self, sightings: &mut Vec<Sighting>) -> Repaired {
        let seen: Vec<Sighting> = self.matrices.iter().flat_map(|m| self.sight(m)).collect();
        let totals = self.matrices.iter().flat_map(|matrix| &matrix.members);
        let mut repaired = Repaired::default();
        for ((now, before), column) in seen.iter().zip(sightings.iter()).zip(totals) {
            let drifted = now.total != now.truth && now == before;
            // Compare and exchange: a request that moves the total meanwhile calls it off.
            if drifted
                && column
                    .hot
                    .inflight
                    .compare_exchange(now.total, now.truth, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                let drift = now.total.abs_diff(now.truth);
                repaired.requests = repaired.requests.saturating_add(drift);
            }
        }
        *sightings = seen;
        repaired
    }

    fn sight(&self, matrix: &Matrix<'_>) -> Vec<Sighting> {
        let mut seen: Vec<Sighting> = matrix
            .members
            .iter()
            .map(|Column { hot, .. }| Sighting {
                total: hot.inflight.load(Ordering::Acquire),
                truth: 0,
                elected: hot.elected.load(Ordering::Acquire),
            })
            .collect();
        for live in self.live() {
            for (cell, sighting) in matrix.row(live.slot.0 as usize).iter().zip(&mut seen) {
                sighting.truth += i64::from(cell.load(Ordering::Acquire));
            }
        }
        seen
    }
}

fn zero(cells: &[AtomicU32]) {
    for cell in cells {
        cell.store(0, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::super::spec::sample;
    use super::super::{Board, Storage};
    use super::*;

    const FIRST: MemberId = MemberId(0);

    fn board(slots: u32, members: u32) -> Board {
        Board::open(Storage::Memory, slots, &[sample("f", 0..members)], 1)
            .unwrap()
            .0
    }

    fn total(board: &Board, member: MemberId) -> &'static AtomicI64 {
        &board.member(member).unwrap().hot.inflight
    }

    fn opened(board: &Board, slot: SlotId, member: MemberId, times: u32) {
        for _ in 0..times {
            open(board.cell(slot, member).unwrap(), total(board, member));
        }
    }

    #[test]
    fn each_child_has_a_slot_until_none_is_left() {
        let board = board(2, 1);
        assert_eq!(board.claim(100), Some(SlotId(0)));
        assert_eq!(board.claim(101), Some(SlotId(1)));
        assert_eq!(board.claim(102), None);
        let live = board.live_slots();
        assert_eq!(
            live[1],
            LiveSlot {
                slot: SlotId(1),
                pid: 101,
                generation: 2
            }
        );
        board.release(100);
        assert_eq!(board.claim(102), Some(SlotId(0)));
    }

    #[test]
    fn cells_are_those_of_one_slot_and_one_member() {
        let board = board(3, 40);
        let last = MemberId(39);
        opened(&board, SlotId(2), last, 1);
        for slot in 0..3 {
            for member in 0..40 {
                let cell = board.cell(SlotId(slot), MemberId(member)).unwrap();
                let expected = u32::from((slot, member) == (2, 39));
                assert_eq!(cell.load(Ordering::Relaxed), expected);
            }
        }
        assert!(board.cell(SlotId(3), FIRST).is_none());
        assert!(
            board.cell(SlotId(0), MemberId(64)).is_none(),
            "beyond the extent of 64"
        );
        assert!(board.cell(SlotId(u32::MAX), MemberId(u32::MAX)).is_none());
    }

    #[test]
    fn a_dead_child_leaves_nothing() {
        let board = board(2, 2);
        let (dead, alive) = (board.claim(100).unwrap(), board.claim(101).unwrap());
        opened(&board, dead, FIRST, 5);
        opened(&board, alive, FIRST, 3);
        opened(&board, dead, MemberId(1), 1);
        assert_eq!(board.inflight(FIRST), 8);
        assert_eq!(board.release(100), Repaired { requests: 6 });
        assert_eq!(board.inflight(FIRST), 3);
        assert_eq!(total(&board, FIRST).load(Ordering::Relaxed), 3);
        assert_eq!(total(&board, MemberId(1)).load(Ordering::Relaxed), 0);
        assert_eq!(board.release(100), Repaired::default());
    }

    #[test]
    fn a_claimed_row_is_zero_whatever_was_in_it() {
        let board = board(1, 2);
        board
            .cell(SlotId(0), FIRST)
            .unwrap()
            .store(77, Ordering::Relaxed);
        let slot = board.claim(100).unwrap();
        assert_eq!(board.cell(slot, FIRST).unwrap().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn sweeping_frees_what_no_process_owns() {
        let board = board(3, 1);
        let slot = board.claim(100).unwrap();
        opened(&board, slot, FIRST, 1);
        board.claim(101);
        assert_eq!(board.sweep(|pid| pid == 101), Repaired { requests: 1 });
        assert_eq!(board.live_slots().len(), 1);
    }

    /// A child killed between its two steps, both ways, leaves the total one too low.
    #[test]
    fn drift_is_corrected_when_it_stands_still() {
        let board = board(1, 1);
        let slot = board.claim(100).unwrap();
        board
            .cell(slot, FIRST)
            .unwrap()
            .fetch_add(1, Ordering::Relaxed);
        board.release(100);
        assert_eq!(total(&board, FIRST).load(Ordering::Relaxed), -1);
        assert_eq!(board.member(FIRST).unwrap().hot.in_flight(), 0);

        let slot = board.claim(101).unwrap();
        opened(&board, slot, FIRST, 1);
        total(&board, FIRST).fetch_sub(1, Ordering::Relaxed);
        board.release(101);
        assert_eq!(total(&board, FIRST).load(Ordering::Relaxed), -2);

        assert_eq!(
            board.reconcile(),
            Repaired::default(),
            "seen for the first time"
        );
        assert_eq!(board.reconcile(), Repaired { requests: 2 });
        assert_eq!(total(&board, FIRST).load(Ordering::Relaxed), 0);
        assert_eq!(board.reconcile(), Repaired::default());
    }

    #[test]
    fn drift_that_moves_or_sees_elections_is_left_alone() {
        let board = board(1, 1);
        let hot = &board.member(FIRST).unwrap().hot;
        hot.inflight.store(-1, Ordering::Relaxed);
        board.reconcile();
        hot.elected.fetch_add(1, Ordering::Relaxed);
        assert_eq!(
            board.reconcile(),
            Repaired::default(),
            "an election in between"
        );
        hot.inflight.store(-2, Ordering::Relaxed);
        assert_eq!(board.reconcile(), Repaired::default(), "the total moved");
        assert_eq!(board.reconcile(), Repaired { requests: 2 });
    }

    /// A thread stopped between its two steps for two calls: wrong by one when it goes on, and
    /// right again two calls later.
    #[test]
    fn a_correction_made_too_early_is_taken_back() {
        let board = board(1, 1);
        let slot = board.claim(100).unwrap();
        board
            .cell(slot, FIRST)
            .unwrap()
            .fetch_add(1, Ordering::Relaxed);
        board.reconcile();
        assert_eq!(board.reconcile(), Repaired { requests: 1 });
        total(&board, FIRST).fetch_add(1, Ordering::Release);
        assert_eq!(total(&board, FIRST).load(Ordering::Relaxed), 2);
        board.reconcile();
        assert_eq!(board.reconcile(), Repaired { requests: 1 });
        assert_eq!(total(&board, FIRST).load(Ordering::Relaxed), 1);
    }
}
