//! `forward=`: nothing of a farm is usable, or not the member of a session, and the request goes on
//! elsewhere: at another farm, which may forward in its turn, or at a URL.

use std::collections::HashMap;
use std::ffi::c_int;

use athena_engine::config::forward::{Forward, circle};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::record::Record;
use crate::runtime::{self, FarmRef, FarmTable};
use crate::{cookie, elect, ffi, handover, patience, pool};

/// Elects a member of the request's farm or, when nothing is usable, of those that its cookie names
/// next, then along the farms the last one forwards to.
/// False when nobody was elected. `Err` is the status to answer with.
///
/// # Safety
/// `r` is live and `record` its own, of a farm.
pub unsafe fn find(r: *mut ffi::request_rec, record: &Record) -> Result<bool, c_int> {
    while let Some(farm) = record.farm() {
        // SAFETY: the caller's promise.
        unsafe {
            if elect::next_member(r, record, farm) || patience::for_member(r, record, farm) {
                return Ok(true);
            }
            if cookie::prefer(r, record)? {
                continue;
            }
            match onward(record, farm) {
                None => break,
                Some(Forward::Url(url)) => {
                    record.forward.set(pool::text((*r).pool, &url));
                    break;
                }
                Some(Forward::Farm(name)) => {
                    let Some(target) = reachable(r, &name) else {
                        break;
                    };
                    explain(r, farm, &name);
                    handover::to(r, record, target)?;
                }
            }
        }
    }
    Ok(false)
}

/// Where a request goes that its farm cannot serve: where the member of its session says, else
/// [`of`].
fn onward(record: &Record, farm: &Farm) -> Option<Forward> {
    if let Some(member) = record.pinned_to() {
        return member.forward();
    }
    of(farm)
}

/// Where a farm's requests go that it cannot serve: where it says, else the first member that says
/// anything.
pub fn of(farm: &Farm) -> Option<Forward> {
    let members = || farm.members.iter().find_map(|member| member.forward());
    farm.forward().or_else(members)
}

/// The farm of that name that a request's server can reach.
pub fn reachable(r: *mut ffi::request_rec, name: &str) -> Option<FarmRef> {
    // SAFETY: called for a live request.
    let farms = runtime::farms_of(unsafe { (*r).server })?;
    farms.by_name.named(name).copied()
}

fn explain(r: *mut ffi::request_rec, farm: &Farm, target: &str) {
    if log::debug_wanted(r) {
        let text = format!(
            "ATH0250: farm {}: nothing is usable: the request goes on at farm {target}",
            farm.name
        );
        log::request(Level::Debug, r, &text);
    }
}

/// The start: what the configuration says must be right. What people had set may have lost its farm,
/// and is given up then.
pub fn begin(table: &FarmTable) -> Result<(), String> {
    check(table, |farm, member| {
        Some(match member {
            None => farm.params.forward.clone(),
            Some(member) if member.tenure == 0 => member.params.forward.clone(),
            // People added it.
            Some(_) => None,
        })
    })?;
    // Each turn ends what one farm has, and without any of it the check holds.
    while let Err(wrong) = find_wrong(table, |_, _| None) {
        let Some(farm) = wrong.farms.iter().find(|farm| farm.has_set_forward()) else {
            return Err(wrong.reason);
        };
        let text = format!(
            "ATH0253: farm {}: what forward was set to at run time is given up: {}",
            farm.name, wrong.reason
        );
        log::server(Level::Warning, farm.server_rec, &text);
        farm.end_forwards();
    }
    Ok(())
}

/// As [`check`], of every server.
pub fn check_all(
    planned: impl Fn(&Farm, Option<&Member>) -> Option<Option<Forward>>,
) -> Result<(), String> {
    runtime::tables().try_for_each(|table| check(table, &planned))
}

/// Whether each `forward` of a server's farms leads to one of its farms or to a URL, and none of
/// them in a circle. `planned` knows better than what is in force, for a farm or a member of it.
pub fn check(
    table: &FarmTable,
    planned: impl Fn(&Farm, Option<&Member>) -> Option<Option<Forward>>,
) -> Result<(), String> {
    find_wrong(table, planned).map_err(|wrong| wrong.reason)
}

/// What is wrong, and the farms that say it.
struct Wrong {
    farms: Vec<&'static Farm>,
    reason: String,
}

/// As [`check`].
fn find_wrong(
    table: &FarmTable,
    planned: impl Fn(&Farm, Option<&Member>) -> Option<Option<Forward>>,
) -> Result<(), Wrong> {
    let names: Vec<&str> = table.by_name.iter().map(|(name, _)| name).collect();
    let index: HashMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let named = |name: &str| {
        let found = table.by_name.named(name)?;
        // SAFETY: farms live as long as the configuration.
        unsafe { found.farm.as_ref() }
    };
    let mut edges = vec![Vec::new(); names.len()];
    for (name, edges) in names.iter().zip(&mut edges) {
        let Some(farm) = named(name) else {
            continue;
        };
        let own = planned(farm, None).unwrap_or_else(|| farm.forward());
        let members = farm
            .members
            .iter()
            .filter_map(|member| planned(farm, Some(member)).unwrap_or_else(|| member.forward()));
        for forward in own.into_iter().chain(members) {
            let to = leads_to(table, farm, &forward, &index).map_err(|reason| Wrong {
                farms: vec![farm],
                reason,
            })?;
            edges.extend(to);
        }
    }
    match circle(&edges) {
        None => Ok(()),
        Some(way) => {
            let way: Vec<&str> = way
                .into_iter()
                .filter_map(|at| names.get(at).copied())
                .collect();
            Err(Wrong {
                farms: way.iter().filter_map(|name| named(name)).collect(),
                reason: format!("farms forward in a circle: {}", way.join(" to ")),
            })
        }
    }
}

fn leads_to(
    table: &FarmTable,
    farm: &Farm,
    forward: &Forward,
    index: &HashMap<&str, usize>,
) -> Result<Option<usize>, String> {
    let said = |what: &str| Err(format!("farm {}: forward={forward}: {what}", farm.name));
    match forward {
        Forward::Farm(name) => match index.get(name.as_str()) {
            Some(index) => Ok(Some(*index)),
            None => said("there is no farm of this name"),
        },
        Forward::Url(url) => match table.by_name.find(url.as_bytes()) {
            Some(_) => said("this is a farm: write its name alone"),
            None => Ok(None),
        },
    }
}
