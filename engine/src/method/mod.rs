//! The menu of balancing methods (`lbmethod=`): one file each, one line each in [`MENU`].
//!
//! A method sees a farm through [`Sight`] and names a member. It may be called by any number of
//! processes at once, on counters that all of them move, and takes no lock.

mod balance;
mod bybusyness;
mod byrequests;
mod bytraffic;
mod first;
mod hash;
mod leastconn;
mod leasttime;
mod load;
pub mod look;
mod random;
mod roundrobin;
mod stats;
mod traffic;

use crate::board::limit::Limit;
use crate::board::record::{FarmRecord, MemberHot, MemberRecord};
use crate::plan::{Plan, member_at};
use crate::stats::score::Score;
use crate::sync::Ordering;
use crate::{MemberId, Micros, slow_start};

/// The members as one request may use them. Board indices come from shared memory: an unknown one
/// is answered with `None`, never with a panic.
pub trait Roster {
    /// The member's record, if this process knows the member.
    fn member(&self, id: MemberId) -> Option<&MemberRecord>;
    /// The member's record, if it is known here, usable now, and not tried by this request yet.
    fn available(&self, id: MemberId) -> Option<&MemberRecord>;
}

/// What a method sees of a farm.
pub struct Sight<'a> {
    /// The farm's counters.
    pub farm: &'a FarmRecord,
    /// Its published plan.
    pub plan: &'a Plan<'a>,
    /// Which of the processes that share the farm elects.
    pub process: usize,
    /// Its members.
    pub roster: &'a dyn Roster,
    /// The clock.
    pub now: Micros,
    /// Half-life of the response time estimate.
    pub half_life: Micros,
    /// Whom the request should go to.
    pub affinity: Affinity,
    /// `score`.
    pub score: Option<&'a Score>,
}

/// Requests of one key go to one member, unless that is loaded too far above the mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct Affinity {
    /// Hash of the request's key ([`crate::hashkey`]); `None`: it has none.
    pub key: Option<u64>,
    /// How far above the mean, in hundredths; `None`: without a bound.
    pub balance: Option<u32>,
}

impl Sight<'_> {
    /// The plan's members that this request can have, in the configuration's order.
    fn all_available(&self) -> impl Iterator<Item = (MemberId, &MemberRecord)> {
        let ids = self.plan.eligible.iter();
        ids.filter_map(|id| self.available(member_at(id)))
    }

    /// A member with its record, if this process knows it.
    fn known(&self, id: MemberId) -> Option<(MemberId, &MemberRecord)> {
        Some((id, self.roster.member(id)?))
    }

    /// A member with its record, if this request can have it.
    fn available(&self, id: MemberId) -> Option<(MemberId, &MemberRecord)> {
        Some((id, self.roster.available(id)?))
    }

    /// What a member is to get of its share now, of [`slow_start::FULL`].
    fn share(&self, member: &MemberRecord) -> u32 {
        slow_start::share(self.farm, member, self.now)
    }

    /// A member's weight for comparisons: less while it is in its slow start.
    fn weight(&self, member: &MemberRecord) -> u64 {
        u64::from(weight(member)) * u64::from(self.share(member))
    }

    /// A member's weight in hundredths for running balances, likewise.
    fn credit(&self, member: &MemberRecord) -> u32 {
        (weight(member) * self.share(member) / slow_start::FULL).max(1)
    }

    /// A member in its slow start takes part in so many choices as its share says; all others in
    /// all. An idle one would else be the least loaded of all until it is as busy as they are.
    fn takes_part(&self, member: &MemberRecord, random: &mut fastrand::Rng) -> bool {
        let share = self.share(member);
        share >= slow_start::FULL || random.u32(..slow_start::FULL) < share
    }

    /// Those of [`Self::all_available`] that take part; all of them if all are in their slow start.
    fn taking_part(
        &self,
        random: &mut fastrand::Rng,
    ) -> impl Iterator<Item = (MemberId, &MemberRecord)> {
        let full = |member| self.share(member) == slow_start::FULL;
        let all = slow_start::is_over(self.farm, self.now)
            || !self.all_available().any(|(_, member)| full(member));
        self.all_available()
            .filter(move |(_, member)| all || self.takes_part(member, random))
    }

    /// The next turn of the farm's rotation, over all processes.
    fn take_ticket(&self) -> usize {
        self.plan.take_ticket(self.farm, self.process)
    }
}

