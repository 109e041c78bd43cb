//! Electing a member for a request: a due probe first, then the farm's method over the published
//! plan, then whatever is left in the order of sets, then ejected members in turn, then a forced
//! recovery.

use crate::board::limit::Limit;
use crate::board::record::{FarmRecord, MemberRecord, flags};
use crate::health::{self, Cause};
use crate::method::{Affinity, Method, Roster, Sight};
use crate::plan::{Capacity, Plan, PlanMember, compile, member_at, stale};
use crate::stats::score::Score;
use crate::sync::Ordering;
use crate::{MemberId, Micros, lookout, probe, room};
use core::cell::LazyCell;

/// With `forcerecovery`, a farm whose members are all in error sends one request through in this
/// time, not the whole load.
const FORCED_EVERY: Micros = 1_000_000;

/// The members of a farm as this process knows them.
pub trait Lineup {
    /// How many there are.
    fn len(&self) -> usize;
    /// True for a farm without members.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The member at a position of the configuration.
    fn at(&self, position: usize) -> Option<Known<'_>>;
    /// The member behind a board index, when it is one of this farm's.
    fn member(&self, id: MemberId) -> Option<Known<'_>>;
    /// The record behind a board index of this farm's, whoever has the place now: for comparing many
    /// members, of which the one that is best is then asked for.
    fn record(&self, id: MemberId) -> Option<&MemberRecord> {
        self.member(id).map(|member| member.record)
    }
    /// It has all members of the farm. A process of an older generation does not know those that were
    /// configured since.
    fn is_whole(&self) -> bool {
        true
    }
    /// It is draining, and has been for its whole `draintimeout`.
    fn drained(&self, _: MemberId) -> bool {
        false
    }
    /// Its `retry`.
    fn retry(&self, id: MemberId) -> Micros;
}

/// A member as this process knows it.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its place on the board.
    pub id: MemberId,
    /// Its record.
    pub record: &'a MemberRecord,
    /// What only the edge can see: its worker can take requests now.
    pub serves: bool,
}

/// One election's circumstances.
pub struct Election<'a> {
    /// The farm.
    pub farm: &'a FarmRecord,
    /// Its plan; `None` before the first one is published.
    pub plan: Option<Plan<'a>>,
    /// Which of the processes that share the farm elects: its slot.
    pub process: usize,
    /// Its members.
    pub lineup: &'a dyn Lineup,
    /// Its method.
    pub method: &'a dyn Method,
    /// Members that this request has been to.
    pub tried: &'a [MemberId],
    /// A member in error may be given its probe: what becomes of the request will be known.
    pub probes: bool,
    /// Share of a member's places that the request's class leaves to others, in percent; `None`: it
    /// needs no place.
    pub leaves: Option<u8>,
    /// `forcerecovery`, asked when nothing else is left.
    pub force: &'a dyn Fn() -> bool,
    /// `halflife`.
    pub half_life: Micros,
    /// `hashkey` and `hashbalance`.
    pub affinity: Affinity,
    /// `score`.
    pub score: Option<&'a Score>,
    /// The clock.
    pub now: Micros,
}

/// Who was elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elected {
    /// The member.
    pub id: MemberId,
    /// Why, for the log and `ATH_REASON`.
    pub reason: Reason,
    /// What the choice holds for: there may be others by the time the request is added.
    pub limit: Limit,
}

impl Elected {
    /// A member, however many requests it has within its own limit ([`room`]).
    pub fn new(id: MemberId, reason: Reason) -> Self {
        Self {
            id,
            reason,
            limit: Limit::default(),
        }
    }
}

/// Why nobody was elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// Each member that could serve the request has as many as it may.
    Full,
    /// There is none that could, or a foreign method wants none.
    Usable,
}

/// Why a member was elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The farm's method chose it.
    Method,
    /// The request's session belongs to it.
    Sticky,
    /// It is in error and due for one probing request.
    Probe,
    /// Nothing of the plan was left.
    Remaining,
    /// Nothing but ejected members was left, which answer, if badly.
    Panic,
    /// Everything is in error and the farm has `forcerecovery`.
    Forced,
}

