//! What a rotation owes its members, carried from plan to plan: a new plan goes on where the one before
//! was, however often plans change. So stock httpd's rule does, whose balances stay when members come
//! and go.
//!
//! A member is owed its weight's share of all turns since, less those it had; it may have had more. The
//! sum over a plan's members is 0. One that is away keeps what it is owed, in turns: its weight, and
//! everybody else's, may be another when it is back. What a request takes of the old plan while the new
//! one is made is not counted: that is off by some turns, to nobody's advantage.

use rustc_hash::FxHashMap;

use super::{Plan, PlanMember, member_at};
use crate::board::record::{FarmRecord, MemberRecord};
use crate::sync::Ordering;

/// One turn, in the units of what is owed: plans may change a million times before rounding makes one.
pub const TURN: i64 = 1 << 20;

/// Nobody is owed more, nor has had more in advance. The rule itself keeps within a turn or so; whoever
/// was away while others came and went for good may be further off, and should not have to wait for it.
const MOST: i64 = 2 * TURN;

/// Brings what the members are owed up to date, from where it stood when the plan in force was published.
/// Without one, a rotation begins.
pub fn settle(members: &mut [PlanMember], plan: Option<&Plan<'_>>, farm: &FarmRecord) {
    let Some(plan) = plan else {
        for member in members {
            member.owed = 0;
        }
        return;
    };
    let had = Had::of(plan, farm);
    let mut sum = 0;
    let mut count = 0;
    for member in members.iter_mut() {
        if let Some(owed) = had.as_ref().and_then(|had| had.owed_since(member)) {
            member.owed = member.owed.saturating_add(owed);
            sum += i128::from(member.owed);
            count += 1;
        }
    }
    // Some have gone for good, with what they were owed; and who is new, and owed nothing, should not be
    // ever further behind.
    let mean = i64::try_from(sum.checked_div(count).unwrap_or_default()).unwrap_or_default();
    for member in members {
        member.owed = member.owed.saturating_sub(mean).clamp(-MOST, MOST);
    }
}

/// Notes what a member was owed when its farm's plan was published. The caller holds the farm's lock.
pub fn keep(record: &MemberRecord, listed: &PlanMember) {
    record.admin.owed.store(listed.owed, Ordering::Relaxed);
}

/// Who has had which turns of a plan, but for whole cycles.
struct Had {
    /// Turns of a cycle, and those that are over, by member.
    turns: FxHashMap<u32, (usize, usize)>,
    /// Turns of the whole cycle.
    cycle: usize,
    /// Those that are over, but for whole cycles.
    over: usize,
}

impl Had {
    fn of(plan: &Plan<'_>, farm: &FarmRecord) -> Option<Self> {
        let mut turns: FxHashMap<u32, (usize, usize)> = FxHashMap::default();
        for turn in plan.turns {
            let (all, _) = turns.entry(member_at(turn).0).or_default();
            *all += 1;
        }
        let mut over = 0;
        let places = plan.over(farm)?.into_iter();
        for turn in places.filter_map(|place| plan.turns.get(place)) {
            let (_, had) = turns.entry(member_at(turn).0).or_default();
            *had += 1;
            over += 1;
        }
        Some(Self {
            turns,
            cycle: plan.turns.len(),
            over,
        })
    }

    fn owed_since(&self, member: &PlanMember) -> Option<i64> {
        let &(all, had) = self.turns.get(&member.id.0)?;
        let [all, had, over, cycle] = [all, had, self.over, self.cycle].map(|n| n as i128);
        let its = (all * over * i128::from(TURN)).checked_div(cycle)?;
        i64::try_from(its - had * i128::from(TURN)).ok()
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
