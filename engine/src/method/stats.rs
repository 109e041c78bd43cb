//! `stats`: the lowest score, by the farm's formula over what its members push and what it measures
//! itself ([`crate::stats::score`]).
//!
//! A member without a score (it has not pushed yet what the formula needs) comes behind all that have
//! one. Pushed figures stand for a while, and so do ties: members of one score, and those without, take
//! turns by weight among themselves, by their running balances.

use super::look::{ALL, Look};
use super::{Method, Sight, balance};
use crate::MemberId;

/// See the module.
pub struct Stats;

impl Method for Stats {
    fn name(&self) -> &'static str {
        "stats"
    }

    fn compares(&self) -> bool {
        true
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let mut look = Look::at(sight);
        look.around(random);
        let members = look.available();
        let mut scores = [f64::INFINITY; ALL];
        for (place, (_, member)) in scores.iter_mut().zip(&members) {
            let score = sight
                .score
                .and_then(|score| score.of(member, sight.now, sight.half_life));
            *place = score.unwrap_or(f64::INFINITY);
        }
        let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let best = || {
            members
                .iter()
                .copied()
                .zip(&scores)
                .filter(|(_, score)| **score <= lowest)
                .map(|(member, _)| member)
        };
        let (first, _) = best().next()?;
        if best().nth(1).is_none() {
            return Some(first);
        }
        let mut total = 0;
        let balances = best().map(|(id, member)| {
            let credit = sight.credit(member);
            (id, member, balance::credit(member, credit, &mut total))
        });
        let (id, member, _) = balance::largest(balances)?;
        balance::pay(member, total);
        Some(id)
    }
}
