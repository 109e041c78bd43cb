//! `bybusyness`: stock httpd's rule (`modules/proxy/balancers/mod_lbmethod_bybusyness.c`) on exact
//! counters: fewest requests in flight, whatever the weights; of equals, the one whose running
//! balance is largest, the first in the configuration's order if that is equal too.

use super::{Method, Sight, balance, in_flight};
use crate::MemberId;
use crate::board::record::MemberRecord;

/// See the module.
pub struct ByBusyness;

impl Method for ByBusyness {
    fn name(&self) -> &'static str {
        "bybusyness"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let mut total = 0;
        let mut best: Option<Candidate<'_>> = None;
        for (id, member) in sight.taking_part(random) {
            let candidate = Candidate {
                id,
                member,
                busy: in_flight(member),
                balance: balance::credit(member, sight.credit(member), &mut total),
            };
            if best.as_ref().is_none_or(|best| candidate.beats(best)) {
                best = Some(candidate);
            }
        }
        let best = best?;
        balance::pay(best.member, total);
        Some(best.id)
    }

    fn passed_over(
        &self,
        usable: &mut dyn Iterator<Item = &MemberRecord>,
        _eligible: usize,
        went_to: &MemberRecord,
    ) {
        balance::passed_over(usable, went_to);
    }
}

struct Candidate<'a> {
    id: MemberId,
    member: &'a MemberRecord,
    busy: u64,
    balance: i64,
}

impl Candidate<'_> {
    fn beats(&self, best: &Self) -> bool {
        self.busy < best.busy || (self.busy == best.busy && self.balance > best.balance)
    }
}
