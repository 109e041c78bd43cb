//! Which members a method that compares them looks at, and in which order.
//!
//! Up to [`ALL`] eligible members: all of them. Beyond: the one whose turn it is and [`SAMPLE`]
//! distinct ones that are [`drawn`], so that a choice costs the same for 100 members as for 10,000.
//! (Mitzenmacher's power of `d` choices: the most loaded of `n` members then has
//! `ln ln n / ln d + O(1)`.)
//!
//! The order is the tie-break: the member whose turn it is in the weighted rotation comes first,
//! then those behind it in the plan, or as drawn. Idle members thus share exactly by weight.
//!
//! A member in its slow start is left out of most looks at first ([`crate::slow_start`]).

use super::Sight;
use crate::board::record::MemberRecord;
use crate::plan::{Plan, circle_from, member_at};
use crate::{MemberId, slow_start};
use arrayvec::ArrayVec;

/// Up to so many eligible members are all looked at.
pub const ALL: usize = 64;
/// So many are drawn otherwise: with the one whose turn it is, the best of eight is taken.
pub const SAMPLE: usize = 7;

/// A member with its record.
type Candidate<'a> = (MemberId, &'a MemberRecord);

/// The members to compare, first choice of a tie first.
///
/// Whether the request can have them is only asked of those that would be chosen: that costs as much as
/// the comparison.
pub struct Look<'a> {
    sight: &'a Sight<'a>,
    ticket: usize,
    members: ArrayVec<Candidate<'a>, ALL>,
}

impl<'a> Look<'a> {
    /// Sees nobody yet.
    pub fn at(sight: &'a Sight<'a>) -> Self {
        Self {
            sight,
            ticket: 0,
            members: ArrayVec::new(),
        }
    }

    /// Takes the farm's next turn and looks around from there.
    pub fn around(&mut self, random: &mut fastrand::Rng) {
        let eligible = self.sight.plan.eligible;
        let turn = self.next_turn(random);
        self.members.extend(turn);
        let others = |id: &MemberId| turn.is_none_or(|(turn, _)| turn != *id);
        if eligible.len() <= ALL {
            let first =
                turn.and_then(|(turn, _)| eligible.iter().position(|id| member_at(id) == turn));
            let order = circle_from(eligible, first.unwrap_or(self.ticket));
            self.fill(order.filter(others), random);
        } else {
            self.fill(drawn(self.sight.plan, self.ticket).filter(others), random);
        }
        if self.members.is_empty() {
            // All of them hold back.
            let all = circle_from(eligible, self.ticket).filter_map(|id| self.sight.known(id));
            self.members.extend(all.take(ALL));
        }
    }

    /// The members, with their records.
    pub fn members(&self) -> impl Iterator<Item = Candidate<'a>> {
        self.members.iter().copied()
    }

    /// The best of those that the request can have, of equals the first. `cost` gives what a member
    /// costs where that is less than the least so far. Where all have been tried, or have failed since
    /// the plan was made: whoever is left.
    pub fn best<T>(
        &self,
        cost: impl Fn(&MemberRecord, Option<&T>) -> Option<T>,
    ) -> Option<MemberId> {
        let roster = self.sight.roster;
        let mut best: Option<(MemberId, T)> = None;
        for (id, member) in self.members() {
            let least = best.as_ref().map(|(_, least)| least);
            if let Some(cost) = cost(member, least)
                && roster.available(id).is_some()
            {
                best = Some((id, cost));
            }
        }
        best.map(|(id, _)| id)
            .or_else(|| self.left().map(|(id, _)| id))
    }

    /// Those that the request can have. Where it can have none, whoever is left.
    pub fn available(&self) -> ArrayVec<Candidate<'a>, ALL> {
        let can = |(id, _): &Candidate<'_>| self.sight.roster.available(*id).is_some();
        let mut available: ArrayVec<_, ALL> = self.members().filter(can).collect();
        if available.is_empty() {
            available.extend(self.left());
        }
        available
    }

    fn left(&self) -> Option<Candidate<'a>> {
        circle_from(self.sight.plan.eligible, self.ticket).find_map(|id| self.sight.available(id))
    }

    fn fill(&mut self, candidates: impl Iterator<Item = MemberId>, random: &mut fastrand::Rng) {
        let all = slow_start::is_over(self.sight.farm, self.sight.now);
        for (id, member) in candidates.filter_map(|id| self.sight.known(id)) {
            if all || self.sight.takes_part(member, random) {
                // There is room: candidates are at most as many.
                let _ = self.members.try_push((id, member));
            }
        }
    }

    /// The next turn of a member that takes part: the others' are passed on, as with `roundrobin`.
    fn next_turn(&mut self, random: &mut fastrand::Rng) -> Option<Candidate<'a>> {
        for _ in 0..=SAMPLE {
            self.ticket = self.sight.take_ticket();
            let turn = self.sight.known(self.sight.plan.turn(self.ticket)?);
            if turn.is_some_and(|(_, member)| self.sight.takes_part(member, random)) {
                return turn;
            }
        }
        None
    }
}

/// Whom the choice with a ticket compares with the member whose turn that is, of a plan with more than
/// [`ALL`] eligible members. The farm's own ticket is the seed: it is drawn for once, and whoever knows it
/// knows the sample ahead.
pub fn drawn<'a>(plan: &'a Plan<'_>, ticket: usize) -> impl Iterator<Item = MemberId> + use<'a> {
    let eligible = plan.eligible;
    let places = (eligible.len() > ALL).then(|| {
        let drawn_for = plan.base.wrapping_add(ticket as u64);
        // Seeds that are nearly the same give first draws that are alike, and so these seed another.
        let mut random = fastrand::Rng::with_seed(drawn_for).fork();
        // Not the plan's: plans may be short-lived, and no part of the list is to be drawn from more often.
        let place = usize::try_from(drawn_for).unwrap_or_default();
        sample(eligible.len(), place, &mut random)
    });
    let places = places.into_iter().flatten();
    places.filter_map(|place| eligible.get(place).map(member_at))
}

/// [`SAMPLE`] distinct numbers below `len`, which is above [`ALL`]: one from each of as many parts of the
/// list, the first of which begins at the ticket's place. Over the tickets all are equally likely; and
/// whatever pattern the load has along the list, the sample does not follow it.
pub(super) fn sample(len: usize, ticket: usize, random: &mut fastrand::Rng) -> [usize; SAMPLE] {
    let part = len / SAMPLE;
    let mut begin = ticket.checked_rem(len).unwrap_or(0);
    // One draw serves for all parts: eight bits each.
    let mut drawn = random.u64(..);
    core::array::from_fn(|_| {
        let place = begin + (drawn % 256) as usize * part / 256;
        drawn /= 256;
        begin += part;
        if place < len { place } else { place - len }
    })
}
