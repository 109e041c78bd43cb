//! Where things lie in the board's file. It is a file format: a change of size or order, here or in
//! [`super::record`], is a new [`VERSION`].
//!
//! ```text
//! 0       Header, one page
//! 4096    child slots: one u64 each, rounded up to pages
//! then    extents, appended over time, each of whole pages and headed by an ExtentHead
//!           Farms    FarmRecord × count
//!           Members  MemberRecord × count, then the in-flight matrix: for each slot one row of
//!                    count × u32, so that a child writes to cache lines of its own
//!           Events   EventRecord × count, once
//!           Plan     one farm's two plan buffers: PlanHead, eligible, turns, index
//!           Waiters  Waiter × count, of all farms
//!           Table    one farm's two tables for `lbmethod=hash`, which belong to its plan buffers
//! ```
//!
//! Nothing ever moves. What lies on the board about its own layout is read at one place only, by
//! [`super::load`] at a full start, from a copy and with every number checked: the processes that
//! share the board go by the parent's private directory.

use serde::{Deserialize, Serialize};

use super::events::{EVENTS, EventRecord};
use super::plan_area::PlanHead;
use super::queue::Waiter;
use super::record::{FarmRecord, MemberRecord};
use super::watchers::WATCHERS;

use crate::plan::{index, table};
use crate::sync::{AtomicU32, AtomicU64};

/// First bytes of every board.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ATHBOARD");
/// Version of the layout.
pub const VERSION: u32 = 2;
/// Granularity of everything that is mapped, in bytes.
pub const PAGE: u64 = 4096;
/// Cache lines are shared in pairs by `x86_64`'s prefetcher.
pub const LINE: u64 = 128;
/// Most child slots.
pub const MAX_SLOTS: u32 = 1 << 16;
/// Most farms.
pub const MAX_FARMS: u32 = 1 << 16;
/// Most members, all farms together.
pub const MAX_MEMBERS: u32 = 1 << 20;
/// Most requests that wait for a place.
pub const MAX_WAITERS: u32 = 1 << 16;
/// Entries of waiting requests come in pages, but for the extent's head.
pub const WAITER_STEP: u32 = 124;
/// Farms come in pages.
pub const FARM_STEP: u32 = 32;
/// Members come in the number of cells that share a row's cache lines: fewer would cost as much.
pub const MEMBER_STEP: u32 = 32;
/// A plan's capacity: as many eligible members as the shortest list of turns serves.
pub const PLAN_STEP: u32 = 8;

/// What the file says about itself.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: AtomicU64,
    /// [`VERSION`].
    pub version: AtomicU32,
    /// 1 when all else is complete: stored last, checked first.
    pub ready: AtomicU32,
    /// The file's length in bytes.
    pub total: AtomicU64,
    /// Child slots.
    pub slots: AtomicU32,
    /// The configuration pass that wrote last.
    pub generation: AtomicU32,
    /// The last event's number.
    pub events: AtomicU64,
    /// Until when each place of those who follow the events is let ([`super::watchers`]).
    pub watchers: [AtomicU64; WATCHERS],
    /// Room for later versions.
    pub spare: [AtomicU64; 3],
}

/// What an extent says about itself.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct ExtentHead {
    /// A [`Kind`] as number.
    pub kind: AtomicU32,
    /// Records, or the capacity of the eligible list or the table.
    pub count: AtomicU32,
    /// Board index of the first record, or of the plan's or table's farm.
    pub first: AtomicU32,
    /// Room to keep the next field aligned.
    pub pad: AtomicU32,
    /// Length in bytes, this head included.
    pub length: AtomicU64,
    /// Room for later versions.
    pub spare: [AtomicU64; 13],
}

const _: () = {
    assert!(size_of::<Header>() as u64 == LINE);
    assert!(size_of::<ExtentHead>() as u64 == LINE);
    assert!(size_of::<PlanHead>() as u64 == LINE);
    // The counts of its parts, all that follows the first of their words, are half of it.
    assert!((core::mem::offset_of!(PlanHead, parts) + size_of::<AtomicU64>()) as u64 == LINE / 2);
    assert!((size_of::<FarmRecord>() as u64 * FARM_STEP as u64).is_multiple_of(PAGE));
    assert!(size_of::<AtomicU32>() as u64 * MEMBER_STEP as u64 == LINE);
};

/// What an extent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Farm records.
    Farms = 1,
    /// Member records and their in-flight matrix.
    Members = 2,
    /// One farm's plan buffers.
    Plan = 3,
    /// One farm's tables.
    Table = 4,
    /// Entries of requests that wait for a place.
    Waiters = 5,
    /// The last changes.
    Events = 6,
}

impl Kind {
    /// The kind of that number.
    pub fn of(number: u32) -> Option<Self> {
        [
            Self::Farms,
            Self::Members,
            Self::Plan,
            Self::Table,
            Self::Waiters,
            Self::Events,
        ]
        .into_iter()
        .find(|kind| *kind as u32 == number)
    }

    /// Largest count an extent of this kind may have.
    pub const fn most(self) -> u32 {
        match self {
            Self::Farms => MAX_FARMS,
            Self::Members | Self::Plan => MAX_MEMBERS,
            Self::Events => EVENTS,
            Self::Table => table::MAX,
            Self::Waiters => MAX_WAITERS,
        }
    }
}

/// One extent, as the parent knows it. All arithmetic is safe from overflow for counts within
/// [`Kind::most`] and [`MAX_SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// What it holds.
    pub kind: Kind,
    /// Where it begins in the file.
    pub offset: u64,
    /// Board index of the first record, or of the plan's or table's farm.
    pub first: u32,
    /// Records, or the capacity of the eligible list or the table.
    pub count: u32,
}

