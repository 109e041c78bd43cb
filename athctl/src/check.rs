//! `athctl check`: what a configuration of httpd means with this module, before it is loaded.
//!
//! * [`source`] gets its lines, from httpd itself where it can tell;
//! * [`lines`] reads them;
//! * [`servers`] tells the main server's and each virtual host's apart;
//! * [`farms`] finds what they mean, [`whole`] what only shows in all of them, [`modules`] what takes a
//!   module that is not loaded, [`changes`] what was another thing before.

mod changes;
mod farms;
mod lines;
mod modules;
mod servers;
mod source;
mod whole;

use std::path::Path;
use std::process::ExitCode;

use athena_engine::config::param;
use athena_engine::sticky::shared_routes;

use crate::error::Error;
use crate::output;
use farms::{Farm, Findings, Road, find};

/// Parameters that another one makes use of; `None`: with any value but `off`.
const READERS: [(&str, &str, Option<&str>); 6] = [
    ("score", "lbmethod", Some("stats")),
    ("hashkey", "lbmethod", Some("hash")),
    ("hashbalance", "lbmethod", Some("hash")),
    ("ejecttime", "ejectafter", None),
    ("maxeject", "ejectafter", None),
    ("queuetimeout", "queue", None),
];

/// Prints what there is to tell; fails when something would be refused.
///
/// # Errors
/// The file cannot be read, or nothing printed.
pub fn run(file: &Path) -> Result<ExitCode, Error> {
    let source = source::read(file)?;
    let findings = farms::read(source.nodes);
    output::line(format_args!("{}: {}", file.display(), source.how))?;
    output::text(&told(&findings))?;
    if let Some(why) = &source.refused {
        output::line(format_args!("refused: {why}"))?;
    }
    Ok(if findings.refused.is_empty() && source.refused.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn told(findings: &Findings) -> String {
    let mut lines = Vec::new();
    if findings.farms.is_empty() {
        lines.push("No farms: there is no <Proxy \"balancer://NAME\"> section.".to_owned());
    } else if !findings.engine {
        lines
            .push("AthEngine is not On: nothing changes. With AthEngine On this holds:".to_owned());
    }
    for farm in &findings.farms {
        lines.push(String::new());
        lines.extend(of_farm(farm));
    }
    for (title, list) in [
        ("ignored", &findings.ignored),
        ("refused", &findings.refused),
    ] {
        if !list.is_empty() {
            lines.push(String::new());
        }
        lines.extend(
            list.iter()
                .map(|(place, what)| format!("{title}: {place}: {what}")),
        );
    }
    lines.join("\n") + "\n"
}

fn of_farm(farm: &Farm) -> Vec<String> {
    let method = farm.param("lbmethod").unwrap_or("byrequests");
    let count = farm.members.len();
    let members = if count == 1 { "member" } else { "members" };
    let mut lines = vec![format!(
        "{}: lbmethod={method}, {count} {members} ({})",
        farm.title(),
        farm.place
    )];
    for member in &farm.members {
        lines.push(format!(
            "  member   {}{}",
            member.url,
            shown(&member.params)
        ));
    }
    let params: String = farm.lines.iter().map(|line| shown(&line.params)).collect();
    if !params.is_empty() {
        lines.push(format!("  farm    {params}"));
    }
    for Road { line, place, .. } in &farm.roads {
        lines.push(format!("  reached  {line} ({place})"));
    }
    lines.extend(
        changes::of(farm, method)
            .into_iter()
            .map(|text| format!("  changes  {text}")),
    );
    lines.extend(
        ignored(farm)
            .into_iter()
            .map(|text| format!("  ignored  {text}")),
    );
    lines
}

fn shown(params: &[(String, String)]) -> String {
    let pairs = params.iter().map(|(key, value)| {
        let value = param::shown(key, value);
        format!(" {key}={value}")
    });
    pairs.collect()
}

/// What is written and does nothing.
fn ignored(farm: &Farm) -> Vec<String> {
    let mut ignored = Vec::new();
    let routes = farm
        .members
        .iter()
        .any(|member| find(&member.params, "route").is_some());
    if farm.param("stickysession").is_some() && !routes && !farm.says("stickyissue", "on") {
        ignored.push("stickysession: no member has a route=".to_owned());
    }
    if farm.param("stickysession").is_some() {
        let routes = farm.members.iter().filter_map(|member| {
            let route = find(&member.params, "route")?;
            Some((route.as_bytes(), member.url.as_str()))
        });
        ignored.extend(shared_routes(routes).into_iter().map(|(route, members)| {
            format!(
                "route={} is the route of {}: its sessions go to the first of them that is usable",
                String::from_utf8_lossy(route),
                members.join(", ")
            )
        }));
    }
    for (key, needed, value) in READERS {
        let read = farm.param(needed).is_some_and(|now| {
            value.map_or(!now.eq_ignore_ascii_case("off"), |value| now == value)
        });
        if farm.param(key).is_some() && !read {
            let value = value.map_or_else(String::new, |value| format!("={value}"));
            ignored.push(format!("{key}: without {needed}{value} nothing reads it"));
        }
    }
    if farm.members.is_empty() {
        ignored.push("requests to it: without a member they are answered 503".to_owned());
    }
    ignored
}
