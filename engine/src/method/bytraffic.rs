//! `bytraffic`: stock httpd's rule (`modules/proxy/balancers/mod_lbmethod_bytraffic.c`) on exact
//! counters: fewest bytes sent to and received from the member, each divided by its weight; of
//! equals, the first in the configuration's order.
//!
//! Stock counts the headers of requests, and the status line of answers. The board counts bodies:
//! without the rest, all requests that have none would go to one member. So each request counts
//! as [`HEAD`] bytes more, from its election on; a farm by `bytraffic` counts them where others keep
//! their balance (`lbstatus`).
//!
//! Stock counts from the last restart on, and anew when somebody puts a member back in service in
//! balancer-manager. The counters of the board survive both, so the count starts where they stood
//! then ([`super::start_anew`]).

use super::{Method, Sight, weight};
use crate::MemberId;
use crate::board::record::MemberRecord;
use crate::sync::{AtomicU64, Ordering};

/// What the head of a request and of its answer is taken for, in bytes: a browser's to a member.
const HEAD: u64 = 500;

/// See the module.
pub struct ByTraffic;

impl Method for ByTraffic {
    fn name(&self) -> &'static str {
        "bytraffic"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let (id, member) = sight
            .taking_part(random)
            // Of equals, `min_by_key` takes the first.
            .min_by_key(|(_, member)| traffic(member))?;
        count(member);
        Some(id)
    }

    fn passed_over(
        &self,
        _usable: &mut dyn Iterator<Item = &MemberRecord>,
        _eligible: usize,
        went_to: &MemberRecord,
    ) {
        count(went_to);
    }
}

fn count(member: &MemberRecord) {
    member.hot.lbstatus.fetch_add(1, Ordering::Relaxed);
}

fn traffic(member: &MemberRecord) -> u64 {
    let factor = u64::from(weight(member));
    let requests = member.hot.lbstatus.load(Ordering::Relaxed);
    let heads = u64::try_from(requests).unwrap_or(0).saturating_mul(HEAD);
    let per_weight = |count: &AtomicU64, from: &AtomicU64| {
        let (count, from) = (count.load(Ordering::Relaxed), from.load(Ordering::Relaxed));
        count.saturating_sub(from) / factor
    };
    let (hot, admin) = (&member.hot, &member.admin);
    per_weight(&hot.bytes_in, &admin.bytes_in_from)
        .saturating_add(per_weight(&hot.bytes_out, &admin.bytes_out_from))
        .saturating_add(heads / factor)
}
