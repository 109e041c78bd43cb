//! What a start makes of a farm's configuration of sessions: what can never work is refused, what is
//! probably a mistake is warned of.

use athena_engine::sticky::{self, Reading, issue};

use super::settings::Settings;
use crate::farm::{Farm, Member};
use crate::log::{self, Level};

/// Looks at a farm with all of its members.
pub fn check(farm: &Farm) -> Result<(), String> {
    let params = &farm.params;
    let needs = |key: &str, what: &str| Err(format!("farm {}: {key} needs {what}", farm.name));
    if params.sticky_attrs.is_some() && !params.sticky_issue {
        return needs("stickyattrs", "stickyissue=On");
    }
    match Settings::of(farm.balancer) {
        Some(settings) => check_routes(farm, settings),
        None if params.sticky_issue => needs("stickyissue=On", "stickysession=NAME"),
        None if params.route_regex.is_some() => needs("routeregex", "stickysession=NAME"),
        None => Ok(()),
    }
}

fn check_routes(farm: &Farm, settings: Settings<'_>) -> Result<(), String> {
    for member in &farm.members {
        check_member(farm, member, settings)
            .map_err(|error| format!("farm {}: member {}: {error}", farm.name, member.name))?;
    }
    let members = farm.members.iter();
    let routes = members.map(|member| (member.route().to_bytes(), member.name.as_str()));
    for (route, members) in sticky::shared_routes(routes) {
        let text = format!(
            "ATH0141: farm {}: route={} is the route of {}: its sessions go to the first of them \
             that is usable",
            farm.name,
            String::from_utf8_lossy(route),
            members.join(", ")
        );
        log::server(Level::Warning, farm.server_rec, &text);
    }
    Ok(())
}

fn check_member(farm: &Farm, member: &Member, settings: Settings<'_>) -> Result<(), String> {
    let route = member.route().to_bytes();
    if route.is_empty() && farm.params.sticky_issue {
        let text = format!(
            "ATH0142: farm {}: member {}: has no route, so stickyissue=On cannot keep sessions there",
            farm.name, member.name
        );
        log::server(Level::Warning, farm.server_rec, &text);
    }
    fits(farm, route, settings)
}

/// Whether a farm's sessions can carry a route.
pub fn check_route(farm: &Farm, route: &[u8]) -> Result<(), String> {
    Settings::of(farm.balancer).map_or(Ok(()), |settings| fits(farm, route, settings))
}

fn fits(farm: &Farm, route: &[u8], settings: Settings<'_>) -> Result<(), String> {
    let reading = settings.reading(&farm.params);
    let shown = String::from_utf8_lossy(route);
    if let Reading::Separator(separator) = reading
        && route.contains(&separator)
    {
        return Err(format!(
            "route={shown} holds '{}', which separates it from the session's id; choose another \
             route, or another character with stickysessionsep",
            separator.escape_ascii()
        ));
    }
    if !farm.params.sticky_issue || route.is_empty() {
        return Ok(());
    }
    let (name, separator) = (settings.cookie(), settings.separator());
    if issue::comes_back(name.to_bytes(), separator, route, &reading) {
        return Ok(());
    }
    let separator = separator
        .map(char::from)
        .map_or_else(String::new, String::from);
    Err(format!(
        "stickyissue=On would set the cookie {}={separator}{shown}, which is not allowed in a cookie \
         or not read as route={shown}; choose another stickysession, route, stickysessionsep or \
         routeregex",
        name.to_string_lossy(),
    ))
}
