//! A configuration pass: every configured farm and member finds its record, and the records say
//! what is configured.

use std::time::Duration;

use super::Board;
use super::added::{self, LoadedAdded};
use super::directory::{Assigned, FarmEntry, Joined, Life};
use super::error::{BoardError, Notice};
use super::join::joined_url;
use super::left;
use super::load::{Loaded, LoadedFarm, LoadedMember};
use super::lock::Deadline;
use super::map::zero;
use super::pool::Given;
use super::record::{FarmRecord, MemberRecord, flags};
use super::settings::{Settings, configure};
use super::spec::{self, Attached, FarmSeat, FarmSpec, MemberSeat, MemberSpec};
use super::text;
use crate::sync::Ordering;
use crate::{FarmId, MemberId, Micros, stats};

/// A change takes far less.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a pass brings along: the time it is now and, at a full start, the last run's figures.
pub(super) struct Import {
    pub loaded: Loaded,
    pub now: Micros,
}

impl Import {
    /// Members that were added to a farm, and are not configured by now, in their order. They are
    /// taken out.
    fn added_to(&mut self, farm: &FarmSpec) -> Vec<(String, LoadedMember, LoadedAdded)> {
        if farm.seats == 0 {
            return Vec::new();
        }
        let mut added: Vec<_> = self
            .loaded
            .members
            .extract_if(|(server, name, _), member| {
                member.added.is_some()
                    && (&server[..], &name[..]) == (&farm.server[..], &farm.name[..])
            })
            .filter_map(|((_, _, url), mut member)| {
                let added = member.added.take()?;
                Some((url, member, added))
            })
            .collect();
        added.sort_by_key(|(_, _, added)| added.position);
        added
    }
}

impl Board {
    /// Begins the next generation: finds or takes a record for each farm and member by its key,
    /// grows the board if need be, and sets what is configured. A weight, state or set that people
    /// changed stays until its configured value changes. For the parent, after
    /// [`Board::resume`]; it is `now`.
    ///
    /// # Errors
    ///
    /// Names that do not fit or occur twice, or no room to grow; the board then is as before.
    pub fn attach(&mut self, specs: &[FarmSpec], now: Micros) -> Result<Attached, BoardError> {
        self.end_changes();
        let loaded = Loaded::default();
        let attached = self.advance(specs, Import { loaded, now });
        if attached.is_err() {
            // The generation that is there goes on.
            self.describe();
        }
        attached
    }

    /// Children of the generation that ends change nothing any more: whoever has a farm's lock and is
    /// at it is waited for, and whoever gets it later sees that another generation has begun
    /// ([`Board::lock_to_change`]).
    fn end_changes(&self) {
        let next = self.directory.generation + 1;
        self.view.header.generation.store(next, Ordering::SeqCst);
        let end = Deadline::after(PATIENCE);
        for farm in (0..).take(self.directory.farms.len()) {
            // Who takes longer is stopped, or hostile.
            drop(self.lock(FarmId(farm), end.left()));
        }
    }

    pub(super) fn advance(
        &mut self,
        specs: &[FarmSpec],
        mut import: Import,
    ) -> Result<Attached, BoardError> {
        spec::check(specs)?;
        let mut next = self.directory.clone();
        next.adopt(|id| {
            let record = self.member(MemberId(id))?;
            let url = joined_url(record)?;
            let added = record.added().is_some();
            Some(Joined { url, added })
        });
        let oldest = self.view.slots.live().map(|live| live.generation).min();
        let assigned = next.advance(specs, oldest)?;
        let notices = left::behind(self, &next);
        let counted = |farm: &FarmEntry| farm.table.is_some();
        let former: Vec<bool> = self.directory.farms.iter().map(counted).collect();
        self.go_on_with(next)?;
        self.begin_to_count(&former);
        self.mark_unused();
        self.restore_events(&import.loaded.events);

        let farms = Vec::with_capacity(assigned.len());
        let mut attached = Attached { farms, notices };
        for (given, spec) in assigned.iter().zip(specs) {
            let seat = self.seat_farm(given, spec, &mut import, &mut attached.notices)?;
            attached.farms.push(seat);
        }
        attached.notices.extend(left::over(&import.loaded));
        self.describe();
        Ok(attached)
    }

