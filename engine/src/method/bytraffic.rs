//! `bytraffic`: stock httpd's rule (`modules/proxy/balancers/mod_lbmethod_bytraffic.c`) on exact
//! counters: fewest bytes sent to and received from the member, each divided by its weight; of
//! equals, the first in the configuration's order.
//!
//! Stock counts the headers of requests, and the status line of answers. The board counts bodies:
//! without the rest, all requests that have none would go to one member. So each request that a member
//! was elected for counts as [`HEAD`] bytes more.
//!
//! Stock counts from the last restart on, and anew when somebody puts a member back in service in
//! balancer-manager. The counters of the board survive both, so the count starts where they stood
//! then ([`super::start_anew`]).
//!
//! A member in its slow start is brought level with the least used of the others again and again: else it would
//! catch up with what it is held back from, and have more than its share in the end.

use super::{Method, Sight, weight};
use crate::board::record::MemberRecord;
use crate::sync::{AtomicU64, Ordering};
use crate::{MemberId, slow_start};

/// What the head of a request and of its answer is taken for, in bytes: a browser's to a member.
const HEAD: u64 = 500;

/// See the module.
pub struct ByTraffic;

impl Method for ByTraffic {
    fn name(&self) -> &'static str {
        "bytraffic"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        if !slow_start::is_over(sight.farm, sight.now) {
            bring_level(sight);
        }
        sight
            .taking_part(random)
            // Of equals, `min_by_key` takes the first.
            .min_by_key(|(_, member)| traffic(member))
            .map(|(id, _)| id)
    }
}

fn traffic(member: &MemberRecord) -> u64 {
    let factor = u64::from(weight(member));
    let since = |count: &AtomicU64, from: &AtomicU64| {
        let (count, from) = (count.load(Ordering::Relaxed), from.load(Ordering::Relaxed));
        // Below 0 if the board is damaged; above the count after `raise`.
        count
            .wrapping_sub(from)
            .cast_signed()
            .max(0)
            .cast_unsigned()
    };
    let (hot, admin) = (&member.hot, &member.admin);
    let heads = since(&hot.elected, &admin.elected_from).saturating_mul(HEAD);
    (since(&hot.bytes_in, &admin.bytes_in_from) / factor)
        .saturating_add(since(&hot.bytes_out, &admin.bytes_out_from) / factor)
        .saturating_add(heads / factor)
}

fn bring_level(sight: &Sight<'_>) {
    let full = |member: &MemberRecord| sight.share(member) == slow_start::FULL;
    let others = sight.all_available().filter(|(_, member)| full(member));
    let Some(level) = others.map(|(_, member)| traffic(member)).min() else {
        return;
    };
    for (_, member) in sight.all_available().filter(|(_, member)| !full(member)) {
        raise(member, level);
    }
}

/// Has the member's count begin earlier, so that it comes to `level`.
fn raise(member: &MemberRecord, level: u64) {
    let from = &member.admin.bytes_out_from;
    let found = from.load(Ordering::Relaxed);
    let behind = level.saturating_sub(traffic(member));
    let earlier = found.wrapping_sub(behind.saturating_mul(weight(member).into()));
    if behind > 0 {
        // Another process that has raised it meanwhile has done so for this one, too.
        let _ = from.compare_exchange(found, earlier, Ordering::Relaxed, Ordering::Relaxed);
    }
}
