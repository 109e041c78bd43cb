//! `athctl monitor`: one line and an exit code, as monitoring plugins give them
//! (<https://www.monitoring-plugins.org/doc/guidelines.html>).

use std::fmt::Write;
use std::process::ExitCode;
use std::str::FromStr;

use crate::api::Api;
use crate::cli::Monitor;
use crate::documents::{Farm, Member};
use crate::error::Error;
use crate::output;

/// How bad it is; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

/// A number of members that is too many to be out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    Members(usize),
    Percent(u8),
}

impl FromStr for Threshold {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|percent| (1..=100).contains(percent))
                .map(Self::Percent),
            None => text
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .map(Self::Members),
        };
        read.ok_or("must be a number of members from 1, or a percentage from 1% to 100%")
    }
}

impl Threshold {
    /// The number of a farm's members from which it is reached.
    fn of(self, members: usize) -> usize {
        match self {
            Self::Members(count) => count,
            Self::Percent(percent) => (members * usize::from(percent)).div_ceil(100).max(1),
        }
    }
}

/// Prints the line; the exit code says the same.
pub fn run(api: &Api, options: &Monitor) -> ExitCode {
    let (severity, line) = verdict(api.farms(options.farm.as_deref()), options);
    let severity = output::line(line).map_or_else(
        |error| {
            output::failed(&error);
            Severity::Unknown
        },
        |()| severity,
    );
    ExitCode::from(severity as u8)
}

fn verdict(farms: Result<Vec<Farm>, Error>, options: &Monitor) -> (Severity, String) {
    let farms = match farms {
        Ok(farms) if farms.is_empty() => {
            return (
                Severity::Unknown,
                "ATHENA UNKNOWN - this engine has no farms".to_owned(),
            );
        }
        Ok(farms) => farms,
        Err(error) => return (Severity::Unknown, format!("ATHENA UNKNOWN - {error}")),
    };
    let severity = farms
        .iter()
        .map(|farm| severity(farm, options))
        .max()
        .unwrap_or(Severity::Unknown);
    let word = match severity {
        Severity::Ok => "OK",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
        Severity::Unknown => "UNKNOWN",
    };
    let told: Vec<String> = farms.iter().map(tell).collect();
    let data: Vec<String> = farms
        .iter()
        .map(|farm| performance(farm, options))
        .collect();
    let line = format!("ATHENA {word} - {} | {}", told.join("; "), data.join(" "));
    (severity, line)
}

fn severity(farm: &Farm, options: &Monitor) -> Severity {
    let (members, out) = (farm.members.len(), farm.unusable());
    if !farm.on || farm.usable == 0 || out >= options.critical.of(members) {
        Severity::Critical
    } else if out >= options.warning.of(members) {
        Severity::Warning
    } else {
        Severity::Ok
    }
}

/// `farm_one: 2 of 3 members usable, 10.0.0.2:8080 down (no connection)`.
fn tell(farm: &Farm) -> String {
    let mut told = format!(
        "{}: {}{} of {} members usable",
        farm.full_name(),
        if farm.on { "" } else { "off, " },
        farm.usable,
        farm.members.len()
    );
    for member in farm.members.iter().filter(|member| !member.usable) {
        let Member { name, error, .. } = member;
        let reason = error
            .as_ref()
            .map_or_else(String::new, |error| format!(" ({error})"));
        // Writing to a String cannot fail.
        let _ = write!(told, ", {name} {}{reason}", member.state());
    }
    told.replace('|', "/")
}

/// `'label'=value;warn;crit;min;max`.
fn performance(farm: &Farm, options: &Monitor) -> String {
    let label = |what: &str| format!("'{}_{what}'", farm.full_name().replace(['\'', '='], "_"));
    let members = farm.members.len();
    let [warning, critical] = [options.warning, options.critical].map(|limit| limit.of(members));
    let in_flight: u64 = farm.members.iter().map(|member| member.inflight).sum();
    format!(
        "{}={};{warning};{critical};0;{members} {}={in_flight};;;0 {}={}c {}={}c",
        label("unusable"),
        farm.unusable(),
        label("in_flight"),
        label("requests"),
        farm.elected,
        label("refused"),
        farm.refused,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farm(usable: &[bool]) -> Farm {
        let members: Vec<_> = usable
            .iter()
            .enumerate()
            .map(|(n, usable)| {
                serde_json::json!({
                    "name": format!("m{n}"), "route": "", "weight": 1.0, "lbset": 0, "on": true,
                    "up": usable, "in": true, "drain": false, "standby": false, "usable": usable,
                    "error": if *usable { None } else { Some("no connection") },
                    "inflight": 2, "elected": 1, "served": 1, "failed": 0, "ttfb_ewma_ms": null,
                })
            })
            .collect();
        let farm = serde_json::json!({
            "name": "f", "server": "main", "method": "roundrobin", "on": true,
            "usable": usable.iter().filter(|usable| **usable).count(), "elected": 7, "refused": 1,
            "members": members,
        });
        serde_json::from_value(farm).unwrap()
    }

    fn options(warning: &str, critical: &str) -> Monitor {
        Monitor {
            farm: None,
            warning: warning.parse().unwrap(),
            critical: critical.parse().unwrap(),
        }
    }

    #[test]
    fn thresholds() {
        let table = [
            (&[true, true, true, true][..], "1", "50%", Severity::Ok),
            (&[true, true, true, false], "1", "50%", Severity::Warning),
            (&[true, true, false, false], "1", "50%", Severity::Critical),
            (&[true, true, true, false], "2", "3", Severity::Ok),
            (&[true, false, false, false], "2", "3", Severity::Critical),
            (&[false, false], "3", "3", Severity::Critical),
            (&[true, true, false], "34%", "100%", Severity::Ok),
            (&[true, true, false], "33%", "100%", Severity::Warning),
        ];
        for (usable, warning, critical, expected) in table {
            let found = severity(&farm(usable), &options(warning, critical));
            assert_eq!(found, expected, "{usable:?} {warning} {critical}");
        }
    }

    #[test]
    fn a_farm_that_is_off_is_critical() {
        let off = Farm {
            on: false,
            ..farm(&[true])
        };
        assert_eq!(severity(&off, &options("1", "1")), Severity::Critical);
        assert_eq!(tell(&off), "f: off, 1 of 1 members usable");
    }

    #[test]
    fn the_line_says_who_and_why() {
        let (severity, line) = verdict(Ok(vec![farm(&[true, false])]), &options("1", "100%"));
        assert_eq!(severity, Severity::Warning);
        assert_eq!(
            line,
            "ATHENA WARNING - f: 1 of 2 members usable, m1 down (no connection) | \
             'f_unusable'=1;1;2;0;2 'f_in_flight'=4;;;0 'f_requests'=7c 'f_refused'=1c"
        );
        assert_eq!(verdict(Ok(vec![]), &options("1", "1")).0, Severity::Unknown);
    }

    #[test]
    fn what_is_no_threshold() {
        for text in ["0", "", "0%", "101%", "-1", "x", "1.5", "%"] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
        assert_eq!("50%".parse(), Ok(Threshold::Percent(50)));
    }
}