    /// Starts the totals of farms whose requests were not `counted` before.
    fn begin_to_count(&self, counted: &[bool]) {
        let farms = self.directory.farms.iter().zip(&self.view.farms);
        for (at, (entry, record)) in farms.enumerate() {
            if entry.table.is_some() && counted.get(at) != Some(&true) {
                record.hot.inflight.0.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Tells on the board which records are not configured, for a later full start.
    fn mark_unused(&self) {
        for (entry, record) in self.directory.farms.iter().zip(&self.view.farms) {
            match entry.life {
                Life::Free => record.cold.lifecycle.store(0, Ordering::Release),
                Life::Retired(last) => record.cold.lifecycle.store(last, Ordering::Release),
                Life::Used => {}
            }
        }
        for (entry, record) in self.directory.members.iter().zip(&self.view.members) {
            if entry.life != Life::Used {
                record.health.in_service.store(0, Ordering::Relaxed);
                // Should it come back, its time begins then.
                record.stats.expected_from.store(0, Ordering::SeqCst);
            }
            match entry.life {
                Life::Free => record.admin.lifecycle.store(0, Ordering::Release),
                // A spare that nobody took stays nobody's.
                Life::Retired(_) if record.admin.lifecycle.load(Ordering::Relaxed) == 0 => {}
                Life::Retired(last) => record.admin.lifecycle.store(last, Ordering::Release),
                Life::Used => {}
            }
        }
    }

    fn seat_farm(
        &mut self,
        given: &Assigned,
        spec: &FarmSpec,
        import: &mut Import,
        notices: &mut Vec<Notice>,
    ) -> Result<FarmSeat, BoardError> {
        let id = FarmId(given.farm.id);
        let record = self.farm(id).ok_or(BoardError::Layout)?;
        let plan = self.view.plans.get(id.0 as usize).copied().flatten();
        let plan = plan.ok_or(BoardError::Layout)?;
        if given.farm.fresh {
            zero(record);
            plan.clear();
            text::write(&record.identity.server, &spec.server);
            text::write(&record.identity.name, &spec.name);
            record.hot.next_probe_at.store(u64::MAX, Ordering::Relaxed);
            record
                .cold
                .budget_since
                .store(import.now, Ordering::Relaxed);
            let key = (spec.server.clone(), spec.name.clone());
            if let Some(loaded) = import.loaded.farms.remove(&key) {
                restore_farm(record, &loaded);
            }
        }
        record.cold.lifecycle.store(1, Ordering::Release);
        let lost = spec.extras.settle(&record.changed).into_iter();
        notices.extend(lost.map(|(admin, configured)| Notice::ConfigurationWins {
            farm: spec.name.clone(),
            member: None,
            admin,
            configured,
        }));
        let mut members = Vec::with_capacity(spec.members.len());
        for (position, (given, member)) in (0..).zip(given.members.iter().zip(&spec.members)) {
            let record = self.seat_member(*given, id, spec, member, import, notices)?;
            record.admin.position.store(position, Ordering::Relaxed);
            record.admin.lifecycle.store(1, Ordering::Release);
            members.push(MemberSeat {
                id: MemberId(given.id),
                record,
            });
        }
        let spares = given.spares.iter().map(|given| self.spare(*given));
        let spares = spares.collect::<Result<_, _>>()?;
        let seats = self.seat_added(given, id, spec, import)?;
        Ok(FarmSeat {
            id,
            record,
            plan,
            members,
            spares,
            seats,
        })
    }

    /// The seats of a farm for members that are added: who has one keeps it, and at a full start
    /// those that had one get one.
    fn seat_added(
        &self,
        given: &Assigned,
        farm: FarmId,
        spec: &FarmSpec,
        import: &mut Import,
    ) -> Result<Vec<MemberSeat>, BoardError> {
        let now = import.now;
        let mut loaded = import.added_to(spec).into_iter();
        let before = spec.members.len() + spec.spares as usize;
        let mut seats = Vec::with_capacity(given.seats.len());
        for (position, given) in (before..).zip(&given.seats) {
            let seat = if given.fresh {
                let seat = self.spare(*given)?;
                if let Some((url, member, added)) = loaded.next() {
                    added::restore(seat.record, farm, spec, &url, (&member, &added), now);
                    seat.record.admin.lifecycle.store(1, Ordering::Release);
                }
                seat
            } else {
                let id = MemberId(given.id);
                let record = self.member(id).ok_or(BoardError::Layout)?;
                MemberSeat { id, record }
            };
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            seat.record
                .admin
                .position
                .store(position, Ordering::Relaxed);
            seats.push(seat);
        }
        Ok(seats)
    }

    fn seat_member(
        &mut self,
        given: Given,
        farm: FarmId,
        farm_spec: &FarmSpec,
        spec: &MemberSpec,
        import: &mut Import,
        notices: &mut Vec<Notice>,
    ) -> Result<&'static MemberRecord, BoardError> {
        let id = MemberId(given.id);
        let record = self.member(id).ok_or(BoardError::Layout)?;
        let entry = self
            .directory
            .members
            .get_mut(given.id as usize)
            .ok_or(BoardError::Layout)?;
        let mut remembered = Some(entry.configured);
        // Of a member that was added before it was configured, the line is the first that is said.
        let mut added = record.added().is_some();
        if given.fresh {
            zero(record);
            self.view.slots.clear(id);
            identify(record, farm, farm_spec, &spec.url);
            let key = (
                farm_spec.server.clone(),
                farm_spec.name.clone(),
                spec.url.clone(),
            );
            remembered = import.loaded.members.remove(&key).map(|loaded| {
                added |= loaded.added.is_some();
                restore_member(record, &loaded, import.now);
                loaded.configured
            });
        }
        let remembered = remembered.filter(|_| !added);
        record.admin.tenure.store(0, Ordering::Relaxed);
        record.admin.leaving.store(0, Ordering::Relaxed);
        text::write(&record.identity.line, "");
        text::write(&record.identity.name, &spec.name);
        text::write(&record.identity.route, &spec.extras.route);
        entry.configured = spec.settings.in_range();
        let lost = configure(record, remembered, spec).into_iter();
        notices.extend(lost.map(|(admin, configured)| Notice::ConfigurationWins {
            farm: farm_spec.name.clone(),
            member: Some(spec.name.clone()),
            admin,
            configured,
        }));
        Ok(record)
    }
}

/// The retry budget starts empty: what the last run saved up is not carried over.
fn restore_farm(record: &FarmRecord, loaded: &LoadedFarm) {
    let cold = &record.cold;
    record.hot.elected.store(loaded.elected, Ordering::Relaxed);
    record.hot.refused.store(loaded.refused, Ordering::Relaxed);
    cold.off.store(loaded.off, Ordering::Relaxed);
    record.changed.method.restore(&loaded.method);
    record.changed.forward.restore(&loaded.forward);
    record.changed.fallback.restore(&loaded.fallback);
    cold.budget_elected.store(loaded.elected, Ordering::Relaxed);
    cold.budget_spent
        .store(loaded.elected.saturating_mul(100), Ordering::Relaxed);
}

/// The state of health checks is not restored: they may not even be configured any more.
pub(super) fn restore_member(record: &MemberRecord, loaded: &LoadedMember, now: Micros) {
    let hot = &record.hot;
    hot.elected.store(loaded.elected, Ordering::Relaxed);
    hot.served.store(loaded.served, Ordering::Relaxed);
    hot.failed.store(loaded.failed, Ordering::Relaxed);
    hot.bytes_in.store(loaded.bytes_in, Ordering::Relaxed);
    hot.bytes_out.store(loaded.bytes_out, Ordering::Relaxed);
    hot.ewma.store(loaded.ewma, Ordering::Relaxed);
    hot.ewma_at.store(now, Ordering::Relaxed);
    record
        .health
        .ejections
        .store(loaded.ejections, Ordering::Relaxed);
    stats::restore(&record.stats, &loaded.stats, now);
    let changed = &record.changed;
    changed.slow_start.restore(&loaded.slow_start);
    changed.route.restore(&loaded.route);
    changed.forward.restore(&loaded.forward);
    changed.redirect.restore(&loaded.redirect);
    changed.drain_timeout.restore(&loaded.drain_timeout);
    let admin = &record.admin;
    admin
        .draining_since
        .store(loaded.draining_since, Ordering::Relaxed);
    Settings {
        flags: loaded.in_force.flags & !flags::CHECK_FAILED,
        ..loaded.in_force
    }
    .store(admin);
}

/// Whose record this is.
pub(super) fn identify(record: &MemberRecord, farm: FarmId, farm_spec: &FarmSpec, url: &str) {
    text::write(&record.identity.server, &farm_spec.server);
    text::write(&record.identity.farm, &farm_spec.name);
    text::write(&record.identity.url, url);
    record.admin.farm.store(farm.0, Ordering::Relaxed);
}
