//! How many requests are under way at a member: a total for all processes (and one for its farm,
//! where that is counted), and each child's own cell, the truth from which totals are repaired.
//!
//! The total never falls below the cells: a request is added to the total first and to the cell
//! then, and taken off the cell first and off the total then. So whoever is killed in between
//! leaves the total too high, and a limit is never exceeded. For the time in between, the cell says
//! that a request of its child is moving; while none moves and the total stands still, their
//! difference is exactly what the dead left behind ([`super::slots::SlotTable::reconcile`]).

use super::limit::Limit;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A cell counts requests in its lower bits, and those that move in the upper ones. No child has a
/// million requests at a member, nor four thousand threads between two instructions.
const MOVING: u32 = 1 << 20;

/// The total counts in its lower half, and in the upper one how often it was added to, so that a
/// compare-and-swap that still finds the value it read knows that no request began or ended in
/// between.
const OPENED: u64 = 1 << 32 | 1;

/// A member's total.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct InFlight(pub AtomicU64);

impl InFlight {
    /// Requests under way. What a hostile child wrote may count as none, or as many.
    pub fn count(&self) -> u64 {
        under_way(self.0.load(Ordering::Relaxed))
    }

    /// Adds a request, unless `most` of them are there. How many there are with it; `None` when it
    /// did not.
    pub fn take(&self, most: Option<u32>) -> Option<u64> {
        let Some(most) = most.map(u64::from) else {
            let before = self.0.fetch_add(OPENED, Ordering::AcqRel);
            return Some(under_way(before) + 1);
        };
        // AcqRel: not before the cell says that a request moves, nor after the cell counts it.
        let taken = |total| (under_way(total) < most).then(|| total.wrapping_add(OPENED));
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, taken)
            .ok()
            .map(|before| under_way(before) + 1)
    }

    /// Takes requests off.
    pub fn give_back(&self, requests: u32) {
        self.0.fetch_sub(u64::from(requests), Ordering::AcqRel);
    }

    /// A reading for [`Self::correct`].
    pub(super) fn read(&self) -> Reading {
        // Acquire: cells are read after it.
        Reading(self.0.load(Ordering::Acquire))
    }

    /// Sets the count to `truth`, unless the total has moved since the reading. True when it did.
    pub(super) fn correct(&self, reading: Reading, truth: u32) -> bool {
        let corrected = reading.0 & !u64::from(u32::MAX) | u64::from(truth);
        self.0
            .compare_exchange(reading.0, corrected, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// What a request counts in. It counts at its member before it counts in the farm, and leaves the
/// farm first: the farm's total, and a share computed from it, is never too large.
#[derive(Clone, Copy, Debug)]
pub struct Totals<'a> {
    /// Its member's total.
    pub member: &'a InFlight,
    /// That of the farm, where it is counted.
    pub farm: Option<&'a InFlight>,
}

impl Totals<'_> {
    /// Adds a request within the limit. True when it did.
    pub fn take(self, limit: Limit) -> bool {
        let Some(farm) = self.farm else {
            return self.member.take(limit.most).is_some();
        };
        let Some(here) = self.member.take(limit.among(farm.count() + 1)) else {
            return false;
        };
        let all = farm.take(None);
        // Requests elsewhere may have ended in between.
        let within = |most: u32| here <= u64::from(most);
        let kept = limit.among(all.unwrap_or(0)).is_none_or(within);
        if !kept {
            self.give_back(1);
        }
        kept
    }

    /// Takes requests off.
    pub fn give_back(self, requests: u32) {
        if let Some(farm) = self.farm {
            farm.give_back(requests);
        }
        self.member.give_back(requests);
    }
}

/// A total at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading(u64);

impl Reading {
    /// By how much the count differs from `truth`.
    pub const fn drift(self, truth: u32) -> u32 {
        counted(self.0).abs_diff(truth.cast_signed())
    }
}

/// The lower half, which may have gone below 0.
const fn counted(total: u64) -> i32 {
    ((total & 0xffff_ffff) as u32).cast_signed()
}

fn under_way(total: u64) -> u64 {
    u64::try_from(counted(total)).unwrap_or(0)
}

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Requests under way.
    pub held: u32,
    /// Some of which may be on their way into or out of the total.
    pub moving: bool,
}

impl Cell {
    pub fn read(cell: &AtomicU32) -> Self {
        // Acquire: what it counts is in the total that is looked at next.
        let word = cell.load(Ordering::Acquire);
        Self {
            held: word % MOVING,
            moving: word >= MOVING,
        }
    }
}

/// A request at a member begins, if that keeps within the limit. True when it does.
pub fn open(cell: &AtomicU32, totals: Totals<'_>, limit: Limit) -> bool {
    cell.fetch_add(MOVING, Ordering::Relaxed);
    let taken = totals.take(limit);
    // Release: not before the totals.
    cell.fetch_sub(MOVING - u32::from(taken), Ordering::Release);
    taken
}

/// A request at a member has ended.
pub fn close(cell: &AtomicU32, totals: Totals<'_>) {
    cell.fetch_add(MOVING - 1, Ordering::Relaxed);
    totals.give_back(1);
    // Release: not before the totals.
    cell.fetch_sub(MOVING, Ordering::Release);
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_and_a_place_given_back_is_taken_again() {
        let (cell, total) = (AtomicU32::new(0), InFlight::default());
        let totals = Totals {
            member: &total,
            farm: None,
        };
        let open = |most| open(&cell, totals, Some(most).into());
        assert!(!open(0));
        assert!(open(2) && open(2) && !open(2));
        assert_eq!(total.count(), 2);
        assert_eq!(
            Cell::read(&cell),
            Cell {
                held: 2,
                moving: false
            }
        );
        assert!(!open(1), "lowered below what is under way");
        close(&cell, totals);
        assert!(open(2) && !open(2));
        close(&cell, totals);
        close(&cell, totals);
        assert_eq!((total.count(), Cell::read(&cell).held), (0, 0));
    }

    #[test]
    fn a_total_below_none_is_none_and_can_be_corrected() {
        let total = InFlight::default();
        total.give_back(3);
        assert_eq!(total.count(), 0);
        assert_eq!(total.take(Some(1)), Some(1), "nobody is kept out by it");
        let reading = total.read();
        assert_eq!(reading.drift(5), 7);
        assert!(total.correct(reading, 5));
        assert_eq!(total.count(), 5);
        total.take(None);
        total.give_back(1);
        let moved = total.read();
        assert!(!total.correct(reading, 0) && total.correct(moved, 0));
        assert_eq!(total.count(), 0);
    }
}
