//! The state as lines that another engine's mirror path takes: what people set, and what members
//! pushed. Counters, health and response times are each engine's own.
//!
//! A line is an [`Update`]; the first one, `v=1`, names the version of all.

use super::error::{QueryError, Reason};
use super::kind::Of;
use super::request::Selection;
use super::split::{Raw, quoted};
use super::update::{SETTABLE, Update};
use crate::board::record::flags;
use crate::change::{FarmState, MemberState};
use crate::stats::Statistic;
use std::fmt::Write;

/// The version of the lines that are written and read.
pub const VERSION: u32 = 1;

/// One request below `mirror/`.
#[derive(Debug, PartialEq)]
pub enum Mirror<'t> {
    /// The lines of these are asked for.
    Ask(Of, Selection<'t>),
    /// Lines of this version follow.
    Version(Of),
    /// A line.
    Line(Update<'t>),
}

impl<'t> Mirror<'t> {
    pub(super) fn of(of: Of, raw: &Raw<'t>) -> Result<Self, QueryError> {
        if let [item] = raw.items.as_slice()
            && item.word == "v"
        {
            let version = item.value.map(super::split::Value::text);
            return match version {
                Some(version) if version == VERSION.to_string() => Ok(Self::Version(of)),
                _ => Err(QueryError::new(item.at, Reason::Version)),
            };
        }
        let mut select = Selection::default();
        for item in &raw.items {
            if !select.take(of, item)? {
                return Update::of(of, raw).map(Self::Line);
            }
        }
        Ok(Self::Ask(of, select))
    }

    /// What it is about.
    pub const fn subject(&self) -> Of {
        match self {
            Self::Ask(of, _) | Self::Version(of) => *of,
            Self::Line(update) => update.what.of(),
        }
    }
}

/// Appends the first line.
pub fn write_version(to: &mut String) {
    // Writing to a String cannot fail.
    let _ = writeln!(to, "v={VERSION}");
}

/// Appends the line of a farm, named `FARM@SERVER`.
pub fn write_farm(to: &mut String, name: &str, state: &FarmState) {
    let on = if state.on { "on" } else { "off" };
    let _ = writeln!(to, "n={},s={on}", quoted(name));
}

/// Appends the line of a member, named `FARM@SERVER/MEMBER`.
pub fn write_member(
    to: &mut String,
    name: &str,
    state: &MemberState,
    pushed: impl Iterator<Item = Statistic>,
) {
    let settings = state.settings;
    let up = if settings.flags & flags::DOWN == 0 {
        "up"
    } else {
        "down"
    };
    let set = |(_, flag): &&(char, u32)| settings.flags & flag != 0;
    let letters: String = SETTABLE
        .iter()
        .filter(set)
        .map(|(letter, _)| *letter)
        .collect();
    let letters = if letters.is_empty() { "-" } else { &letters };
    let weight = f64::from(settings.weight) / 100.0;
    let (name, set, most) = (quoted(name), settings.lbset, settings.max_conn);
    let _ = write!(
        to,
        "h={name},g={letters},u={up},w={weight},l={set},C={most}"
    );
    for Statistic { name, value, .. } in pushed {
        let _ = write!(to, ",{name}={}", super::format::number(value));
    }
    to.push('\n');
}
