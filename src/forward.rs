//! `forward=`: nothing of a farm is usable, or not the member of a session, and the request goes on
//! elsewhere: at another farm, which may forward in its turn, or at a URL.

use std::ffi::c_int;

use athena_engine::config::forward::{self, Forward, Wrong};
use athena_engine::config::param::Fallback;

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
            if !leave(r, record, farm)? {
                break;
            }
        }
    }
    Ok(false)
}

/// As [`find`], when the farm itself has no member for the request.
///
/// # Safety
/// As [`find`]; `farm` serves the request.
pub unsafe fn find_elsewhere(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
) -> Result<bool, c_int> {
    // SAFETY: the caller's promise.
    unsafe { Ok(leave(r, record, farm)? && find(r, record)?) }
}

/// The farm that the request goes on at serves it from here on. False when there is none.
unsafe fn leave(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> Result<bool, c_int> {
    // SAFETY: the caller's promise.
    unsafe {
        if cookie::prefer(r, record)? {
            return Ok(true);
        }
        match onward(record, farm) {
            None => Ok(false),
            Some(Forward::Url(url)) => {
                record.forward.set(pool::text((*r).pool, &url));
                Ok(false)
            }
            Some(Forward::Farm(name)) => {
                let Some(target) = reachable(r, &name) else {
                    return Ok(false);
                };
                explain(r, farm, &name);
                handover::to(r, record, target)?;
                Ok(true)
            }
        }
    }
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
///
/// # Safety
/// `r` is live.
pub unsafe fn reachable(r: *mut ffi::request_rec, name: &str) -> Option<FarmRef> {
    // SAFETY: the caller's promise.
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

/// The start: the configuration has been found right; what people had set may have lost its farm, and is
/// given up then.
pub fn begin(table: &FarmTable) -> Result<(), String> {
    // Each turn ends what one farm has.
    while let Err(wrong) = find_wrong(table, |_, _| None) {
        let named = |name: &String| {
            let found = table.by_name.named(name)?;
            // SAFETY: farms live as long as the configuration.
            unsafe { found.farm.as_ref() }
        };
        let mut farms = wrong.farms.iter().filter_map(named);
        let Some(farm) = farms.find(|farm| farm.has_set_forward()) else {
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

/// Whether a farm's `fallback` leads to no farm of the servers that have it.
pub fn check_fallback(farm: &Farm, fallback: &Fallback) -> Result<(), String> {
    let has_it = |table: &&FarmTable| {
        let found = table.by_name.named(&farm.name);
        found.is_some_and(|found| std::ptr::eq(found.farm, farm))
    };
    let mut tables = runtime::tables().filter(has_it);
    tables.try_for_each(|table| forward::check_fallback(&table.by_name, &farm.name, fallback))
}

/// Whether each `forward` of a server's farms leads to one of its farms or to a URL, and none of
/// them in a circle. `planned` knows better than what is in force, for a farm or a member of it.
pub fn check(
    table: &FarmTable,
    planned: impl Fn(&Farm, Option<&Member>) -> Option<Option<Forward>>,
) -> Result<(), String> {
    find_wrong(table, planned).map_err(|wrong| wrong.reason)
}

/// As [`check`].
fn find_wrong(
    table: &FarmTable,
    planned: impl Fn(&Farm, Option<&Member>) -> Option<Option<Forward>>,
) -> Result<(), Wrong> {
    forward::check(&table.by_name, |found| {
        // SAFETY: farms live as long as the configuration.
        let Some(farm) = (unsafe { found.farm.as_ref() }) else {
            return Vec::new();
        };
        let own = planned(farm, None).unwrap_or_else(|| farm.forward());
        let members = farm
            .members
            .iter()
            .filter_map(|member| planned(farm, Some(member)).unwrap_or_else(|| member.forward()));
        own.into_iter().chain(members).collect()
    })
}
