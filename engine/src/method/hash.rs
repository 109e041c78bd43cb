//! `hash`: requests of one key go to one member, found in a table ([`crate::plan::table`]), and few
//! keys move when a member comes or goes; at the same cost for any number of members.
//!
//! **Bounded load** (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA
//! 2018): no member has more in flight than `hashbalance` times its share of all that is in flight
//! in the farm, this request included, rounded up: the choice holds within that [`Limit`], and is
//! made again where others were faster. What a full member cannot take goes to the members of the
//! table's next entries, which are different ones for each key, and always the same for one. Where
//! all are full (members that this request cannot have have the room), the least loaded one takes it.
//!
//! A request without a key takes its turn, as with `roundrobin`. So does one of a farm without a
//! table: the method was chosen at run time, and the table comes with the next restart.

use super::load::Load;
use super::roundrobin::RoundRobin;
use super::{Method, Sight, in_flight, weight};
use crate::MemberId;
use crate::board::limit::{Limit, Share};
use crate::board::record::MemberRecord;
use crate::plan::circle_from;

/// Entries looked at before it is looked who has room: with the bound at 1.25 at least a fifth of
/// them do.
const STEPS: usize = 64;

/// See the module.
pub struct Hash;

impl Method for Hash {
    fn name(&self) -> &'static str {
        "hash"
    }

    fn wants_key(&self) -> bool {
        true
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        self.pick_within(sight, random).map(|(id, _)| id)
    }

    fn pick_within(
        &self,
        sight: &Sight<'_>,
        random: &mut fastrand::Rng,
    ) -> Option<(MemberId, Limit)> {
        let key = sight.affinity.key.filter(|_| !sight.plan.table.is_empty());
        let Some(key) = key.and_then(|key| usize::try_from(key >> 1).ok()) else {
            let id = RoundRobin.pick(sight, random)?;
            return Some((id, Limit::default()));
        };
        let all = || circle_from(sight.plan.eligible, key);
        let near = circle_from(sight.plan.table, key).take(STEPS);
        let mut candidates = near.chain(all()).filter_map(|id| sight.available(id));
        let Some(balance) = sight.affinity.balance else {
            return candidates.next().map(|(id, _)| (id, Limit::default()));
        };
        let with_this_one = sight.farm.hot.inflight.count() + 1;
        let within = |(id, member): (MemberId, &MemberRecord)| {
            let share = Share::new(balance, weight(member), sight.plan.weight);
            (in_flight(member) < share.of(with_this_one).into()).then_some((id, share))
        };
        if let Some((id, share)) = candidates.find_map(within) {
            let share = Some(share);
            return Some((id, Limit { most: None, share }));
        }
        // Counted before they are compared: what has come meanwhile is beyond the limit.
        let load = |(id, member)| (id, in_flight(member), Load::of(sight, member));
        let (id, in_flight, _) = all()
            .filter_map(|id| sight.available(id).map(load))
            .min_by(|(_, _, one), (_, _, other)| one.compare(other))?;
        let most = u32::try_from(in_flight.saturating_add(1)).ok();
        Some((id, most.into()))
    }
}
