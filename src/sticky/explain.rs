//! Decisions about sessions, told to the log.

use athena_engine::dispatch::Nobody;
use athena_engine::sticky::has_route;

use super::settings::Settings;
use super::{Choice, Session};
use crate::farm::{Farm, Member};
use crate::ffi;
use crate::log::{self, Level};
use crate::record::Record;

/// `LogLevel athena:debug`: one line for every decision about a session.
pub fn explain(
    r: *mut ffi::request_rec,
    session: &Session,
    record: &Record,
    farm: &Farm,
    choice: &Choice,
    member: Option<&Member>,
) {
    const SHOWN: usize = 100;
    let Some(settings) = Settings::of(record.balancer()).filter(|_| log::debug_wanted(r)) else {
        return;
    };
    let origin = match session.found {
        None => format!(
            "neither cookie {} nor parameter {}",
            settings.cookie().to_string_lossy(),
            settings.parameter().to_string_lossy()
        ),
        Some((source, route)) => {
            let name = settings.name(source).to_string_lossy();
            let route = route.as_ref().map_or_else(
                || "no route".to_owned(),
                |route| {
                    let bytes = route.bytes();
                    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
                    format!("route '{}'", shown.escape_ascii())
                },
            );
            format!("{name} in the {} has {route}", source.word())
        }
    };
    let decision = match choice {
        Choice::Its(_) if member.is_some_and(|member| session.changed_by(member)) => {
            "redirected within the farm"
        }
        Choice::Its(_) => "its member",
        Choice::Nobody(Nobody::Usable) => {
            "its member is unusable, and nofailover keeps it from the others"
        }
        Choice::Nobody(Nobody::Full) => {
            "its member is full, and nofailover keeps it from the others"
        }
        Choice::Any if session.route().is_none_or(<[u8]>::is_empty) => "any member",
        Choice::Any if session.route().is_some_and(|route| has_route(farm, route)) => {
            "its member is unusable, any other"
        }
        Choice::Any => "no member has this route, any member",
    };
    let member = member.map_or("none", |member| &member.name);
    log::request(
        Level::Debug,
        r,
        &format!(
            "ATH0140: farm {}: {origin}: {decision}: {member}",
            farm.name
        ),
    );
}
