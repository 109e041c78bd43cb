//! `traffic`: least recent traffic per weight, over all children. Recent traffic is the member's
//! bytes in and out, ageing with the farm's half-life ([`crate::traffic`]).
//!
//! Bytes are known when a request ends, the choice is made when it begins. Requests under way
//! therefore count as well, each as the mean request of the members compared: else all requests of
//! a burst, or of an hour of long downloads, would go to the member with the fewest bytes so far.
//!
//! A member of which nothing was heard for a half-life, while others had traffic, enters at the
//! level of the least used of them. It was out of service, or drained, or is new, and gets its share
//! from its first request on, not the whole load until it has caught up. So does one in its slow
//! start, again and again: it need not catch up with what it was held back from. Equals take turns
//! ([`super::look`]).

#![expect(
    clippy::cast_precision_loss,
    reason = "byte counts and requests in flight are far below 2^52"
)]

use super::look::Look;
use super::{Method, Sight, in_flight, weight};
use crate::board::record::{MemberHot, MemberRecord};
use crate::sync::Ordering;
use crate::{MemberId, Micros, slow_start, traffic};

/// See the module.
pub struct Traffic;

impl Method for Traffic {
    fn name(&self) -> &'static str {
        "traffic"
    }

    fn compares(&self) -> bool {
        true
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let mut look = Look::at(sight);
        look.around(random);
        let mean = mean_request(&look);
        enter_newcomers(sight, &look);
        look.best(|member, least: Option<&f64>| {
            let load = load(sight, member, mean);
            least.is_none_or(|least| load < *least).then_some(load)
        })
    }

    fn learn(&self, hot: &MemberHot, bytes: u64, now: Micros, half_life: Micros) {
        traffic::observe(hot, bytes, now, half_life);
    }
}

/// Bytes per weight, with what is under way.
fn load(sight: &Sight<'_>, member: &MemberRecord, mean: f64) -> f64 {
    let recent = traffic::recent(&member.hot, sight.now, sight.half_life);
    (recent + in_flight(member) as f64 * mean) / f64::from(weight(member))
}

/// Bytes of a request, on average over all that the members have answered.
fn mean_request(look: &Look<'_>) -> f64 {
    let mut bytes = 0_u64;
    let mut answers = 0_u64;
    for (_, member) in look.members() {
        let hot = &member.hot;
        for count in [&hot.bytes_in, &hot.bytes_out] {
            bytes = bytes.saturating_add(count.load(Ordering::Relaxed));
        }
        answers = answers.saturating_add(hot.served.load(Ordering::Relaxed));
    }
    // Before the first answer, one request is as good as another.
    (bytes as f64 / answers.max(1) as f64).max(1.0)
}

fn enter_newcomers(sight: &Sight<'_>, look: &Look<'_>) {
    let heard_of = |member: &MemberRecord| {
        traffic::heard_of(&member.hot, sight.now, sight.half_life)
            && sight.share(member) == slow_start::FULL
    };
    let level = look
        .members()
        .filter(|(_, member)| heard_of(member))
        .map(|(_, member)| {
            let recent = traffic::recent(&member.hot, sight.now, sight.half_life);
            recent / f64::from(weight(member))
        })
        .min_by(f64::total_cmp);
    let Some(level) = level else { return };
    for (_, member) in look.members().filter(|(_, member)| !heard_of(member)) {
        let share = level * f64::from(weight(member));
        traffic::raise(&member.hot, share, sight.now, sight.half_life);
    }
}
