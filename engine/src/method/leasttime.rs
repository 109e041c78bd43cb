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
        let mut look = Look::at(sight);
        look.around(random);
        let fastest = look
            .members()
            .filter_map(|(_, member)| ewma::measured(&member.hot))
            .fold(
                ewma::PENALTY,
                |least, time| if time < least { time } else { least },
            );
        look.best(|member, least: Option<&f64>| {
            let load = load(sight, member);
            let less = |time: f64| {
                let less = |cost: &f64| least.is_none_or(|least| cost < least);
                Some(time * load).filter(less)
            };
            // What it is at least often tells enough, and costs less.
            less(fastest)?;
            less(ewma::estimate_at_least(
                &member.hot,
                sight.now,
                sight.half_life,
            ))?;
            less(response_time(sight, member, fastest))
        })
    }
}

/// Requests under way with the new one, per weight.
fn load(sight: &Sight<'_>, member: &MemberRecord) -> f64 {
    let in_flight = in_flight(member);
    let share = match in_flight {
        // What holds it back are the looks that it is left out of; else it would wait for the others
        // to be busy.
        0 => slow_start::FULL,
        _ => sight.share(member),
    };
    let requests = f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX)) + 1.0;
    requests / f64::from(weight(member) * share)
}

/// What a request has to expect, at least the time of the fastest.
#[expect(
    clippy::cast_precision_loss,
    reason = "ages are far below 2^52 microseconds"
)]
fn response_time(sight: &Sight<'_>, member: &MemberRecord, fastest: f64) -> f64 {
    let hot = &member.hot;
    let age = waiting::mean_age(&hot.waiting, sight.now) as f64;
    let present = || ewma::estimate(hot, sight.now, sight.half_life);
    // One that was no slower is none now, however much has faded.
    let slower = ewma::measured(hot) > Some(fastest);
    let known = slower.then(present).flatten();
    known.unwrap_or(fastest).max(fastest).max(age)
}
