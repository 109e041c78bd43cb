//! The parent's private knowledge of the board: who has which record, and where it lies. It is
//! never read from the board, which children can write; a graceful restart hands it over in memory
//! of the parent's own ([`super::Board::retain`]).
//!
//! A record leaves the configuration in steps: retired with the generation that last had it
//! configured, then, when no child of that generation or an older one has a slot any more, free.
//! Freeing comes first in a pass and retiring last, so a record is never given away by the pass
//! that retires it: a child forked just before may not have taken its slot yet.

use serde::{Deserialize, Serialize};

use super::error::BoardError;
use super::events::EVENTS;
use super::layout::{
    Extent, FARM_STEP, Kind, MAX_FARMS, MAX_MEMBERS, MAX_WAITERS, MEMBER_STEP, PLAN_STEP,
    WAITER_STEP, first_extent,
};
use super::pool::{Given, Pool};
use super::spec::{FarmSpec, Settings};
use crate::plan::table::entries;

/// Whose a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// Nobody's.
    Free,
    /// Configured now.
    Used,
    /// Configured last in that generation.
    Retired(u32),
}

/// A farm's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FarmEntry {
    /// Whose it is.
    pub life: Life,
    /// Key.
    pub server: String,
    /// Key.
    pub name: String,
    /// Its plan area, as index of its extent.
    pub plan: Option<usize>,
    /// Its tables, likewise, if its method wants one.
    pub table: Option<usize>,
}

/// A member's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberEntry {
    /// Whose it is.
    pub life: Life,
    /// Key: index of its farm.
    pub farm: u32,
    /// Key.
    pub url: String,
    /// What the configuration said last.
    pub configured: Settings,
    /// It was added at run time.
    pub added: bool,
}

/// The records of a configured farm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Its own.
    pub farm: Given,
    /// Its members', in configuration order.
    pub members: Vec<Given>,
    /// Its spares', fresh in each generation: older children may be at work on theirs.
    pub spares: Vec<Given>,
    /// Seats for members that are added: first those that have one.
    pub seats: Vec<Given>,
}

/// What the board says of a spare.
pub struct Joined {
    /// The member's URL.
    pub url: String,
    /// It was added by people ([`super::added`]).
    pub added: bool,
}

/// All of it. Entries lie at the index of their record; free ones at the end are capacity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Directory {
    /// Child slots.
    pub slots: u32,
    /// The current configuration pass.
    pub generation: u32,
    /// Length of the file.
    pub total: u64,
    /// Its extents, by offset.
    pub extents: Vec<Extent>,
    /// Farms by index.
    pub farms: Vec<FarmEntry>,
    /// Members by index.
    pub members: Vec<MemberEntry>,
}

