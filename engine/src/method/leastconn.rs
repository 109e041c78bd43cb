//! `leastconn`: fewest requests in flight per weight, over all children.
//!
//! The figure compared is `HAProxy`'s (`src/lb_fwlc.c`, `fwlc_queue_srv`): 0 for an idle member, else
//! `(in flight + 1) / weight`, the load with the new request. Counting the new request keeps a light
//! member from being overtaxed (3 in flight at weight 4 take another before 1 at weight 1 does).
//! Idle members are equal whatever their weight, or a farm with one request at a time would only
//! ever use its heaviest; they, like all ties, take turns by weight ([`super::look`]), as with
//! nginx's `least_conn`.

use super::look::Look;
use super::{Method, Sight, in_flight, weight};
use crate::MemberId;
use crate::board::record::MemberRecord;
use core::cmp::Ordering;

/// See the module.
pub struct LeastConn;

impl Method for LeastConn {
    fn name(&self) -> &'static str {
        "leastconn"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        Look::around(sight, random)
            .members()
            .map(|(id, member)| (id, Load::of(member)))
            // Of equals, `min_by` takes the first.
            .min_by(|(_, a), (_, b)| a.compare(b))
            .map(|(id, _)| id)
    }
}

/// A fraction, compared without dividing.
struct Load {
    requests: u64,
    weight: u32,
}

impl Load {
    fn of(member: &MemberRecord) -> Self {
        let requests = match in_flight(member) {
            0 => 0,
            under_way => under_way.saturating_add(1),
        };
        Self {
            requests,
            weight: weight(member),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let per_weight = |a: &Self, b: &Self| u128::from(a.requests) * u128::from(b.weight);
        per_weight(self, other).cmp(&per_weight(other, self))
    }
}
