//! Members' agents: what they say comes in here, pushed or asked for ([`rounds`]).

pub mod rounds;

use std::net::{SocketAddr, ToSocketAddrs};

use athena_engine::agent::Words;

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::{clock, events, refresh, stats};

/// Looks at a farm's agents at a start.
pub fn begin(farm: &Farm) {
    if farm.observed {
        return;
    }
    for member in &farm.members {
        if let (Some(address), None) = (&member.params.agent, member.agent) {
            let (host, _) = address.of(member.host());
            let text = format!(
                "ATH0305: farm {}: member {}: agent: {host} has no address: its agent is not asked",
                farm.name, member.name
            );
            log::server(Level::Warning, farm.server_rec, &text);
        }
    }
}

/// Whether any member of a farm has an agent to be asked, or would have when it joins.
pub fn any_asked(farm: &Farm) -> bool {
    !farm.observed
        && (farm.params.members.agent.is_some()
            || farm.members.iter().any(|member| member.agent.is_some()))
}

/// Where a member's agent is. A name is looked up here, once.
pub fn address_of(member: &Member) -> Option<SocketAddr> {
    let agent = member.params.agent.as_ref()?;
    agent.of(member.host()).to_socket_addrs().ok()?.next()
}

/// Puts what an agent says of its member in force.
pub fn hear(farm: &Farm, member: &Member, words: &Words) {
    if let Some(said) = words.apply(&member.record().admin) {
        let reason = match words.reason() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        let text = format!(
            "ATH0303: farm {}: member {}: its agent says {said}{reason}",
            farm.name, member.name
        );
        log::server(Level::Notice, farm.server_rec, &text);
        events::note(farm, Some(member), &said.to_string(), "its agent", "agent");
        refresh::request(farm);
    }
    if !words.is_empty() {
        stats::heard_from(farm, member, clock::now());
    }
}
