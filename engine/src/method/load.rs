//! What a member has to do: requests in flight per weight, as a fraction that is compared without
//! dividing.
//!
//! The figure is `HAProxy`'s (`src/lb_fwlc.c`, `fwlc_queue_srv`): 0 for an idle member, else
//! `(in flight + 1) / weight`, the load with the new request. Counting the new request keeps a light
//! member from being overtaxed (3 in flight at weight 4 take another before 1 at weight 1 does).
//! Idle members are equal whatever their weight, or a farm with one request at a time would only
//! ever use its heaviest.

use super::{Sight, in_flight};
use crate::board::record::MemberRecord;
use core::cmp::Ordering;

/// See the module.
pub struct Load {
    requests: u64,
    weight: u64,
}

impl Load {
    pub fn of(sight: &Sight<'_>, member: &MemberRecord) -> Self {
        let requests = match in_flight(member) {
            0 => 0,
            under_way => under_way.saturating_add(1),
        };
        Self {
            requests,
            weight: sight.weight(member),
        }
    }

    pub fn compare(&self, other: &Self) -> Ordering {
        let per_weight = |a: &Self, b: &Self| u128::from(a.requests) * u128::from(b.weight);
        per_weight(self, other).cmp(&per_weight(other, self))
    }
}
