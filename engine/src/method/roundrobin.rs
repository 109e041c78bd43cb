//! `roundrobin`: weighted round robin over all children, exact.
//!
//! The schedule is compiled beforehand ([`crate::plan::turns`]); a request takes the farm's next
//! ticket, one atomic step for all processes (among many members, of a part: [`crate::plan::parts`]),
//! and looks up whose turn that is.

use super::{Method, Sight};
use crate::MemberId;
use crate::plan::circle_from;

/// See the module.
pub struct RoundRobin;

impl Method for RoundRobin {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    /// A turn whose member cannot be used (any more, or by this request again) is passed on to the
    /// next. A heavy member may have many in a row: after two rounds of the members' number, whoever
    /// is left is simply looked for.
    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        let eligible = sight.plan.eligible;
        let tries = sight.plan.turns.len().min(eligible.len().saturating_mul(2));
        (0..tries)
            .filter_map(|_| sight.available(sight.plan.turn(sight.take_ticket())?))
            .find(|(_, member)| sight.takes_part(member, random))
            .or_else(|| {
                circle_from(eligible, sight.take_ticket()).find_map(|id| sight.available(id))
            })
            .map(|(id, _)| id)
    }
}
