//! The signed cookie of a farm's request: what a back end told us of its client. Verified, counted
//! and used; [`wrap`] keeps it from the client. Without an `AthCookieKey` all of it costs one load
//! and a branch.

mod explain;
mod wrap;

use std::ffi::{CStr, c_char};

use athena_engine::cookie::{Claims, Keys, Refusal, Settings, header, is_handle};
use athena_engine::dispatch::{Elected, Election};

use crate::conf::{self, ServerConf};
use crate::farm::Farm;
use crate::record::Record;
use crate::{ffi, pool};

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

/// Verifies the cookie that came with a request to `farm`, counts it there, and keeps what it says
/// if it may be used. The back end sees its own cookie, even in a handle's place.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn read(r: *mut ffi::request_rec, record: &Record, farm: &Farm) {
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
    let name = record.claims()?.member.as_deref()?;
    let member = farm.members.iter().find(|member| member.name == name)?;
    let id = member.seat.id;
    let reason = election.sticky(id)?;
    Some(Elected { id, reason })
}
