//! Which members a method that compares them looks at, and in which order.
//!
//! Up to [`ALL`] eligible members: all of them. Beyond: the one whose turn it is and [`SAMPLE`]
//! distinct ones drawn at random, so that a choice costs the same for 100 members as for 10,000.
//! (Mitzenmacher's power of `d` choices: the most loaded of `n` members then has
//! `ln ln n / ln d + O(1)`.)
//!
//! The order is the tie-break: the member whose turn it is in the weighted rotation comes first,
//! then those behind it in the plan, or as drawn. Idle members thus share exactly by weight.
//!
//! A member in its slow start is left out of most looks at first ([`crate::slow_start`]).

use super::Sight;
use crate::MemberId;
use crate::board::record::MemberRecord;
use crate::sync::{AtomicU32, Ordering};

/// Up to so many eligible members are all looked at.
pub const ALL: usize = 64;
/// So many are looked at otherwise.
pub const SAMPLE: usize = 8;

/// The members to compare, first choice of a tie first.
pub struct Look<'a> {
    sight: &'a Sight<'a>,
    ids: [MemberId; ALL],
    len: usize,
}

impl<'a> Look<'a> {
    /// Takes the farm's next turn and looks around from there.
    pub fn around(sight: &'a Sight<'a>, random: &mut fastrand::Rng) -> Self {
        let eligible = sight.plan.eligible;
        let (ticket, turn) = next_turn(sight, random);
        let mut look = Self {
            sight,
            ids: [MemberId(0); ALL],
            len: 0,
        };
        if eligible.len() <= ALL {
            let first = eligible.iter().map(read).position(|id| Some(id) == turn);
            let order = || from(eligible, first.unwrap_or(ticket));
            look.fill(order().filter(|id| Some(*id) == turn || sight.admits(*id, random)));
            if look.len == 0 {
                // All of them hold back.
                look.fill(order());
            }
        } else {
            let drawn = sample(eligible.len(), random);
            let drawn = drawn
                .iter()
                .filter_map(|&place| eligible.get(place))
                .map(read);
            let drawn = drawn.filter(|id| sight.admits(*id, random));
            look.fill(turn.into_iter().chain(drawn));
            if look.len == 0 {
                // All of them have been tried, have failed since the plan was made, or hold back.
                look.fill(
                    from(eligible, ticket)
                        .find(|id| sight.roster.eligible(*id))
                        .into_iter(),
                );
            }
        }
        look
    }

    /// The eligible ones among them, with their records.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &MemberRecord)> {
        let ids = self.ids.iter().take(self.len);
        ids.filter_map(|&id| Some((id, self.sight.roster.member(id)?)))
    }

    fn fill(&mut self, candidates: impl Iterator<Item = MemberId>) {
        let eligible = candidates.filter(|id| self.sight.roster.eligible(*id));
        for (place, id) in self.ids.iter_mut().zip(eligible) {
            *place = id;
            self.len += 1;
        }
    }
}

/// The next turn of a member that takes part: the others' are passed on, as with `roundrobin`.
fn next_turn(sight: &Sight<'_>, random: &mut fastrand::Rng) -> (usize, Option<MemberId>) {
    let next = || {
        let ticket = sight.take_ticket();
        (ticket, sight.turn(ticket))
    };
    let mut found = next();
    for _ in 0..SAMPLE {
        if found.1.is_none_or(|id| sight.admits(id, random)) {
            break;
        }
        found = next();
    }
    found
}

/// All of a list, from a place (which wraps around) on.
pub fn from(list: &[AtomicU32], place: usize) -> impl Iterator<Item = MemberId> {
    let (before, after) = list.split_at(place.checked_rem(list.len()).unwrap_or(0));
    after.iter().chain(before).map(read)
}

fn read(id: &AtomicU32) -> MemberId {
    MemberId(id.load(Ordering::Relaxed))
}

/// [`SAMPLE`] distinct numbers below `len`, which is above [`ALL`]: each set equally likely by Floyd's
/// algorithm (Bentley, "Programming Pearls", CACM 1987), each order by the shuffle.
pub fn sample(len: usize, random: &mut fastrand::Rng) -> [usize; SAMPLE] {
    let mut drawn = [usize::MAX; SAMPLE];
    for taken in 0..SAMPLE {
        let last = len - SAMPLE + taken;
        let candidate = random.usize(..=last);
        let fresh = if drawn.contains(&candidate) {
            last
        } else {
            candidate
        };
        if let Some(place) = drawn.get_mut(taken) {
            *place = fresh;
        }
    }
    random.shuffle(&mut drawn);
    drawn
}