/// One balancing method.
pub trait Method {
    /// What stands behind `lbmethod=`.
    fn name(&self) -> &'static str;
    /// Chooses an eligible member; `None` if the plan names none.
    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId>;
    /// The same, and the limit that the request is to be added within, lest the choice be another.
    fn pick_within(
        &self,
        sight: &Sight<'_>,
        random: &mut fastrand::Rng,
    ) -> Option<(MemberId, Limit)> {
        let id = self.pick(sight, random)?;
        Some((id, Limit::default()))
    }
    /// It goes by how long requests have been waiting ([`crate::waiting`]).
    fn wants_ages(&self) -> bool {
        false
    }
    /// It compares members, those of a [`look`].
    fn compares(&self) -> bool {
        false
    }
    /// It goes by the request's [`Affinity`].
    fn wants_key(&self) -> bool {
        false
    }
    /// Another module's: it may name a member that this request cannot have, and its `None` says
    /// that no member is to be used, not that the plan is out of date.
    fn is_foreign(&self) -> bool {
        false
    }
    /// A request went to a member that was not this method's choice (its session's, or one whose
    /// error it probes): what a method that keeps a balance makes of it. `usable` are the members it
    /// could have chosen, and `eligible` is how many the plan has.
    fn passed_over(
        &self,
        _usable: &mut dyn Iterator<Item = &MemberRecord>,
        _eligible: usize,
        _went_to: &MemberRecord,
    ) {
    }
    /// A request of the member ended, after so many bytes in and out.
    fn learn(&self, _hot: &MemberHot, _bytes: u64, _now: Micros, _half_life: Micros) {}
}

/// What a foreign method names when it names nobody that the farm knows.
pub const STRANGER: MemberId = MemberId(u32::MAX);

/// Every method there is.
pub static MENU: &[&(dyn Method + Sync)] = &[
    &roundrobin::RoundRobin,
    &leastconn::LeastConn,
    &leasttime::LeastTime,
    &traffic::Traffic,
    &random::Random,
    &hash::Hash,
    &first::First,
    &byrequests::ByRequests,
    &bybusyness::ByBusyness,
    &bytraffic::ByTraffic,
    &stats::Stats,
];

/// The method of that name.
pub fn by_name(name: &str) -> Option<&'static (dyn Method + Sync)> {
    MENU.iter().copied().find(|method| method.name() == name)
}

/// The names on the menu, for error messages.
pub fn names() -> impl Iterator<Item = &'static str> {
    MENU.iter().map(|method| method.name())
}

/// Why running figures of stock httpd's rules start anew, for all members of a farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anew {
    /// Another weight: the balances of the rotation, each with the member's weight, as in stock.
    Weight,
    /// A member is put back in service, or joins: the bytes that `bytraffic` compares. It would be
    /// flooded else. Balances stay, as in stock: with each change, the first members would have the first
    /// turns again.
    Return,
    /// The start, or another method: all of them, as in the `reset` of httpd's own providers.
    Method,
}

/// Starts a member's running figures anew.
pub fn start_anew(member: &MemberRecord, why: Anew) {
    let (hot, admin) = (&member.hot, &member.admin);
    let balance = match why {
        Anew::Method => Some(0),
        Anew::Weight => Some(weight(member).into()),
        Anew::Return => None,
    };
    if let Some(balance) = balance {
        hot.lbstatus.store(balance, Ordering::Relaxed);
    }
    if why == Anew::Weight {
        return;
    }
    for (count, from) in [
        (&hot.bytes_in, &admin.bytes_in_from),
        (&hot.bytes_out, &admin.bytes_out_from),
        (&hot.elected, &admin.elected_from),
    ] {
        from.store(count.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Requests in flight.
fn in_flight(member: &MemberRecord) -> u64 {
    member.hot.inflight.count()
}

/// Weight in hundredths, within its limits whatever the board says.
fn weight(member: &MemberRecord) -> u32 {
    member.admin.weight_now()
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
