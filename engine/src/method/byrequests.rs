//! `byrequests`: stock httpd's rule. The schedule of `roundrobin` is that rule written down
//! ([`crate::plan::turns`]), so the two names share it; here it is exact over all children, while
//! stock's `lbstatus` loses updates between them.

use super::roundrobin::RoundRobin;
use super::{Method, Sight};
use crate::MemberId;

/// See the module.
pub struct ByRequests;

impl Method for ByRequests {
    fn name(&self) -> &'static str {
        "byrequests"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        RoundRobin.pick(sight, random)
    }
}
