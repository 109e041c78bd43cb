//! What a start makes of a farm's configuration of sessions: what can never work is refused, what is
//! probably a mistake is warned of.

use athena_engine::sticky::{self, Reading, issue};

use athena_engine::config::param::FarmParams;

use super::settings::Settings;
use crate::farm::Farm;
use crate::ffi;
use crate::log::{self, Level};

/// A farm as far as its sessions go.
pub struct Sessions<'a> {
    pub farm: &'a str,
    pub server: *mut ffi::server_rec,
    pub balancer: *mut ffi::proxy_balancer,
    pub params: &'a FarmParams,
    /// Of each member, and its name.
    pub routes: Vec<(&'a [u8], &'a str)>,
}

impl Sessions<'_> {
    /// Looks at the farm with all of its members.
    pub fn check(&self) -> Result<(), String> {
        let needs = |key: &str, what: &str| Err(format!("farm {}: {key} needs {what}", self.farm));
        if self.params.sticky_attrs.is_some() && !self.params.sticky_issue {
            return needs("stickyattrs", "stickyissue=On");
        }
        match Settings::of(self.balancer) {
            Some(settings) => self.check_routes(settings),
            None if self.params.sticky_issue => needs("stickyissue=On", "stickysession=NAME"),
            None if self.params.route_regex.is_some() => needs("routeregex", "stickysession=NAME"),
            None => Ok(()),
        }
    }

    fn check_routes(&self, settings: Settings<'_>) -> Result<(), String> {
        for (route, member) in &self.routes {
            if route.is_empty() && self.params.sticky_issue {
                self.warn(&format!(
                    "ATH0142: farm {}: member {member}: has no route, so stickyissue=On cannot keep \
                     sessions there",
                    self.farm
                ));
            }
            fits(self.params, route, settings)
                .map_err(|error| format!("farm {}: member {member}: {error}", self.farm))?;
        }
        for (route, members) in sticky::shared_routes(self.routes.iter().copied()) {
            self.warn(&format!(
                "ATH0141: farm {}: route={} is the route of {}: its sessions go to the first of them \
                 that is usable",
                self.farm,
                String::from_utf8_lossy(route),
                members.join(", ")
            ));
        }
        Ok(())
    }

    fn warn(&self, text: &str) {
        log::server(Level::Warning, self.server, text);
    }
}

/// Whether a farm's sessions can carry a route.
pub fn check_route(farm: &Farm, route: &[u8]) -> Result<(), String> {
    Settings::of(farm.balancer).map_or(Ok(()), |settings| fits(&farm.params, route, settings))
}

fn fits(params: &FarmParams, route: &[u8], settings: Settings<'_>) -> Result<(), String> {
    let reading = settings.reading(params);
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
    if !params.sticky_issue || route.is_empty() {
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
