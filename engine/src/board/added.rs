//! Members that people add at run time, and remove again. The parent keeps seats for them
//! ([`FarmSpec::seats`]). Whichever child is asked writes a member's URL, name and line into a vacant
//! one, under the farm's lock, and counts up the farm's roster; every child that sees it moved makes
//! of the seats what it needs. Whatever is written there is hostile until the child has checked it.
//!
//! A seat's *tenure* counts who came and who left. A process that remembers another tenure than the
//! seat's has a member that is gone, and lets go of it. The seat is vacant only when nobody in any
//! child has a request there. To that end each looks at what the other writes, after it has written
//! itself: a request counts in the cells, then looks at the tenure; who removes a member moves the
//! tenure, and who wants the seat then looks at the cells.

use super::Board;
use super::attach::{identify, restore_member};
use super::error::BoardError;
use super::load::LoadedMember;
use super::lock::FarmLock;
use super::map::zero;
use super::record::{LINE_MAX, MemberAdmin, MemberRecord, flags};
use super::settings::configure;
use super::spec::{self, FarmSpec, MemberSeat, MemberSpec};
use super::text;
use crate::config::addition;
use crate::sync::{Ordering, fence};
use crate::{FarmId, Micros};

/// A member that was added, as its seat says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Which of the seat's.
    pub tenure: u32,
    /// Its URL.
    pub url: String,
    /// Its name.
    pub name: String,
    /// Its parameters, as a `BalancerMember` line has them.
    pub line: String,
}

/// What a full start finds of it beside its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedAdded {
    /// Its name.
    pub name: String,
    /// Its session route.
    pub route: String,
    /// Its parameters.
    pub line: String,
    /// Where it stood among the farm's members.
    pub position: u32,
    /// [`super::record::MemberAdmin::leaving`].
    pub leaving: u32,
}

impl MemberSeat {
    /// The member that was added and has the seat. The caller holds the farm's lock, or is the parent
    /// before there are children.
    pub fn added(&self) -> Option<Added> {
        self.record.added()
    }

    /// Nobody who was added has had it.
    pub fn is_new(&self) -> bool {
        self.record.admin.tenure.load(Ordering::Relaxed) == 0
    }

    /// Whether a member that was known by `tenure` still has the seat. To be asked again after a
    /// request of its was counted.
    pub fn is_still(&self, tenure: u32) -> bool {
        // SYNC POINT: the request was counted before (with `Board::is_vacant`).
        fence(Ordering::SeqCst);
        self.record.admin.tenure.load(Ordering::Relaxed) == tenure
    }
}

impl MemberRecord {
    /// See [`MemberSeat::added`].
    pub(super) fn added(&self) -> Option<Added> {
        let tenure = self.admin.tenure.load(Ordering::Acquire);
        let taken = self.admin.lifecycle.load(Ordering::Acquire) == 1 && !tenure.is_multiple_of(2);
        let added = Added {
            tenure,
            url: text::read(&self.identity.url)?,
            name: text::read(&self.identity.name)?,
            line: text::read(&self.identity.line)?,
        };
        taken.then_some(added)
    }

    /// As new, for another member. Requests of the one before may still look whether it is there:
    /// what they count in stays.
    fn reset(&self) {
        for counter in [
            &self.hot.elected,
            &self.hot.served,
            &self.hot.failed,
            &self.hot.bytes_in,
            &self.hot.bytes_out,
            &self.hot.ewma,
            &self.hot.ewma_at,
            &self.hot.slow_until,
            &self.hot.traffic,
            &self.hot.traffic_at,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.hot.lbstatus.store(0, Ordering::Relaxed);
        zero(&self.answers);
        zero(&self.health);
        self.admin.reset();
        zero(&self.changed);
        zero(&self.stats);
        zero(&self.identity);
    }
}

impl MemberAdmin {
    /// As new, but for the tenure: at no moment is it another, not even for one who dies here.
    fn reset(&self) {
        let Self {
            weight,
            configured_weight,
            flags,
            configured_flags,
            lbset,
            configured_lbset,
            farm,
            lifecycle,
            position,
            out,
            max_conn,
            configured_max_conn,
            bytes_in_from,
            bytes_out_from,
            agent,
            agent_max_conn,
            draining_since,
            drain_told,
            tenure: _,
            leaving,
            agent_asked,
            pad: _,
            owed,
            elected_from,
            spare: _,
        } = self;
        for word in [
            weight,
            configured_weight,
            flags,
            configured_flags,
            lbset,
            configured_lbset,
            farm,
            lifecycle,
            position,
            out,
            max_conn,
            configured_max_conn,
            agent,
            agent_max_conn,
            leaving,
            agent_asked,
        ] {
            word.store(0, Ordering::Relaxed);
        }
        for long in [
            bytes_in_from,
            bytes_out_from,
            draining_since,
            drain_told,
            elected_from,
        ] {
            long.store(0, Ordering::Relaxed);
        }
        owed.store(0, Ordering::Relaxed);
    }
}

impl Board {
    /// Whether a seat is nobody's, and no child has a request at who had it. The caller holds the
    /// farm's lock.
    pub fn is_vacant(&self, seat: MemberSeat) -> bool {
        // SYNC POINT: the tenure was moved before (with `MemberSeat::is_still`).
        fence(Ordering::SeqCst);
        seat.record.admin.lifecycle.load(Ordering::Relaxed) != 1
            && seat.record.hot.inflight.count() == 0
            && self.inflight(seat.id) == 0
    }

