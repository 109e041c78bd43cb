//! `leastconn`: fewest requests in flight per weight ([`super::load`]), over all children. Idle
//! members, like all equals, take turns by weight ([`super::look`]), as with nginx's `least_conn`.

use super::load::Load;
use super::look::Look;
use super::{Method, Sight};
use crate::MemberId;
use core::cmp::Ordering;

/// See the module.
pub struct LeastConn;

impl Method for LeastConn {
    fn name(&self) -> &'static str {
        "leastconn"
    }

    fn compares(&self) -> bool {
        true
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let mut look = Look::at(sight);
        look.around(random);
        look.best(|member, least: Option<&Load>| {
            let load = Load::of(sight, member);
            let less = least.is_none_or(|least| load.compare(least) == Ordering::Less);
            less.then_some(load)
        })
    }
}
