//! Where the records lie: extents of the file, appended and never moved.

use super::{Directory, FarmEntry, Life, MemberEntry};
use crate::board::error::BoardError;
use crate::board::events::EVENTS;
use crate::board::layout::{Extent, FARM_STEP, Kind, MAX_MEMBERS, MEMBER_STEP, PLAN_STEP};
use crate::board::settings::Settings;
use crate::plan::table::entries;

impl Directory {
    /// Appends what the entries lack, in whole steps; the surplus entries are free.
    pub(super) fn add_capacity(&mut self) {
        let farms = self.append(Kind::Farms, self.farms.len(), FARM_STEP);
        self.farms.resize_with(farms, || FarmEntry {
            life: Life::Free,
            server: String::new(),
            name: String::new(),
            plan: None,
            table: None,
        });
        let members = self.append(Kind::Members, self.members.len(), MEMBER_STEP);
        self.members.resize_with(members, || MemberEntry {
            life: Life::Free,
            farm: 0,
            url: String::new(),
            configured: Settings::default(),
            added: false,
        });
        self.append(Kind::Events, EVENTS as usize, EVENTS);
    }

    pub(super) fn append(&mut self, kind: Kind, wanted: usize, step: u32) -> usize {
        let extents = self.extents.iter().filter(|extent| extent.kind == kind);
        let there: u32 = extents.map(|extent| extent.count).sum();
        let missing = wanted.saturating_sub(there as usize);
        // `wanted` was checked against the maximum, a multiple of `step`.
        let count = u32::try_from(missing).unwrap_or(0).next_multiple_of(step);
        if count > 0 {
            self.push(kind, there, count);
        }
        (there + count) as usize
    }

    fn push(&mut self, kind: Kind, first: u32, count: u32) -> usize {
        let extent = Extent {
            kind,
            offset: self.total,
            first,
            count,
        };
        self.total += extent.length(self.slots);
        self.extents.push(extent);
        self.extents.len() - 1
    }

    /// Sees to a plan area with room for so many members, and to tables if they are wanted. What
    /// was outgrown is replaced by half as much again at least, so that all that a farm leaves behind
    /// stays in proportion.
    pub(super) fn fit_plan(
        &mut self,
        farm: u32,
        members: usize,
        hashed: bool,
    ) -> Result<(), BoardError> {
        let Some(entry) = self.farms.get(farm as usize) else {
            return Err(BoardError::Layout);
        };
        let (mut plan, mut table) = (entry.plan, entry.table);
        let room = |index: Option<usize>| {
            let extent = index.and_then(|index| self.extents.get(index));
            extent.map_or(0, |extent| extent.count)
        };
        let there = room(plan);
        let wanted = u32::try_from(members).map_err(|_| BoardError::Layout)?;
        if plan.is_none() || wanted > there {
            let count = wanted
                .max(there + there / 2)
                .max(1)
                .next_multiple_of(PLAN_STEP)
                .min(MAX_MEMBERS);
            plan = Some(self.push(Kind::Plan, farm, count));
            // The two belong together: children of older generations read the former ones.
            table = None;
        }
        table = match (hashed, plan) {
            (true, Some(plan)) => table.or_else(|| Some(self.table_of(farm, plan))),
            _ => None,
        };
        if let Some(entry) = self.farms.get_mut(farm as usize) {
            (entry.plan, entry.table) = (plan, table);
        }
        Ok(())
    }

    /// The table that belongs to a plan area: the one that the farm had before it went to another
    /// method, or a new one.
    fn table_of(&mut self, farm: u32, plan: usize) -> usize {
        let mut after = self.extents.iter().skip(plan);
        let its = |extent: &Extent| (extent.kind, extent.first) == (Kind::Table, farm);
        if let Some(there) = after.position(its) {
            return plan + there;
        }
        let count = self.extents.get(plan).map_or(0, |extent| extent.count);
        self.push(Kind::Table, farm, entries(count))
    }
}