impl Extent {
    /// Length in bytes on a board of so many slots.
    pub fn length(&self, slots: u32) -> u64 {
        let count = u64::from(self.count);
        let body = match self.kind {
            Kind::Farms => count * size_of::<FarmRecord>() as u64,
            Kind::Members => {
                count * size_of::<MemberRecord>() as u64 + u64::from(slots) * self.stride() * 4
            }
            Kind::Events => count * size_of::<EventRecord>() as u64,
            Kind::Plan => 2 * self.plan_buffer(),
            Kind::Table => 2 * self.list(),
            Kind::Waiters => count * size_of::<Waiter>() as u64,
        };
        (LINE + body).next_multiple_of(PAGE)
    }

    /// Where its records begin.
    pub const fn records(&self) -> u64 {
        self.offset + LINE
    }

    /// Where its in-flight matrix begins.
    pub fn matrix(&self) -> u64 {
        self.records() + u64::from(self.count) * size_of::<MemberRecord>() as u64
    }

    /// Cells from one slot's row to the next.
    pub fn stride(&self) -> u64 {
        u64::from(self.count).next_multiple_of(u64::from(MEMBER_STEP))
    }

    /// Where plan buffer 0 or 1 begins; its lists follow its head.
    pub fn plan(&self, buffer: u64) -> PlanPlace {
        let head = self.records() + buffer * self.plan_buffer();
        let eligible = head + size_of::<PlanHead>() as u64;
        PlanPlace {
            head,
            eligible,
            turns: eligible + self.list(),
            index: eligible + self.list() + u64::from(self.plan_turns()) * 4,
        }
    }

    /// Where table 0 or 1 begins.
    pub fn table(&self, buffer: u64) -> u64 {
        self.records() + buffer * self.list()
    }

    /// Entries of its turns list.
    pub fn plan_turns(&self) -> u32 {
        turns_capacity(self.count)
    }

    /// Entries of its index.
    pub const fn plan_index(&self) -> u32 {
        index::entries(self.count)
    }

    /// Bytes of a list of `count` entries.
    fn list(&self) -> u64 {
        (u64::from(self.count) * 4).next_multiple_of(LINE)
    }

    fn plan_buffer(&self) -> u64 {
        let entries = u64::from(self.plan_turns()) + u64::from(self.plan_index());
        size_of::<PlanHead>() as u64 + self.list() + (entries * 4).next_multiple_of(LINE)
    }
}

/// Offsets of one plan buffer's parts in the file.
#[derive(Clone, Copy, Debug)]
pub struct PlanPlace {
    /// Its [`PlanHead`].
    pub head: u64,
    /// Its list of eligible members.
    pub eligible: u64,
    /// Its list of turns.
    pub turns: u64,
    /// Its index.
    pub index: u64,
}

/// Turns kept for so many eligible members: enough to show weights of 1 to 100 to within a percent.
pub const fn turns_capacity(eligible: u32) -> u32 {
    let wanted = eligible.saturating_mul(128);
    if wanted < 1024 { 1024 } else { wanted }
}

/// Where the slot table lies.
pub const SLOT_TABLE: u64 = PAGE;

/// Where the first extent begins on a board of so many slots.
pub fn first_extent(slots: u32) -> u64 {
    SLOT_TABLE + (u64::from(slots) * 8).next_multiple_of(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_within_their_extent() {
        for slots in [1, 7, 1024] {
            for count in [32, 64, 10_016] {
                let extent = Extent {
                    kind: Kind::Members,
                    offset: 8192,
                    first: 0,
                    count,
                };
                let end = extent.matrix() + u64::from(slots) * extent.stride() * 4;
                assert!(end <= extent.offset + extent.length(slots));
                assert_eq!(extent.matrix() % LINE, 0);
                assert_eq!(extent.stride() * 4 % LINE, 0);
            }
            for count in [8, 16, 10_000] {
                let extent = Extent {
                    kind: Kind::Plan,
                    offset: 4096,
                    first: 0,
                    count,
                };
                let [one, two] = [extent.plan(0), extent.plan(1)];
                assert!(one.eligible + u64::from(count) * 4 <= one.turns);
                assert_eq!(one.turns + u64::from(extent.plan_turns()) * 4, one.index);
                assert!(one.index + u64::from(extent.plan_index()) * 4 <= two.head);
                let end = two.index + u64::from(extent.plan_index()) * 4;
                assert!(end <= extent.offset + extent.length(slots));
                assert_eq!(two.head % LINE, 0);
            }
            for count in [16_381, table::MAX] {
                let extent = Extent {
                    kind: Kind::Table,
                    offset: 4096,
                    first: 0,
                    count,
                };
                let (one, two) = (extent.table(0), extent.table(1));
                assert!(one + u64::from(count) * 4 <= two);
                assert!(two + u64::from(count) * 4 <= extent.offset + extent.length(slots));
            }
        }
    }

    #[test]
    fn the_largest_board_does_not_overflow() {
        let extent = Extent {
            kind: Kind::Members,
            offset: 0,
            first: 0,
            count: MAX_MEMBERS,
        };
        assert!(extent.length(MAX_SLOTS) < 1 << 40);
        assert_eq!(turns_capacity(MAX_MEMBERS), MAX_MEMBERS * 128);
    }

    #[test]
    fn kinds_and_numbers_are_inverse() {
        for number in 0..8 {
            assert_eq!(
                Kind::of(number).map_or(0, |kind| kind as u32),
                number * u32::from(number < 7)
            );
        }
    }
}
