//! `leasttime`: least expected waiting, `response time × (in flight + 1) / weight`, over all
//! children.
//!
//! The cost is that of Finagle's and linkerd's balancers. They compare two random members with counters of
//! one process; here the counters are everybody's, so all can be compared without a herd forming. The
//! response time is the most of three: what the member takes on average ([`crate::ewma`]), its slow
//! answers until they are forgiven ([`crate::peak`]), and how long its requests have been waiting for
//! an answer, so that a member that hangs is seen before it has answered ([`crate::waiting`]).
//!
//! Only a time of more than [`TOLERANCE`] times that of the fastest member counts; below, a member is as
//! fast as the fastest, and equals take turns by weight ([`super::look`]). Else a percent would decide, and
//! the load of a farm with little to do would follow the noise from one member to the next. It also holds
//! for a member of which no time is known, as it is new or was out of service: it gets its share from its
//! first request on, not a flood until its first answer. The fastest counts as [`ewma::PENALTY`] at most:
//! where only a failing member has been "measured" so far, its growing penalty must not become everybody's.
//!
//! Idle members are equal whatever their weight, as for `leastconn` ([`super::load`]).

use super::look::Look;
use super::{Method, Sight, in_flight, weight};
use crate::MemberId;
use crate::ageing::float;
use crate::board::record::MemberRecord;
use crate::{ewma, peak, slow_start, waiting};

/// Members that take half as long again as the fastest are as fast.
const TOLERANCE: f64 = 1.5;

/// See the module.
pub struct LeastTime;

impl Method for LeastTime {
    fn name(&self) -> &'static str {
        "leasttime"
    }

    fn compares(&self) -> bool {
        true
    }

    fn wants_ages(&self) -> bool {
        true
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let mut look = Look::at(sight);
        look.around(random);
        let (mut fastest, mut heaviest) = (ewma::PENALTY, 1);
        // Without a branch that only the members' figures decide: among many, these come from memory, and
        // are waited for together.
        for (_, member) in look.members() {
            fastest = fastest.min(ewma::usual(&member.hot).unwrap_or(ewma::PENALTY));
            heaviest = heaviest.max(weight(member));
        }
        look.best(|member, least: Option<&f64>| {
            let load = load(sight, member, heaviest);
            let less = |time: f64| {
                let less = |cost: &f64| least.is_none_or(|least| cost < least);
                Some(time * load).filter(less)
            };
            // What it is at least often tells enough, and costs less.
            less(fastest)?;
            less(response_time(sight, member, fastest))
        })
    }
}

/// Requests under way with the new one, per weight.
fn load(sight: &Sight<'_>, member: &MemberRecord, heaviest: u32) -> f64 {
    let in_flight = in_flight(member);
    let weight = match in_flight {
        // What holds one back that is in its slow start are the looks that it is left out of; else it
        // would wait for the others to be busy.
        0 => heaviest * slow_start::FULL,
        _ => weight(member) * sight.share(member),
    };
    let requests = f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX)) + 1.0;
    requests / f64::from(weight)
}

/// What a request has to expect, at least the time of the fastest.
fn response_time(sight: &Sight<'_>, member: &MemberRecord, fastest: f64) -> f64 {
    let hot = &member.hot;
    let tolerable = fastest * TOLERANCE;
    let present = || ewma::estimate(hot, sight.now, sight.half_life);
    // The average only fades: the exponential is for those that were slower.
    let slower = ewma::usual(hot) > Some(tolerable);
    let average = slower.then(present).flatten().unwrap_or(0.0);
    let peak = peak::left(hot, sight.now, sight.half_life);
    let age = float(waiting::mean_age(&hot.waiting, sight.now));
    let time = average.max(peak).max(age);
    if time > tolerable { time } else { fastest }
}
