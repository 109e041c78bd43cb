//! What people change while requests run: a change names what becomes different of a [`member`] or
//! a [`farm`], and what it does not name stays. It is read key by key, from whatever form it came in
//! (JSON, a query, a form of the manager's page), checked as the same parameter in the
//! configuration is, and turned into what is in force afterwards. Putting that in force is the
//! edge's.

mod farm;
mod member;

pub use farm::{FarmChange, FarmState};
pub use member::{MemberChange, MemberState};

use crate::board::record::TARGET_MAX;
use crate::config::param::ParamError;
use crate::config::value::{self, Must};

/// One thing that can be changed of a `C`.
pub struct Key<C: 'static> {
    /// As it is written, lower case.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// `none` is one of them.
    pub clears: bool,
    read: fn(&mut C, &str) -> Result<(), Must>,
}

/// What the values of a key are, for front ends whose values have types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `on` or `off`.
    Switch,
    /// A number.
    Number,
    /// Any text.
    Text,
}

impl Kind {
    /// What a value must be, in words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
        }
    }
}

/// Reads one key's value into a change.
fn set<C>(keys: &[Key<C>], change: &mut C, name: &str, value: &str) -> Result<(), ParamError> {
    let key = keys
        .iter()
        .find(|key| key.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| ParamError::Unknown(name.to_owned()))?;
    (key.read)(change, value).map_err(|must| ParamError::value(name, value, must))
}

/// `on` and `off`, and what HTML forms say in their place.
fn switch(text: &str) -> Result<bool, Must> {
    value::bit(text).or_else(|_| value::on_off(text))
}

/// What differs between two lists of the same settings: `weight=2.50 (was 1.00), drain=on (was off)`.
fn difference(before: &[(&str, String)], after: &[(&str, String)]) -> Option<String> {
    let changed: Vec<String> = before
        .iter()
        .zip(after)
        .filter(|((_, was), (_, is))| was != is)
        .map(|((key, was), (_, is))| format!("{key}={is} (was {was})"))
        .collect();
    (!changed.is_empty()).then(|| changed.join(", "))
}

/// `none`, or what `read` reads.
fn or_none<T>(text: &str, read: impl Fn(&str) -> Result<T, Must>) -> Result<Option<T>, Must> {
    value::or("none", text, read)
}

/// A farm or a URL that fits the board.
fn target<T>(text: &str, read: impl Fn(&str) -> Result<T, Must>) -> Result<T, Must> {
    if text.len() > TARGET_MAX {
        return Err(format!("must be at most {TARGET_MAX} bytes long"));
    }
    read(text)
}

/// A target as it is kept: empty for none.
fn written<T: ToString>(change: Option<&Option<T>>, before: &str) -> String {
    match change {
        None => before.to_owned(),
        Some(target) => target.as_ref().map_or_else(String::new, T::to_string),
    }
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn word(text: &str) -> String {
    if text.is_empty() { "none" } else { text }.to_owned()
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests;
