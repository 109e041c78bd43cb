//! `first`: the first member in the order of the configuration that can take the request, so that
//! each is used up to its `maxconn` before the next one gets anything (`HAProxy`'s `first`). Weights
//! do not matter. The fewest members that can carry the load do; the others may be switched off.

use super::{Method, Sight};
use crate::MemberId;
use crate::plan::circle_from;

/// See the module.
pub struct First;

impl Method for First {
    fn name(&self) -> &'static str {
        "first"
    }

    /// The plan lists members in their order.
    fn pick(&self, sight: &Sight<'_>, _: &mut fastrand::Rng) -> Option<MemberId> {
        circle_from(sight.plan.eligible, 0).find(|id| sight.roster.available(*id).is_some())
    }
}
