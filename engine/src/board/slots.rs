//! Child slots: who has how many requests under way at which member.
//!
//! The truth is a matrix of cells (slot, member), each written by the one process that owns the
//! slot; [`super::inflight`] says how a cell and its member's total move together. When a child has
//! died, [`SlotTable::release`] takes its cells off the totals. Where it was killed in the middle of
//! a move, they may now be too high: the member's total is corrected at once, the farm's when
//! [`SlotTable::reconcile`] is called the next time.
//!
//! Owners, cells and totals can be overwritten by a hostile child, which makes numbers wrong; where
//! they lie is private memory.

use std::collections::HashMap;
use std::ptr;

use crate::MemberId;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::inflight::{Cell, InFlight, Totals};

/// Columns that one correction may read in all; a farm's total reads one for each member. Between two
/// tries the thread yields, so that a request in mid-move can finish.
const LOOKS: usize = if cfg!(loom) { 2 } else { 100 };

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Requests by which totals were corrected.
    pub requests: u64,
    /// The members that they were at.
    pub members: Vec<MemberId>,
}

/// The in-flight cells of one extent's members: one row a slot.
#[derive(Debug)]
pub struct Matrix<'a> {
    first: u32,
    stride: usize,
    cells: &'a [AtomicU32],
    members: Vec<Totals<'a>>,
}