impl Reason {
    /// The word for logs and `ATH_REASON`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Sticky => "sticky",
            Self::Probe => "probe",
            Self::Remaining => "remaining",
            Self::Panic => "panic",
            Self::Forced => "forced",
        }
    }

    /// The member is in error, and this request finds out whether it still is.
    pub fn is_probe(self) -> bool {
        matches!(self, Self::Probe | Self::Forced)
    }
}

/// What a method's answer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// This one, for so many.
    Member(MemberId, Limit),
    /// None that this request can have: look beyond the plan.
    Elsewhere,
    /// A foreign method wants none of those there are.
    Nobody,
}

impl Election<'_> {
    /// Elects a member.
    ///
    /// # Errors
    /// Why there is none.
    pub fn run(&self, random: &mut fastrand::Rng) -> Result<Elected, Nobody> {
        if let Some(id) = self.due_probe() {
            return Ok(Elected::new(id, Reason::Probe));
        }
        let choice = self.by_method(random);
        if let Choice::Member(id, limit) = choice {
            let reason = Reason::Method;
            return Ok(Elected { id, reason, limit });
        }
        match self.remaining() {
            // The foreign method was shown these and wants none.
            Some(_) if choice == Choice::Nobody => Err(Nobody::Usable),
            Some(id) => Ok(Elected::new(id, Reason::Remaining)),
            // Usable, and yet not elected.
            None if self.is_anybody_left() => Err(Nobody::Full),
            // The request has been to all that work.
            None if self.left().any(is_up) => Err(Nobody::Usable),
            None => self.recovering(|_| true),
        }
    }

    /// The member of a session, if it may serve it: it is usable, if only for sessions (draining);
    /// or it is in error, and this request is given its probe.
    pub fn sticky(&self, id: MemberId) -> Option<Reason> {
        let member = self.lineup.member(id)?;
        if !self.keeps(member) || !self.has_room(member) {
            None
        } else if works(member.record) {
            Some(Reason::Sticky)
        } else {
            (self.probes
                && health::claim_probe(&member.record.health, self.now, self.lineup.retry(id)))
            .then_some(Reason::Probe)
        }
    }

    /// For a session that may not leave `its` members, when [`Self::sticky`] has given it none: one of them
    /// that is in error, if all members of the farm are.
    ///
    /// # Errors
    /// Why there is none.
    pub fn forced_sticky(&self, its: &[MemberId]) -> Result<Elected, Nobody> {
        let keeps = |member: Known<'_>| works(member.record) && self.keeps(member);
        if its
            .iter()
            .filter_map(|id| self.lineup.member(*id))
            .any(keeps)
        {
            return Err(Nobody::Full);
        }
        if self.left().any(is_up) {
            return Err(Nobody::Usable);
        }
        self.recovering(|id| its.contains(&id))
    }

    /// One of these members though it is in error.
    fn recovering(&self, among: impl Fn(MemberId) -> bool) -> Result<Elected, Nobody> {
        self.answering(&among)
            .or_else(|| {
                let forced = self.forced(self.members().filter(|member| among(member.id)))?;
                Some(Elected::new(forced, Reason::Forced))
            })
            .ok_or(Nobody::Usable)
    }

    /// A usable member that this request has not been to, if perhaps a full one.
    pub fn is_anybody_left(&self) -> bool {
        self.left().any(|member| self.usable(member))
    }

    /// Nobody works, but one of these members serves though it is in error, and before its probe is due.
    pub fn is_anybody_answering(&self, among: impl Fn(MemberId) -> bool) -> bool {
        !self.left().any(is_up)
            && self.serves_in_error().is_some_and(|serves| {
                self.members()
                    .any(|member| among(member.id) && serves(&member) && in_service(member))
            })
    }

    /// Serves its sessions, if it works: one that drains still does, until it has `drained`.
    fn keeps(&self, member: Known<'_>) -> bool {
        let state = member.record.admin.state();
        state & flags::NOT_FOR_SESSIONS == 0
            && !self.tried.contains(&member.id)
            && member.serves
            && !(state & flags::DRAIN != 0 && self.lineup.drained(member.id))
    }

    fn by_method(&self, random: &mut fastrand::Rng) -> Choice {
        let Some(plan) = &self.plan else {
            return Choice::Elsewhere;
        };
        let sight = Sight {
            farm: self.farm,
            plan,
            process: self.process,
            roster: self,
            now: self.now,
            half_life: self.half_life,
            affinity: self.affinity,
            score: self.score,
        };
        match self.method.pick_within(&sight, random) {
            Some((id, _)) if self.method.is_foreign() && self.available(id).is_none() => {
                Choice::Elsewhere
            }
            Some((id, limit)) => Choice::Member(id, limit),
            None if self.method.is_foreign() => Choice::Nobody,
            None => Choice::Elsewhere,
        }
    }

    /// Claims the probe of a member whose `retry` has passed. Costs one load while none is due.
    fn due_probe(&self) -> Option<MemberId> {
        if !self.probes {
            return None;
        }
        let next = &self.farm.hot.next_probe_at;
        let mut look = lookout::claim(next, || self.now, || self.lineup.is_whole())?;
        let mut claimed = None;
        for member in self.members() {
            let health = &member.record.health;
            if claimed.is_none()
                && self.may_probe(member)
                && health::claim_probe(health, self.now, self.lineup.retry(member.id))
            {
                claimed = Some(member.id);
            }
            match health.retry_at.load(Ordering::SeqCst) {
                0 => {}
                // Due, but not to be probed by this request: look again with the next one, unless
                // people took the member out: the plan that takes it in again notes it.
                at if at > self.now || in_service(member) => look.again(at),
                _ => {}
            }
        }
        look.end();
        claimed
    }

    fn may_probe(&self, member: Known<'_>) -> bool {
        !self.tried.contains(&member.id) && in_service(member) && self.has_room(member)
    }

    /// It works, and this request has not been to it.
    fn usable(&self, member: Known<'_>) -> bool {
        is_up(member) && !self.tried.contains(&member.id)
    }

    fn has_room(&self, member: Known<'_>) -> bool {
        room::is_left(self.leaves, member.record, self.now)
    }

    fn members(&self) -> impl Iterator<Item = Known<'_>> {
        (0..self.lineup.len()).filter_map(|position| self.lineup.at(position))
    }

    /// Members that may be left when the method has found none: those of the plan, and all others
    /// where it says too little of them.
    fn left(&self) -> impl Iterator<Item = Known<'_>> {
        let others = self.is_beyond_the_plan().then(|| self.members());
        self.planned().flatten().chain(others.into_iter().flatten())
    }

    /// The plan's members; `None` for one that this process does not know.
    fn planned(&self) -> impl Iterator<Item = Option<Known<'_>>> {
        let ids = self.plan.iter().flat_map(|plan| plan.eligible);
        ids.map(|id| self.lineup.member(member_at(id)))
    }

    /// Usable members may be others than those that the plan lists: of another set, standbys, spares;
    /// members that only this process knows; or the plan is out of date.
    fn is_beyond_the_plan(&self) -> bool {
        stale::is_marked(&self.farm.cold)
            || self.planned().any(|member| member.is_none())
            || self
                .plan
                .is_none_or(|plan| plan.count.usable as usize > plan.eligible.len())
    }

    /// The plan may be older than the last failure, or this request has been everywhere in it:
    /// look at every member, in the order of sets.
    fn remaining(&self) -> Option<MemberId> {
        let can = |member: &Known<'_>| self.usable(*member) && self.has_room(*member);
        let planned = self.planned().flatten().find(can);
        if planned.is_some() || !self.is_beyond_the_plan() {
            return planned.map(|member| member.id);
        }
        let members: Vec<PlanMember> = self
            .members()
            .map(|known| {
                let mut member = PlanMember::of(known.id, known.record, can(&known));
                // Not even its errors being ignored makes a member usable that was tried.
                member.flags &= !flags::IGNORE_ERRORS;
                member
            })
            .collect();
        let mut left = compile(&members, Capacity::default())
            .eligible
            .into_iter()
            .map(MemberId);
        left.find(|id| self.available(*id).is_some())
    }

    /// Where nobody is left to take over, ejected members serve in turn. (Envoy's panic mode begins at half of
    /// the members; here `maxeject` sees to these.)
    ///
    /// A single answer is enough for `failonstatus` and `failontimeout`, and one bad URL must not take the farm
    /// down: the forced recovery of members that are out for one makes all of them due for their probe at once,
    /// so that those that answer well again are soon back.
    fn answering(&self, among: impl Fn(MemberId) -> bool) -> Option<Elected> {
        let serves = self.serves_in_error()?;
        let cause = |member: &Known<'_>| health::cause(&member.record.health);
        let places = self.lineup.len();
        let ticket = self.farm.hot.ticket.fetch_add(1, Ordering::Relaxed);
        let first = usize::try_from(ticket).unwrap_or(0).checked_rem(places)?;
        let next = (first..places)
            .chain(0..first)
            .filter_map(|position| self.lineup.at(position))
            .find(|member| among(member.id) && serves(member) && self.may_probe(*member))?;
        if cause(&next) == Cause::Ejected {
            return Some(Elected::new(next.id, Reason::Panic));
        }
        if self.probes {
            let out_for_one = |member: &Known<'_>| {
                matches!(cause(member), Cause::Status | Cause::Timeout) && member.id != next.id
            };
            for member in self.members().filter(out_for_one) {
                health::give_probe_back(&member.record.health, self.now);
            }
            probe::note(&self.farm.hot, self.now);
        }
        Some(Elected::new(next.id, Reason::Probe))
    }

    /// Whether a member serves for what it is in error for; `None` where the plan counts no such one.
    fn serves_in_error(&self) -> Option<impl Fn(&Known<'_>) -> bool> {
        if !self.is_beyond_the_plan() && self.plan.is_some_and(|plan| plan.count.answering == 0) {
            return None;
        }
        let force = LazyCell::new(|| (self.force)());
        Some(
            move |member: &Known<'_>| match health::cause(&member.record.health) {
                Cause::Ejected => true,
                other => other.may_answer() && *force,
            },
        )
    }

    fn forced<'a>(&self, among: impl Iterator<Item = Known<'a>>) -> Option<MemberId> {
        let forced_at = &self.farm.hot.forced_at;
        let last = forced_at.load(Ordering::SeqCst);
        let due = last == 0 || self.now.saturating_sub(last) >= FORCED_EVERY;
        if !due || !(self.force)() {
            return None;
        }
        let (Known { id, record, .. }, found) = among
            .filter(|member| self.may_probe(*member))
            .map(|member| (member, member.record.health.retry_at.load(Ordering::SeqCst)))
            .min_by_key(|(_, retry_at)| *retry_at)?;
        forced_at
            .compare_exchange(last, self.now, Ordering::SeqCst, Ordering::SeqCst)
            .ok()?;
        let retry = self.lineup.retry(id);
        health::force_probe(&record.health, found, self.now, retry);
        probe::note(&self.farm.hot, self.now.saturating_add(retry));
        Some(id)
    }
}

/// Not in error, or its errors are ignored.
fn works(member: &MemberRecord) -> bool {
    member.health.retry_at.load(Ordering::Relaxed) == 0
        || member.admin.flags.load(Ordering::Relaxed) & flags::IGNORE_ERRORS != 0
}

fn is_up(member: Known<'_>) -> bool {
    works(member.record) && in_service(member)
}

/// People, checks and its worker let it take requests.
fn in_service(member: Known<'_>) -> bool {
    member.serves && member.record.admin.state() & flags::NOT_ELIGIBLE == 0
}

impl Roster for Election<'_> {
    fn member(&self, id: MemberId) -> Option<&MemberRecord> {
        self.lineup.record(id)
    }

    fn available(&self, id: MemberId) -> Option<&MemberRecord> {
        let member = self.lineup.member(id)?;
        (self.usable(member) && self.has_room(member)).then_some(member.record)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
