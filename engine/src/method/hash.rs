//! `hash`: requests of one key go to one member, found in a table ([`crate::plan::table`]), and few
//! keys move when a member comes or goes; at the same cost for any number of members.
//!
//! **Bounded load** (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA
//! 2018): no member has more in flight than `hashbalance` times its share of all that is in flight
//! in the farm, this request included, rounded up. What a full member cannot take goes to the
//! members of the table's next entries, which are different ones for each key, and always the same
//! for one.
//!
//! A request without a key takes its turn, as with `roundrobin`. So does one of a farm without a
//! table: the method was chosen at run time, and the table comes with the next restart.

use super::roundrobin::RoundRobin;
use super::{Method, Sight, in_flight, look, weight};
use crate::MemberId;
use crate::board::record::MemberRecord;

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
        let key = sight.affinity.key.filter(|_| !sight.plan.table.is_empty());
        let Some(key) = key.and_then(|key| usize::try_from(key >> 1).ok()) else {
            return RoundRobin.pick(sight, random);
        };
        let eligible = |id: &MemberId| sight.roster.eligible(*id);
        let bound = Bound::of(sight);
        let has_room = |id: &MemberId| sight.roster.member(*id).is_some_and(|m| bound.admits(m));
        let near = || look::from(sight.plan.table, key).take(STEPS);
        let all = || look::from(sight.plan.eligible, key);
        near()
            .chain(all())
            .filter(eligible)
            .find(has_room)
            .or_else(|| near().chain(all()).find(eligible))
    }
}

/// What a member may have in flight: `ceil(balance × in flight × its weight / all weights)`.
struct Bound {
    /// Hundredths of requests that are to be shared; `None`: no bound.
    shared: Option<u128>,
    weights: u64,
}

impl Bound {
    fn of(sight: &Sight<'_>) -> Self {
        let with_this_one = u128::from(sight.farm.hot.inflight.count()) + 1;
        let balance = sight.affinity.balance.map(u128::from);
        Self {
            shared: balance.map(|balance| balance * with_this_one),
            weights: sight.plan.weight,
        }
    }

    /// One more request is within the bound: with `ceil(x) >= n + 1` exactly when `x > n`.
    fn admits(&self, member: &MemberRecord) -> bool {
        self.shared.is_none_or(|shared| {
            let in_flight = u128::from(in_flight(member));
            shared * u128::from(weight(member)) > in_flight * 100 * u128::from(self.weights)
        })
    }
}