impl<'a> Matrix<'a> {
    /// The matrix of `members`, the first of which has board index `first`; a row begins every
    /// `stride` cells.
    pub const fn new(
        first: u32,
        stride: usize,
        cells: &'a [AtomicU32],
        members: Vec<Totals<'a>>,
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

    fn id(&self, column: usize) -> MemberId {
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        MemberId(self.first.saturating_add(column))
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

    /// Takes a slot for the calling child. None when all are taken: totals are what cells add up to, so
    /// the child then counts nothing.
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
        let mut doubtful = Vec::new();
        for live in self.live().filter(|live| dead(*live)) {
            let slot = live.slot.0 as usize;
            for (matrix, at) in self.matrices.iter().zip(0..) {
                let row = matrix.row(slot).iter().zip(&matrix.members);
                for ((cell, totals), column) in row.zip(0..) {
                    if cell.load(Ordering::Relaxed) == 0 {
                        continue;
                    }
                    let Cell { held, moving } = Cell::read(cell);
                    totals.give_back(held);
                    if moving {
                        doubtful.push((totals.member, (at, column)));
                    }
                    cell.store(0, Ordering::Relaxed);
                    repaired.requests = repaired.requests.saturating_add(u64::from(held));
                    repaired.members.push(matrix.id(column));
                }
            }
            if let Some(owner) = self.owners.get(slot) {
                // SYNC POINT: the row is zero before the slot is free.
                owner.store(0, Ordering::Release);
            }
        }
        for (total, column) in doubtful {
            repaired.requests += self.settle(total, &[column]);
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
        cells.map(|cell| u64::from(Cell::read(cell).held)).sum()
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

    /// Corrects totals that differ from their cells. To be called now and then, by one process. A
    /// total stays wrong only for as long as some request is in mid-move whenever one looks.
    pub fn reconcile(&self) -> Repaired {
        let mut repaired = Repaired::default();
        let mut farms: HashMap<*const InFlight, (&InFlight, u32, Vec<Column>)> = HashMap::new();
        for (matrix, at) in self.matrices.iter().zip(0..) {
            let held = self.held(matrix);
            for ((totals, held), column) in matrix.members.iter().zip(held).zip(0..) {
                let (id, column) = (matrix.id(column), (at, column));
                // Those at work differ now and then, which is soon found out.
                if totals.member.read().drift(held) != 0 {
                    let drift = self.settle(totals.member, &[column]);
                    if drift != 0 {
                        repaired.requests += drift;
                        repaired.members.push(id);
                    }
                }
                if let Some(farm) = totals.farm {
                    let entry = farms.entry(ptr::from_ref(farm));
                    let (_, sum, columns) = entry.or_insert((farm, 0, Vec::new()));
                    *sum = sum.wrapping_add(held);
                    columns.push(column);
                }
            }
        }
        for (total, sum, columns) in farms.into_values() {
            if total.read().drift(sum) != 0 {
                self.settle(total, &columns);
            }
        }
        repaired
    }

    /// What live children hold at each member of a matrix, row by row.
    fn held(&self, matrix: &Matrix<'_>) -> Vec<u32> {
        let mut held = vec![0u32; matrix.members.len()];
        for live in self.live() {
            for (cell, sum) in matrix.row(live.slot.0 as usize).iter().zip(&mut held) {
                *sum = sum.wrapping_add(Cell::read(cell).held);
            }
        }
        held
    }

    /// Corrects the total of what the `columns` hold, as soon as nothing moves there; by how much it
    /// was off.
    fn settle(&self, total: &InFlight, columns: &[Column]) -> u64 {
        for _ in 0..LOOKS.div_ceil(columns.len().max(1)) {
            let reading = total.read();
            if let Some(truth) = self.truth(columns) {
                let drift = reading.drift(truth);
                if drift == 0 || total.correct(reading, truth) {
                    return u64::from(drift);
                }
            }
            pause();
        }
        0
    }

    /// What live children hold at some members; `None` while a request moves there. Exact for a
    /// total that is the same before and after: a child that had moved in between would have moved
    /// the total too.
    fn truth(&self, columns: &[Column]) -> Option<u32> {
        let mut sum = 0u32;
        for live in self.live() {
            let slot = live.slot.0 as usize;
            for (matrix, column) in columns {
                let cell = self.matrices.get(*matrix)?.row(slot).get(*column)?;
                let Cell { held, moving } = Cell::read(cell);
                if moving {
                    return None;
                }
                sum = sum.wrapping_add(held);
            }
        }
        Some(sum)
    }
}

/// A column: its matrix, and where in it.
type Column = (usize, usize);

#[cfg(not(loom))]
fn pause() {
    std::thread::yield_now();
}

#[cfg(loom)]
fn pause() {
    loom::thread::yield_now();
}

fn zero(cells: &[AtomicU32]) {
    for cell in cells {
        cell.store(0, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::super::inflight::{close, open};
    use super::super::spec::sample;
    use super::super::{Board, Storage};
    use super::*;
    use crate::waiting;

    const FIRST: MemberId = MemberId(0);

    fn board(slots: u32, members: u32) -> Board {
        Board::open(Storage::Memory, slots, &[sample("f", 0..members)], 1)
            .unwrap()
            .0
    }

    fn total(board: &Board, member: MemberId) -> &'static InFlight {
        &board.member(member).unwrap().hot.inflight
    }

    fn totals(board: &Board, member: MemberId) -> Totals<'static> {
        Totals {
            member: total(board, member),
            farm: None,
        }
    }

    fn opened(board: &Board, slot: SlotId, member: MemberId, times: u32) {
        for _ in 0..times {
            open(
                board.cell(slot, member).unwrap(),
                totals(board, member),
                None.into(),
            );
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
        let repaired = board.release(100);
        assert_eq!(repaired.requests, 6);
        assert_eq!(repaired.members, [FIRST, MemberId(1)]);
        assert_eq!(board.inflight(FIRST), 3);
        assert_eq!(total(&board, FIRST).count(), 3);
        assert_eq!(total(&board, MemberId(1)).count(), 0);
        assert_eq!(board.release(100), Repaired::default());
    }

    /// Others may hang, and show it.
    #[test]
    fn members_that_a_dead_child_had_no_request_at_go_on_counting_who_waits() {
        let board = board(1, 2);
        let slot = board.claim(100).unwrap();
        opened(&board, slot, FIRST, 1);
        let words = [0, 1].map(|id| &board.member(MemberId(id)).unwrap().hot.waiting);
        let waits = words.map(|word| waiting::begin(word, 1_000_000));
        board.release(100);
        assert_eq!(
            words.map(|word| word.load(Ordering::Relaxed)),
            [0, waits[1]]
        );
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
        assert_eq!(board.sweep(|pid| pid == 101).requests, 1);
        assert_eq!(board.live_slots().len(), 1);
    }

    /// What a request does to its cell and its total, as often as `steps` of them are done.
    fn life(board: &Board, slot: SlotId, steps: usize) {
        const MOVING: u32 = 1 << 20;
        let (cell, total) = (board.cell(slot, FIRST).unwrap(), total(board, FIRST));
        let all: [&dyn Fn(); 6] = [
            &|| {
                cell.fetch_add(MOVING, Ordering::Relaxed);
            },
            &|| {
                total.take(Some(1));
            },
            &|| {
                cell.fetch_sub(MOVING - 1, Ordering::Relaxed);
            },
            &|| {
                cell.fetch_add(MOVING - 1, Ordering::Relaxed);
            },
            &|| total.give_back(1),
            &|| {
                cell.fetch_sub(MOVING, Ordering::Relaxed);
            },
        ];
        all.iter().take(steps).for_each(|step| step());
    }

    #[test]
    fn a_child_killed_at_any_step_leaves_its_place_free_and_no_other() {
        for steps in 0..=6 {
            let board = board(2, 1);
            let slot = board.claim(100).unwrap();
            life(&board, slot, steps);
            let taken = total(&board, FIRST).count();
            assert!(u64::from(board.inflight(FIRST) > 0) <= taken, "{steps}");
            let repaired = board.release(100).requests;
            assert_eq!(repaired, taken, "{steps}");
            assert_eq!(total(&board, FIRST).count(), 0, "{steps}");
            assert!(total(&board, FIRST).take(Some(1)).is_some());
            assert_eq!(total(&board, FIRST).take(Some(1)), None, "{steps}");
        }
    }

    #[test]
    fn a_total_below_none_is_corrected_though_nothing_is_under_way() {
        let board = board(1, 1);
        let farm = InFlight::default();
        total(&board, FIRST).give_back(3);
        farm.give_back(2);
        let members = vec![Totals {
            member: total(&board, FIRST),
            farm: Some(&farm),
        }];
        let table = SlotTable::new(&[], vec![Matrix::new(0, 1, &[], members)]);
        assert_eq!(table.reconcile().requests, 3);
        assert_eq!(total(&board, FIRST).take(None), Some(1));
        assert_eq!(farm.take(None), Some(1));
    }

    /// The total of a member where another child is in the middle of a move is left alone.
    #[test]
    fn a_total_is_corrected_when_nothing_moves() {
        let board = board(2, 1);
        let (moving, other) = (board.claim(100).unwrap(), board.claim(101).unwrap());
        opened(&board, other, FIRST, 2);
        total(&board, FIRST).take(None);
        life(&board, moving, 1);
        assert_eq!(board.reconcile(), Repaired::default());
        assert_eq!(total(&board, FIRST).count(), 3);
        board.release(100);
        assert_eq!(total(&board, FIRST).count(), 2);
        total(&board, FIRST).give_back(7);
        assert_eq!(board.reconcile().requests, 7);
        assert_eq!(total(&board, FIRST).count(), 2);
        close(board.cell(other, FIRST).unwrap(), totals(&board, FIRST));
        assert_eq!(board.reconcile(), Repaired::default());
    }
}