    /// Gives a vacant seat of the locked farm to a member; its tenure.
    ///
    /// # Errors
    ///
    /// Texts that do not fit.
    pub fn admit(
        &self,
        held: &FarmLock<'_>,
        farm: &FarmSpec,
        seat: MemberSeat,
        position: u32,
        spec: &MemberSpec,
        line: &str,
    ) -> Result<u32, BoardError> {
        spec::check_member(spec)?;
        if !line.is_empty() {
            spec::fits("parameters", line, LINE_MAX)?;
        }
        let record = seat.record;
        record.reset();
        identify(record, held.farm(), farm, &spec.url);
        name(record, &spec.name, &spec.extras.route, line);
        configure(record, None, spec);
        record.admin.position.store(position, Ordering::Relaxed);
        let tenure = record.admin.tenure.load(Ordering::Relaxed) | 1;
        record.admin.tenure.store(tenure, Ordering::Release);
        record.admin.lifecycle.store(1, Ordering::Release);
        self.count_up(held.farm());
        Ok(tenure)
    }

    /// Takes the seat from the member that was added. The caller holds the farm's lock.
    pub fn dismiss(&self, held: &FarmLock<'_>, seat: MemberSeat) {
        let admin = &seat.record.admin;
        let tenure = admin.tenure.load(Ordering::Relaxed) | 1;
        admin
            .tenure
            .store(tenure.wrapping_add(1), Ordering::Relaxed);
        admin.lifecycle.store(0, Ordering::Release);
        admin.leaving.store(0, Ordering::Relaxed);
        self.count_up(held.farm());
    }

    fn count_up(&self, farm: FarmId) {
        if let Some(farm) = self.farm(farm) {
            farm.cold.roster.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// At a full start: a member that was added in the last run has a seat again.
pub(super) fn restore(
    record: &MemberRecord,
    farm: FarmId,
    farm_spec: &FarmSpec,
    url: &str,
    (loaded, added): (&LoadedMember, &LoadedAdded),
    now: Micros,
) {
    let admin = &record.admin;
    identify(record, farm, farm_spec, url);
    name(record, &added.name, &added.route, &added.line);
    loaded.configured.store_configured(admin);
    restore_member(record, loaded, now);
    // Its checks go on where they were.
    if addition::read(&added.line).is_ok_and(|line| line.check.asks()) {
        let failed = loaded.in_force.flags & flags::CHECK_FAILED;
        admin.flags.fetch_or(failed, Ordering::Relaxed);
    }
    admin.leaving.store(added.leaving, Ordering::Relaxed);
    admin.tenure.store(1, Ordering::Relaxed);
}

fn name(record: &MemberRecord, name: &str, route: &str, line: &str) {
    text::write(&record.identity.name, name);
    text::write(&record.identity.route, route);
    text::write(&record.identity.line, line);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A request that looks just then is not told that its member is there, nor the next that nobody
    /// ever was.
    #[test]
    fn a_seats_tenure_stands_while_its_record_is_made_anew() {
        let (record, done) = (MemberRecord::default(), AtomicBool::new(false));
        record.admin.tenure.store(6, Ordering::Relaxed);
        record.admin.flags.store(flags::DRAIN, Ordering::Relaxed);
        let changed = std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let tenure = || record.admin.tenure.load(Ordering::Relaxed);
                while !done.load(Ordering::Relaxed) && tenure() == 6 {
                    std::hint::spin_loop();
                }
                tenure() != 6
            });
            for _ in 0..20_000 {
                record.reset();
            }
            done.store(true, Ordering::Relaxed);
            looks.join().unwrap()
        });
        assert!(!changed);
        assert_eq!(record.admin.flags.load(Ordering::Relaxed), 0);
    }
}
