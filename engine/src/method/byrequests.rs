//! `byrequests`: stock httpd's rule (`modules/proxy/balancers/mod_lbmethod_byrequests.c`) on exact
//! counters: the member whose running balance is largest; of equals, the first in the
//! configuration's order. Requests of sessions count in the balance, as in stock.
//!
//! Two processes that choose at once must not both take the member that one of them has just paid
//! for: whoever finds the balance moved looks again.
//!
//! Beyond [`ALL`] members a choice cannot look at all of them: it takes the next turn of the rotation,
//! which is the same rule written down beforehand ([`crate::plan::turns`]), sessions left out.

use super::look::ALL;
use super::roundrobin::RoundRobin;
use super::{Method, Sight, balance};
use crate::MemberId;
use crate::board::record::MemberRecord;
use crate::sync::Ordering;

/// So often a choice is made anew when others move the balances meanwhile.
const TRIES: u32 = 8;

/// See the module.
pub struct ByRequests;

impl Method for ByRequests {
    fn name(&self) -> &'static str {
        "byrequests"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        if sight.plan.eligible.len() > ALL {
            return RoundRobin.pick(sight, random);
        }
        let mut total = 0;
        for (_, member) in sight.all_available() {
            balance::credit(member, sight.credit(member), &mut total);
        }
        for _ in 0..TRIES {
            let (id, member, balance) = most_urgent(sight)?;
            if balance::pay_if(member, balance, total) {
                return Some(id);
            }
        }
        let (id, member, _) = most_urgent(sight)?;
        balance::pay(member, total);
        Some(id)
    }

    fn passed_over(
        &self,
        usable: &mut dyn Iterator<Item = &MemberRecord>,
        eligible: usize,
        went_to: &MemberRecord,
    ) {
        if eligible <= ALL {
            balance::passed_over(usable, went_to);
        }
    }
}

fn most_urgent<'a>(sight: &'a Sight<'_>) -> Option<(MemberId, &'a MemberRecord, i64)> {
    let balances = sight.all_available().map(|(id, member)| {
        let balance = member.hot.lbstatus.load(Ordering::Relaxed);
        (id, member, balance)
    });
    balance::largest(balances)
}
