//! The parent's private knowledge of the board: who has which record, and where it lies. It is
//! never read from the board, which children can write; a graceful restart hands it over in memory
//! of the parent's own ([`super::Board::retain`]).
//!
//! A record leaves the configuration in steps: retired with the generation that last had it
//! configured, then, when no child of that generation or an older one has a slot any more, free.
//! Freeing comes first in a pass and retiring last, so a record is never given away by the pass
//! that retires it: a child forked just before may not have taken its slot yet.

mod extents;

use serde::{Deserialize, Serialize};

use super::error::BoardError;
use super::layout::{Extent, Kind, MAX_FARMS, MAX_MEMBERS, MAX_WAITERS, WAITER_STEP, first_extent};
use super::pool::{Given, Pool};
use super::settings::Settings;
use super::spec::FarmSpec;

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

impl MemberEntry {
    /// The configuration has it: neither a seat nor one that took it.
    pub fn is_configured(&self) -> bool {
        !self.added && !is_spare(&self.url)
    }
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
        let waiters = specs.iter().map(|spec| spec.waiters).max().unwrap_or(0);
        let waiters = waiters.min(MAX_WAITERS - MAX_WAITERS % WAITER_STEP);
        self.append(Kind::Waiters, waiters as usize, WAITER_STEP);
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
            // One that was here in an earlier generation is another by now.
            for (id, entry) in (0..).zip(&mut self.members) {
                if matches!(entry.life, Life::Retired(_)) && same(entry) {
                    entry.url = left_key(id);
                }
            }
            let known = |member: &MemberEntry| member.life == Life::Used && same(member);
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
mod tests;
