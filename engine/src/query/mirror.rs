//! The state as lines that another engine's mirror path takes: what people set, and what members
//! pushed. Counters, health and response times are each engine's own.
//!
//! A line is an [`Update`]; the first one, `v=1`, names the version of all.

use super::error::{QueryError, Reason};
use super::kind::Of;
use super::request::Selection;
use super::split::{Raw, quoted};
use super::update::{FARM, MEMBER, Update};
use crate::board::record::flags;
use crate::board::values::{SETTABLE, letters};
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
    Line(Box<Update<'t>>),
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
                let line = Update::of(of, raw)?;
                return Ok(Self::Line(Box::new(line)));
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
    let _ = write!(to, "n={}", quoted(name));
    write_keys(to, FARM, &state.words());
    to.push('\n');
}

/// Appends the line of a member, named `FARM@SERVER/MEMBER`. What it pushed is in the order of names,
/// which is the same on all engines.
pub fn write_member(
    to: &mut String,
    name: &str,
    state: &MemberState,
    pushed: impl Iterator<Item = Statistic>,
) {
    let set = state.settings.flags;
    let mut letters: String = letters(set & SETTABLE).collect();
    if letters.is_empty() {
        letters.push('-');
    }
    let up = if set & flags::DOWN != 0 { "down" } else { "up" };
    let _ = write!(to, "h={},g={letters},u={up}", quoted(name));
    write_keys(to, MEMBER, &state.words());
    let mut pushed: Vec<_> = pushed
        .map(|Statistic { name, value, .. }| (name.to_string(), super::format::number(value)))
        .collect();
    pushed.sort_unstable();
    for (name, value) in pushed {
        let _ = write!(to, ",{name}={value}");
    }
    to.push('\n');
}

fn write_keys(to: &mut String, keys: &[(&str, &str)], words: &[(&str, String)]) {
    for (letter, key) in keys {
        if let Some((_, value)) = words.iter().find(|(name, _)| name == key) {
            let _ = write!(to, ",{letter}={}", quoted(value));
        }
    }
}
