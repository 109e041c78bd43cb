//! `leastconn`: fewest requests in flight per weight ([`super::load`]), over all children. Idle
//! members, like all equals, take turns by weight ([`super::look`]), as with nginx's `least_conn`.

use super::load::Load;
use super::look::Look;
use super::{Method, Sight};
use crate::MemberId;

/// See the module.
pub struct LeastConn;

impl Method for LeastConn {
    fn name(&self) -> &'static str {
        "leastconn"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        Look::around(sight, random)
            .members()
            .map(|(id, member)| (id, Load::of(sight, member)))
            // Of equals, `min_by` takes the first.
            .min_by(|(_, a), (_, b)| a.compare(b))
            .map(|(id, _)| id)
    }
}
