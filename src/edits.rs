//! What others changed in mod_proxy's structures: balancer-manager and mod_proxy_hcheck, whose changes
//! bump no version.

use std::collections::BTreeSet;
use std::time::Duration;

use athena_engine::board::Deadline;
use athena_engine::board::record::flags;
use athena_engine::method::Anew;
use athena_engine::plan::stale;

use crate::farm::Farm;
use crate::log::{self, Level};
use crate::{events, growth, method, refresh, runtime};

/// Takes over what others changed, and has it take effect. Farms whose locks are not to be had within
/// `patience` are left to the next look; the parent's, before a restart, is the last.
pub fn take_over(patience: Duration) {
    let end = Deadline::after(patience);
    for farm in runtime::farms() {
        growth::follow(farm);
        if pull(farm, end.left()) > 0 {
            refresh::request(farm);
        }
        if !farm
            .members
            .iter()
            .all(|member| farm.lists_route_of(member))
        {
            stale::mark(&farm.seat.record.cold);
        }
        refresh::if_stale(farm);
    }
}

/// Takes over what others changed in mod_proxy's shared parts; how many members that were. Children of
/// an older generation look at parts of their own.
pub fn pull(farm: &Farm, patience: Duration) -> usize {
    let mut differing = farm
        .members
        .iter()
        .filter(|member| member.differs())
        .peekable();
    if differing.peek().is_none() && !method::differs(farm) {
        return 0;
    }
    let held = runtime::board().map(|board| board.lock_to_change(farm.seat.id, patience));
    let Some(Ok(_held)) = held else { return 0 };
    let who = "balancer-manager or a health check";
    let mut anew = BTreeSet::new();
    if let Some(said) = method::pull(farm) {
        anew.insert(Anew::Method);
        events::note(farm, None, &said, who, "mod_proxy");
    }
    let mut changed = 0;
    for member in differing {
        let before = member.state();
        member.pull();
        let after = member.state();
        // What was changed here, and shown to mod_proxy, is no news.
        if after.settings == before.settings {
            continue;
        }
        changed += 1;
        anew.extend(after.starts_anew(&before));
        let checked = || match after.settings.flags & flags::CHECK_FAILED {
            0 => "check=passed (was failed)".to_owned(),
            _ => "check=failed (was passed)".to_owned(),
        };
        let said = after.difference(&before).unwrap_or_else(checked);
        events::note(farm, Some(member), &said, who, "mod_proxy");
    }
    for why in anew {
        farm.start_anew(why);
    }
    if changed > 0 {
        let text = format!(
            "ATH0113: farm {}: {changed} members were changed by hand or check",
            farm.name
        );
        log::server(Level::Info, farm.server_rec, &text);
    }
    changed
}