impl Directory {
    /// The directory of a board without extents. Generations count from 2: 0 and 1 mean "free" and
    /// "in use" as a record's lifecycle.
    pub fn empty(slots: u32) -> Self {
        Self {
            slots,
            generation: 1,
            total: first_extent(slots),
            extents: Vec::new(),
            farms: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Begins the next generation: finds or takes a record for every farm and member of `specs`,
    /// retires the others, and appends extents where records or plan areas are missing.
    /// `oldest_live` is the oldest generation that has a child slot. On an error the directory is
    /// no longer consistent.
    pub fn advance(
        &mut self,
        specs: &[FarmSpec],
        oldest_live: Option<u32>,
    ) -> Result<Vec<Assigned>, BoardError> {
        let last = self.generation;
        self.generation += 1;
        self.free_unused(oldest_live);
        let assigned = self.assign(specs)?;
        self.retire_others(&assigned, last);
        self.add_capacity();
        let waiters = specs.iter().map(|spec| u64::from(spec.queue)).sum::<u64>();
        let waiters = waiters.min(u64::from(MAX_WAITERS - MAX_WAITERS % WAITER_STEP));
        self.append(
            Kind::Waiters,
            usize::try_from(waiters).unwrap_or(0),
            WAITER_STEP,
        );
        for (given, spec) in assigned.iter().zip(specs) {
            let members = given.members.len() + given.spares.len() + given.seats.len();
            self.fit_plan(given.farm.id, members, spec.hashed)?;
        }
        Ok(assigned)
    }

    /// Spares that members took at run time become these members' own records, whose URLs `read`
    /// finds on the board. That is only compared: it decides which record a configured member of
    /// the same farm goes on with, and which of the seats are taken.
    pub fn adopt(&mut self, read: impl Fn(u32) -> Option<Joined>) {
        // Who was added before may have left, and another may have come.
        for (id, entry) in (0..).zip(&mut self.members) {
            if entry.life == Life::Used && entry.added {
                (entry.added, entry.url) = (false, left_key(id));
            }
        }
        for id in 0..self.members.len() {
            let Some(spare) = self.members.get(id) else {
                return;
            };
            if spare.life != Life::Used || !is_spare(&spare.url) {
                continue;
            }
            let joined = u32::try_from(id).ok().and_then(&read);
            let Some(joined) = joined.filter(|joined| !is_spare(&joined.url)) else {
                continue;
            };
            let farm = spare.farm;
            let same = |member: &MemberEntry| (member.farm, &member.url) == (farm, &joined.url);
            if joined.added {
                // One that was configured once is another by now.
                for (id, entry) in (0..).zip(&mut self.members) {
                    if matches!(entry.life, Life::Retired(_)) && same(entry) {
                        entry.url = left_key(id);
                    }
                }
            }
            let known = |member: &MemberEntry| member.life != Life::Free && same(member);
            if !self.members.iter().any(known)
                && let Some(entry) = self.members.get_mut(id)
            {
                (entry.url, entry.added) = (joined.url, joined.added);
            }
        }
    }

    /// The URLs of members that were added to a farm and are not configured by now.
    fn added_to(&self, farm: u32, spec: &FarmSpec) -> Vec<String> {
        let configured = |url: &String| spec.members.iter().any(|member| member.url == *url);
        self.members
            .iter()
            .filter(|entry| entry.life == Life::Used && entry.added && entry.farm == farm)
            .map(|entry| &entry.url)
            .filter(|url| !configured(url))
            .take(spec.seats as usize)
            .cloned()
            .collect()
    }

    fn free_unused(&mut self, oldest_live: Option<u32>) {
        let unused = |life| matches!(life, Life::Retired(last) if oldest_live.is_none_or(|oldest| oldest > last));
        for farm in self.farms.iter_mut().filter(|farm| unused(farm.life)) {
            farm.life = Life::Free;
        }
        for member in self.members.iter_mut().filter(|member| unused(member.life)) {
            member.life = Life::Free;
        }
    }

    fn assign(&mut self, specs: &[FarmSpec]) -> Result<Vec<Assigned>, BoardError> {
        let mut farms = Pool::of(self.farms.iter().map(|farm| {
            (farm.life != Life::Free).then(|| (farm.server.clone(), farm.name.clone()))
        }));
        let mut members =
            Pool::of(self.members.iter().map(|member| {
                (member.life != Life::Free).then(|| (member.farm, member.url.clone()))
            }));
        let mut assigned = Vec::with_capacity(specs.len());
        for spec in specs {
            let (server, name) = (spec.server.clone(), spec.name.clone());
            let farm =
                farms
                    .take((server.clone(), name.clone()))
                    .ok_or_else(|| BoardError::Twice {
                        what: "farm",
                        value: format!("{name}@{server}"),
                    })?;
            let former = self.farms.get(farm.id as usize);
            let entry = FarmEntry {
                life: Life::Used,
                server,
                name,
                plan: former.and_then(|entry| entry.plan),
                table: former.and_then(|entry| entry.table),
            };
            put(&mut self.farms, farm.id, entry);

            let generation = self.generation;
            let added = self.added_to(farm.id, spec);
            let is_added = |url: &String| added.contains(url);
            let spares = (0..spec.spares).map(|number| spare_key(generation, number));
            let taken = u32::try_from(added.len()).unwrap_or(spec.seats);
            let vacant = (taken..spec.seats)
                .map(|number| spare_key(generation, spec.spares.saturating_add(number)));
            let mut given = Vec::with_capacity(spec.members.len());
            for url in spec
                .members
                .iter()
                .map(|member| member.url.clone())
                .chain(spares)
                .chain(added.iter().cloned())
                .chain(vacant)
            {
                let place =
                    members
                        .take((farm.id, url.clone()))
                        .ok_or_else(|| BoardError::Twice {
                            what: "member",
                            value: url.clone(),
                        })?;
                let known = self.members.get(place.id as usize).filter(|_| !place.fresh);
                let configured = known.map(|known| known.configured).unwrap_or_default();
                let entry = MemberEntry {
                    life: Life::Used,
                    farm: farm.id,
                    added: is_added(&url),
                    url,
                    configured,
                };
                put(&mut self.members, place.id, entry);
                given.push(place);
            }
            let seats = given.split_off(spec.members.len() + spec.spares as usize);
            let spares = given.split_off(spec.members.len());
            assigned.push(Assigned {
                farm,
                members: given,
                spares,
                seats,
            });
        }
        within("farms", self.farms.len(), MAX_FARMS)?;
        within("members", self.members.len(), MAX_MEMBERS)?;
        Ok(assigned)
    }

    fn retire_others(&mut self, assigned: &[Assigned], last: u32) {
        let mut farms = vec![false; self.farms.len()];
        let mut members = vec![false; self.members.len()];
        for farm in assigned {
            mark(&mut farms, farm.farm.id);
            for member in (farm.members.iter().chain(&farm.spares)).chain(&farm.seats) {
                mark(&mut members, member.id);
            }
        }
        for (farm, kept) in self.farms.iter_mut().zip(farms) {
            if farm.life == Life::Used && !kept {
                farm.life = Life::Retired(last);
            }
        }
        for (member, kept) in self.members.iter_mut().zip(members) {
            if member.life == Life::Used && !kept {
                member.life = Life::Retired(last);
            }
        }
    }

    /// Appends what the entries lack, in whole steps; the surplus entries are free.
    fn add_capacity(&mut self) {
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

    fn append(&mut self, kind: Kind, wanted: usize, step: u32) -> usize {
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
    fn fit_plan(&mut self, farm: u32, members: usize, hashed: bool) -> Result<(), BoardError> {
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
        if !hashed {
            table = None;
        } else if table.is_none() {
            let count = plan.and_then(|plan| self.extents.get(plan));
            let count = count.map_or(wanted, |extent| extent.count);
            table = Some(self.push(Kind::Table, farm, entries(count)));
        }
        if let Some(entry) = self.farms.get_mut(farm as usize) {
            (entry.plan, entry.table) = (plan, table);
        }
        Ok(())
    }
}

/// Key of a spare that nobody has taken: no URL begins like this.
fn spare_key(generation: u32, number: u32) -> String {
    format!("+{generation}.{number}")
}

/// Key of a record whose member is gone, or is another by now.
fn left_key(id: u32) -> String {
    format!("+left.{id}")
}

fn is_spare(url: &str) -> bool {
    url.starts_with('+')
}

fn put<T>(entries: &mut Vec<T>, id: u32, entry: T) {
    match entries.get_mut(id as usize) {
        Some(place) => *place = entry,
        None => entries.push(entry),
    }
}

fn mark(marks: &mut [bool], id: u32) {
    if let Some(mark) = marks.get_mut(id as usize) {
        *mark = true;
    }
}

fn within(what: &'static str, count: usize, max: u32) -> Result<(), BoardError> {
    if count <= max as usize {
        return Ok(());
    }
    Err(BoardError::TooMany { what, count, max })
}

#[cfg(test)]
mod tests {
    use super::super::spec::sample;
    use super::*;

    fn farm(name: &str, urls: &[&str]) -> FarmSpec {
        sample(name, urls)
    }

    fn ids(assigned: &[Assigned]) -> Vec<(u32, Vec<u32>)> {
        let ids = |farm: &Assigned| farm.members.iter().map(|given| given.id).collect();
        assigned
            .iter()
            .map(|farm| (farm.farm.id, ids(farm)))
            .collect()
    }

    #[test]
    fn keys_keep_their_records_whatever_the_order() {
        let mut directory = Directory::empty(4);
        let one = directory
            .advance(&[farm("f", &["a", "b"]), farm("g", &["a"])], None)
            .unwrap();
        assert_eq!(ids(&one), [(0, vec![0, 1]), (1, vec![2])]);
        let two = directory
            .advance(&[farm("g", &["a"]), farm("f", &["b", "a"])], None)
            .unwrap();
        assert_eq!(ids(&two), [(1, vec![2]), (0, vec![1, 0])]);
        assert!(!two[0].farm.fresh && !two[1].members[0].fresh);
        assert_eq!(directory.generation, 3);
    }

    #[test]
    fn a_retired_record_waits_for_its_generation() {
        let mut directory = Directory::empty(4);
        directory.advance(&[farm("f", &["a", "b"])], None).unwrap();
        // Generation 3 drops b; children of generation 2 live through 4.
        let three = directory
            .advance(&[farm("f", &["a", "c"])], Some(2))
            .unwrap();
        assert_eq!(ids(&three), [(0, vec![0, 2])]);
        assert_eq!(directory.members[1].life, Life::Retired(2));
        let four = directory
            .advance(&[farm("f", &["a", "d"])], Some(2))
            .unwrap();
        assert_eq!(ids(&four), [(0, vec![0, 3])]);
        // Generation 2 is gone, 3 is not: b's record is free, c's is not.
        let five = directory
            .advance(&[farm("f", &["a", "e"])], Some(3))
            .unwrap();
        assert_eq!(ids(&five), [(0, vec![0, 1])]);
        assert!(five[0].members[1].fresh);
        // Nobody lives: all but what this pass retires is free, lowest first.
        let six = directory
            .advance(&[farm("f", &["a", "x", "y", "z"])], None)
            .unwrap();
        assert_eq!(ids(&six), [(0, vec![0, 2, 3, 4])]);
    }

    #[test]
    fn a_member_that_returns_in_time_has_its_record_back() {
        let mut directory = Directory::empty(4);
        directory.advance(&[farm("f", &["a", "b"])], None).unwrap();
        directory.advance(&[farm("f", &["a"])], Some(2)).unwrap();
        let back = directory
            .advance(&[farm("f", &["a", "b"])], Some(2))
            .unwrap();
        assert_eq!(
            back[0].members[1],
            Given {
                id: 1,
                fresh: false
            }
        );
    }

    #[test]
    fn a_farm_that_went_gives_its_record_to_another() {
        let mut directory = Directory::empty(4);
        directory.advance(&[farm("f", &["a"])], None).unwrap();
        directory.advance(&[farm("g", &["a"])], None).unwrap();
        let three = directory
            .advance(&[farm("h", &["a"]), farm("g", &["a"])], None)
            .unwrap();
        assert_eq!(ids(&three), [(0, vec![0]), (1, vec![1])]);
        assert!(three[0].farm.fresh && !three[1].farm.fresh);
    }

    #[test]
    fn extents_are_appended_only_when_capacity_is_used_up() {
        let mut directory = Directory::empty(4);
        directory.advance(&[sample("f", 0..3)], None).unwrap();
        let (extents, total) = (directory.extents.clone(), directory.total);
        directory.advance(&[sample("f", 0..8)], None).unwrap();
        assert_eq!((&directory.extents, directory.total), (&extents, total));
        directory.advance(&[sample("f", 0..9)], None).unwrap();
        assert_eq!(
            directory.extents.len(),
            extents.len() + 1,
            "a larger plan area"
        );
        assert_eq!(directory.extents[4].count, 16);
        directory.advance(&[sample("f", 0..33)], None).unwrap();
        let last = &directory.extents[5..];
        assert_eq!(
            (last[0].kind, last[0].first, last[0].count),
            (Kind::Members, 32, 32)
        );
        assert_eq!((last[1].kind, last[1].count), (Kind::Plan, 40));
        let mut offset = first_extent(4);
        for extent in &directory.extents {
            assert_eq!(extent.offset, offset);
            offset += extent.length(4);
        }
        assert_eq!(offset, directory.total);
    }

    #[test]
    fn one_key_twice_is_refused() {
        for specs in [
            vec![farm("f", &["a", "a"])],
            vec![farm("f", &[]), farm("f", &["a"])],
        ] {
            let error = Directory::empty(4).advance(&specs, None).unwrap_err();
            assert!(matches!(error, BoardError::Twice { .. }), "{error}");
        }
    }
}
