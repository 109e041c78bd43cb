//! `bybusyness`: stock httpd's rule (`modules/proxy/balancers/mod_lbmethod_bybusyness.c`) on exact
//! counters: fewest requests in flight, whatever the weights; of equals, the one whose running
//! balance is largest, the first in the configuration's order if that is equal too.
//!
//! Each choice adds its weight to every member's balance and takes the sum from the chosen one's.
//! Stock does both, and its `busy`, with plain additions in shared memory; here they are atomic, so
//! that nothing is lost and the balances of all members always sum up to 0.

use super::{Method, Sight, in_flight, weight};
use crate::MemberId;
use crate::board::record::MemberRecord;
use crate::sync::Ordering;

/// See the module.
pub struct ByBusyness;

impl Method for ByBusyness {
    fn name(&self) -> &'static str {
        "bybusyness"
    }

    fn pick(&self, sight: &Sight<'_>, _: &mut fastrand::Rng) -> Option<MemberId> {
        let mut total: i64 = 0;
        let mut best: Option<Candidate<'_>> = None;
        for id in sight.plan.eligible {
            let id = MemberId(id.load(Ordering::Relaxed));
            let Some(member) = sight
                .roster
                .member(id)
                .filter(|_| sight.roster.eligible(id))
            else {
                continue;
            };
            let factor = i64::from(weight(member));
            total += factor;
            let balance = member.hot.lbstatus.fetch_add(factor, Ordering::Relaxed);
            let candidate = Candidate {
                id,
                member,
                busy: in_flight(member),
                balance: balance.wrapping_add(factor),
            };
            if best.as_ref().is_none_or(|best| candidate.beats(best)) {
                best = Some(candidate);
            }
        }
        let best = best?;
        best.member.hot.lbstatus.fetch_sub(total, Ordering::Relaxed);
        Some(best.id)
    }

    /// As stock does for sticky requests: each usable member gains its weight, the one that got the
    /// request pays the sum.
    fn passed_over(&self, usable: &mut dyn Iterator<Item = &MemberRecord>, went_to: &MemberRecord) {
        let mut total = 0;
        for member in usable {
            let factor = i64::from(weight(member));
            total += factor;
            member.hot.lbstatus.fetch_add(factor, Ordering::Relaxed);
        }
        went_to.hot.lbstatus.fetch_sub(total, Ordering::Relaxed);
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
