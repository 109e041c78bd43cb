//! `random`: two distinct members drawn by weight, of which the less loaded ([`super::load`]) is
//! taken, at the same cost for any number of members.
//!
//! Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 2001). Envoy and
//! `HAProxy` draw with replacement, so that a busy member is sometimes compared with itself; here
//! it never is. A turn of the plan drawn at random is a member drawn by weight.

use super::load::Load;
use super::{Method, Sight};
use crate::MemberId;
use crate::board::record::MemberRecord;
use crate::plan::{circle_from, member_at};
use crate::sync::AtomicU32;
use core::cmp;

/// Draws from a list before another way is taken: a heavy member may be drawn again and again.
const DRAWS: usize = 8;

/// See the module.
pub struct Random;

impl Method for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let (first, member) = draw(sight, random, |_| true)?;
        let load = Load::of(sight, member);
        let better = draw(sight, random, |id| id != first)
            .filter(|(_, second)| Load::of(sight, second).compare(&load) == cmp::Ordering::Less);
        Some(better.map_or(first, |(second, _)| second))
    }
}

/// An eligible member that is `wanted`: by weight; if the draws name none, whatever its weight; at
/// last, the next from a random place on.
fn draw<'a>(
    sight: &'a Sight<'_>,
    random: &mut fastrand::Rng,
    wanted: impl Fn(MemberId) -> bool,
) -> Option<(MemberId, &'a MemberRecord)> {
    let usable = |id| wanted(id).then(|| sight.available(id))?;
    let eligible = sight.plan.eligible;
    for list in [sight.plan.turns, eligible] {
        let drawn = (0..DRAWS).find_map(|_| {
            let entry = list.get(place(list, random))?;
            usable(member_at(entry)).filter(|(_, member)| sight.takes_part(member, random))
        });
        if drawn.is_some() {
            return drawn;
        }
    }
    circle_from(eligible, place(eligible, random)).find_map(usable)
}

fn place(list: &[AtomicU32], random: &mut fastrand::Rng) -> usize {
    random.usize(..list.len().max(1))
}
