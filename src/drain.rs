//! `draintimeout`: a member that has drained so long is stopped, for its sessions too, until somebody
//! ends the draining.

use athena_engine::drain;

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::{clock, runtime};

/// Whether a member has drained as long as it may; whoever finds out first says so.
pub fn is_over(farm: &Farm, member: &Member) -> bool {
    let admin = &member.record().admin;
    let Some(timeout) = member.drain_timeout() else {
        return false;
    };
    if !drain::is_over(admin, timeout, clock::wall()) {
        return false;
    }
    if drain::is_news(admin) {
        let text = format!(
            "ATH0231: farm {}: member {} has drained for {} s (draintimeout): it is stopped, and its \
             sessions go elsewhere",
            farm.name,
            member.name,
            timeout.as_secs()
        );
        log::server(Level::Notice, farm.server_rec, &text);
    }
    true
}

/// Looks at all members, so that it is said without a request, too.
pub fn look() {
    for farm in runtime::farms() {
        for member in &farm.members {
            is_over(farm, member);
        }
    }
}
