//! What people change while requests run: a change names what becomes different of a [`member`] or
//! a [`farm`], and what it does not name stays. It is read key by key, from whatever form it came in
//! (JSON, a query, a form of the manager's page), checked as the same parameter in the
//! configuration is, and turned into what is in force afterwards. Putting that in force is the
//! edge's.

mod farm;
mod member;

pub use farm::{FarmChange, FarmState};
pub(crate) use member::hundredths;
pub use member::{MemberChange, MemberState};

use crate::config::param::ParamError;
use crate::config::value::Must;

/// One thing that can be changed of a `C`.
pub struct Key<C: 'static> {
    /// As it is written, lower case.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    read: fn(&mut C, &str) -> Result<(), Must>,
}

/// What the values of a key are, for front ends whose values have types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `on` or `off`.
    Switch,
    /// A number.
    Number,
}

/// Reads one key's value into a change.
fn set<C>(keys: &[Key<C>], change: &mut C, name: &str, value: &str) -> Result<(), ParamError> {
    let key = keys
        .iter()
        .find(|key| key.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| ParamError::Unknown(name.to_owned()))?;
    (key.read)(change, value).map_err(|must| ParamError::Value {
        key: name.to_owned(),
        value: value.to_owned(),
        must,
    })
}

/// `on` and `off`, and what HTML forms say in their place.
fn switch(text: &str) -> Result<bool, Must> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => crate::config::value::on_off(text),
    }
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

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

#[cfg(test)]
mod tests;
