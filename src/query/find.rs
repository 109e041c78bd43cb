//! From the names in a query to farms and members.

use athena_engine::query::Selection;

use crate::api;
use crate::change::Refusal;
use crate::farm::{Farm, Member};
use crate::{growth, runtime};

/// The farm of a name, `NAME` or `NAME@SERVER`.
pub fn farm(name: &str) -> Result<&'static Farm, Refusal> {
    api::named(name)?.ok_or_else(|| Refusal::missing(format!("no farm {name:?}")))
}

/// The farms that are meant: one, or all of them.
pub fn farms(select: &Selection<'_>) -> Result<Vec<&'static Farm>, Refusal> {
    match &select.farm {
        Some(name) => Ok(vec![farm(name)?]),
        None => Ok(runtime::farms().iter().collect()),
    }
}

/// The members that are meant: those of a name, in all farms or one, or all of them.
pub fn members(select: &Selection<'_>) -> Result<Vec<(&'static Farm, &'static Member)>, Refusal> {
    let (farms, name) = match select.member.as_deref().map(qualified) {
        Some((Some(farm_name), name)) => (vec![farm(farm_name)?], Some(name)),
        Some((None, name)) => (farms(select)?, Some(name)),
        None => (farms(select)?, None),
    };
    let mut found = Vec::new();
    for farm in farms {
        // This child may have served no request since a member was added.
        growth::look(farm);
        let members = farm.members.iter();
        let named = members.filter(|member| name.is_none_or(|name| member.name == name));
        found.extend(named.map(|member| (farm, member)));
    }
    match name {
        Some(name) if found.is_empty() => Err(Refusal::missing(format!("no member {name:?}"))),
        _ => Ok(found),
    }
}

/// `FARM/NAME` or `NAME`. A slash within a plain name stands behind a host's or socket's colon,
/// which no farm's name has, except in `@SERVER`.
fn qualified(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((farm, member)) if farm.contains('@') || !farm.contains(':') => (Some(farm), member),
        _ => (None, name),
    }
}
