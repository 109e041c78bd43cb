//! `leasttime`: least expected waiting, `response time × (in flight + 1) / weight`, over all
//! children.
//!
//! The response time is the member's peak EWMA ([`crate::ewma`]), the cost that of Finagle's and
//! linkerd's balancers; or the time that its requests have been waiting for an answer, if that is more
//! ([`crate::waiting`]): a member that hangs is seen before it answers. They compare two random members with counters of one process; here the
//! counters are everybody's, so all can be compared without a herd forming.
//!
//! No member is taken for faster than the fastest was when last measured. That holds for one never
//! measured, and for one whose estimate faded away while it was idle or out of service: it gets its
//! share from its first request on, not a flood until its first answer. It also makes equals of
//! members that differ by little, as soon as the idle one's estimate has faded by that little; they
//! then take turns ([`super::look`]). The fastest counts as [`ewma::PENALTY`] at most: where only a
//! failing member has been "measured" so far, its growing penalty must not become everybody's.

use super::look::Look;
use super::{Method, Sight, in_flight, weight};
use crate::MemberId;
use crate::board::record::MemberRecord;
use crate::{ewma, slow_start, waiting};

/// See the module.
pub struct LeastTime;

impl Method for LeastTime {
    fn name(&self) -> &'static str {
        "leasttime"
    }

    fn wants_ages(&self) -> bool {
        true
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let look = Look::around(sight, random);
        let fastest = look
            .members()
            .filter_map(|(_, member)| ewma::measured(&member.hot))
            .min_by(f64::total_cmp)
            .unwrap_or(ewma::PENALTY)
            .min(ewma::PENALTY);
        look.members()
            .map(|(id, member)| (id, cost(sight, member, fastest)))
            // Of equals, `min_by` takes the first.
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(id, _)| id)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "requests in flight and weights are far below 2^52"
)]
fn cost(sight: &Sight<'_>, member: &MemberRecord, fastest: f64) -> f64 {
    let estimate = ewma::estimate(&member.hot, sight.now, sight.half_life);
    let in_flight = in_flight(member);
    let known = estimate.map_or(fastest, |estimate| estimate.max(fastest));
    let response_time = known.max(waiting::mean_age(&member.hot.waiting, sight.now) as f64);
    let weight = match in_flight {
        // What holds it back are the looks that it is left out of; else it would wait for the others
        // to be busy.
        0 => u64::from(weight(member)) * u64::from(slow_start::FULL),
        _ => sight.weight(member),
    };
    response_time * (in_flight as f64 + 1.0) / weight as f64
}
