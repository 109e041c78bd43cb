//! What can never work, found before anything is made of it; and what is probably a mistake.

use athena_engine::config::farms::Farms;
use athena_engine::config::forward;

use super::draft::{Draft, Names, Tables};
use crate::conf::{EnginePath, ServerConf};
use crate::log::{self, Level};
use crate::proxy;

/// Looks at all farms of a configuration.
pub fn all(drafts: &[Draft], tables: &Tables) -> Result<(), String> {
    classes(drafts, tables)?;
    for draft in drafts {
        draft.sessions().check()?;
        score(draft)?;
    }
    for (_, names) in tables {
        forwards(drafts, names)?;
    }
    forward_proxy(tables);
    Ok(())
}

/// Tells of a forward proxy whose clients the engine takes for people on this machine.
fn forward_proxy(tables: &Tables) {
    let Some(proxy) = proxy::get() else { return };
    let servers = || tables.iter().map(|(s, _)| *s);
    // SAFETY: mod_proxy made a configuration for each server.
    let proxies = |s| unsafe { proxy.conf(s).as_ref() }.is_some_and(|conf| conf.req != 0);
    let trusts = |conf: &ServerConf| {
        conf.engine && conf.trust.is_none() && !matches!(conf.path, Some(EnginePath::Off))
    };
    if let Some(s) = servers().find(|s| proxies(*s))
        && servers().filter_map(|s| ServerConf::of(s)).any(trusts)
    {
        let text = "ATH0442: ProxyRequests On: the engine's paths trust loopback, as which they may see \
                    this proxy's clients; write AthTrust";
        log::server(Level::Warning, s, text);
    }
}

/// Refuses an `AthQos` line for a farm that does not exist.
fn classes(drafts: &[Draft], tables: &Tables) -> Result<(), String> {
    let confs = tables.iter().filter_map(|(s, _)| ServerConf::of(*s));
    for line in confs.flat_map(|conf| &conf.qos) {
        let exists = |name: &String| drafts.iter().any(|draft| draft.name == *name);
        if let Some(farm) = line.farm.as_ref().filter(|farm| !exists(farm)) {
            return Err(format!(
                "AthQos {} farm={farm}: must be the name of a farm",
                line.class
            ));
        }
    }
    Ok(())
}

fn score(draft: &Draft) -> Result<(), String> {
    let (name, score) = (&draft.name, &draft.params.score);
    let by_score = draft.provider.1.name() == "stats";
    if by_score && score.is_none() {
        return Err(format!("farm {name}: lbmethod=stats needs score=FORMULA"));
    }
    if !by_score && score.is_some() {
        let text = format!("ATH0300: farm {name}: score= has no effect without lbmethod=stats");
        log::server(Level::Warning, draft.server_rec, &text);
    }
    Ok(())
}

/// Refuses a `forward` to nobody, or in a circle, among the farms of a server; and a `fallback` to one.
fn forwards(drafts: &[Draft], names: &Names) -> Result<(), String> {
    let named = names
        .iter()
        .filter_map(|named| Some((named.name.clone(), named.declared, drafts.get(named.draft)?)));
    let of = |draft: &&Draft| {
        let members = draft.members.iter().map(|member| &member.params.forward);
        let said = members.chain([&draft.params.forward]);
        said.flatten().cloned().collect()
    };
    let farms = Farms::new(named);
    for (name, draft) in farms.iter() {
        if let Some(fallback) = &draft.params.fallback {
            forward::check_fallback(&farms, name, fallback)?;
        }
    }
    forward::check(&farms, of).map_err(|wrong| wrong.reason)
}
