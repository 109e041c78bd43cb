//! The signed cookie of a farm's request: what a back end told us of its client. [`follow`] verifies
//! it, and the request goes to the farm that it [prefers](prefer); there it names the [`member`] and
//! the [`class`](crate::class). [`mod@wrap`] keeps it from the client. Without an `AthCookieKey` all of it
//! costs one load and a branch.

mod explain;
mod wrap;

use std::ffi::{CStr, c_char, c_int};

use athena_engine::cookie::{Claims, Keys, Refusal, Settings, header, is_handle};
use athena_engine::dispatch::{Elected, Election};
use athena_engine::plan::index;

use crate::conf::{self, ServerConf};
use crate::farm::{Farm, Member};
use crate::record::Record;
use crate::runtime::{self, FarmRef};
use crate::{ffi, handover, pool};

pub use wrap::wrap;

const COOKIE: &CStr = c"Cookie";
const SECOND: u64 = 1_000_000;

/// What the lines of the request's server say, and its keys; `None` without keys.
///
/// # Safety
/// `r` is live.
unsafe fn in_force<'a>(r: *mut ffi::request_rec) -> Option<(&'a Settings, &'a Keys)> {
    // SAFETY: the caller's promise.
    let settings = &ServerConf::of(unsafe { (*r).server })?.cookie;
    Some((settings, settings.keys()?))
}

/// Reads the cookie that came with a request to `farm`, and hands the request over to the farm that
/// it prefers. `Err` is the status to answer with: that farm's sections refuse the client.
///
/// # Safety
/// `r` is live and `record` its own, before it is given a member.
pub unsafe fn follow(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    unsafe {
        read(r, record, farm);
        prefer(r, record).map(drop)
    }
}

/// The next of the farms that the request's cookie prefers serves it from here on. False when none
/// is left.
///
/// # Safety
/// `r` is live and `record` its own; no attempt is open.
pub unsafe fn prefer(r: *mut ffi::request_rec, record: &Record) -> Result<bool, c_int> {
    // SAFETY: the caller's promise.
    let Some(target) = (unsafe { next_farm(r, record) }) else {
        return Ok(false);
    };
    let serves = record.farm().map(std::ptr::from_ref);
    if serves != Some(target.farm) {
        explain::preferred(r, record, target);
        // SAFETY: as above; the farm is one of the server's.
        unsafe { handover::to(r, record, target) }?;
    }
    Ok(true)
}

/// The next farm of the cookie's list that the request's server has.
unsafe fn next_farm(r: *mut ffi::request_rec, record: &Record) -> Option<FarmRef> {
    let claims = record.claims()?;
    // SAFETY: the caller's promise.
    let farms = runtime::farms_of(unsafe { (*r).server })?;
    loop {
        let name = claims.farms.get(record.preference.get())?;
        record.preference.set(record.preference.get() + 1);
        if let Some(found) = farms.by_name.named(name) {
            return Some(*found);
        }
    }
}

/// Verifies the request's cookie, counts it at the farm, and keeps what it says if it may be used.
/// The back end sees its own cookie, even in a handle's place.
unsafe fn read(r: *mut ffi::request_rec, record: &Record, farm: &Farm) {
    // SAFETY: the caller's promise; headers are NULL or NUL-terminated.
    unsafe {
        let Some((settings, keys)) = in_force(r) else {
            return;
        };
        let line = ffi::apr_table_get((*r).headers_in, COOKIE.as_ptr());
        if line.is_null() {
            return;
        }
        let line = CStr::from_ptr(line).to_bytes();
        let Some(place) = header::value(line, settings.name().as_bytes()) else {
            return;
        };
        let value = line.get(place.clone()).unwrap_or_default();
        let now = u64::try_from((*r).request_time).unwrap_or(0) / SECOND;
        let verified = if is_handle(value) {
            keys.open(value).and_then(|cookie| {
                if let Some(line) = header::replace(line, place, &cookie) {
                    let line: *const c_char = pool::concat_bytes(r, &[&line]);
                    ffi::apr_table_setn((*r).headers_in, COOKIE.as_ptr(), line);
                }
                keys.verify(&cookie, &farm.name, now)
            })
        } else {
            keys.verify(value, &farm.name, now)
        };
        farm.seat.record.hot.cookies.count(&verified);
        explain::verified(r, settings.name(), farm, &verified);
        keep(r, record, verified);
    }
}

/// Keeps the claims as long as the request.
unsafe fn keep(r: *mut ffi::request_rec, record: &Record, verified: Result<Claims, Refusal>) {
    if let Ok(claims) = verified {
        // SAFETY: the caller's promise.
        let claims = unsafe { conf::in_pool((*r).pool, claims) };
        record.claims.set(claims.cast());
    }
}

/// The member that the request's cookie names, where it may serve the request: it comes before the
/// session's.
pub fn member(record: &Record, farm: &Farm, election: &Election<'_>) -> Option<Elected> {
    let id = named(record, farm)?.seat.id;
    let reason = election.sticky(id)?;
    Some(Elected::new(id, reason))
}

/// The same, whether it may or not.
pub fn named<'a>(record: &Record, farm: &'a Farm) -> Option<&'a Member> {
    listed(record.claims()?.member.as_deref()?, farm)
}

#[inline(never)]
fn listed<'a>(name: &str, farm: &'a Farm) -> Option<&'a Member> {
    let mut listed = farm.listed_by(index::of_name(name.as_bytes()));
    let (_, member) = listed.find(|(_, member)| member.name == name)?;
    Some(member)
}
