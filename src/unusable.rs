//! When nothing is usable: the URL of `forward=`, then `fallback=`, then 503 with Retry-After, also where
//! nobody is at these URLs. (Other
//! farms that `forward=` leads to, and a forced recovery, are elections and come before this.)

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::Ordering;

use athena_engine::config::param::Fallback;

use crate::farm::Farm;
use crate::ffi;
use crate::log::{self, Level};
use crate::record::Record;
use crate::serve::{self, Call};
use crate::{canon, clock, elect, environment, filter, outcome, pool, proxy};

/// Longest wait a client is told, in seconds: a member may come back sooner by other ways.
const RETRY_AFTER_MAX: u64 = 60;

/// What answers in place of a member.
enum Instead {
    /// A URL that the request's path and query follow.
    Forward(String),
    /// As [`Fallback`].
    Fallback(String),
    /// As [`Fallback`].
    Redirect(String),
    /// 503.
    Nothing,
}

impl Instead {
    fn of(record: &Record, farm: &Farm) -> Self {
        let forward = record.forward.get();
        if !forward.is_null() {
            // SAFETY: set by `forward::find`, in the request's pool.
            let url = unsafe { CStr::from_ptr(forward) };
            return Self::Forward(url.to_string_lossy().into_owned());
        }
        // Of the farms on the way, the last one that has a fallback.
        let on_the_way = || record.came_by().and_then(Farm::fallback);
        match farm.fallback().or_else(on_the_way) {
            Some(Fallback::Proxy(url)) => Self::Fallback(url),
            Some(Fallback::Redirect(url)) => Self::Redirect(url),
            None => Self::Nothing,
        }
    }
}

/// Nothing was usable from the start. A URL that is proxied goes on to the scheme handler, which
/// finds the request without a member.
///
/// # Safety
/// The arguments are those of mod_proxy's `pre_request`.
#[cold]
pub unsafe fn before(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    url: *mut *mut c_char,
) -> c_int {
    match Instead::of(record, farm) {
        Instead::Forward(target) | Instead::Fallback(target) => {
            // SAFETY: the caller's promise.
            unsafe { *url = pool::text((*r).pool, &target) };
            ffi::OK
        }
        // SAFETY: the caller's promise.
        instead => unsafe {
            environment::settled(r, record);
            refuse(r, record, farm, &instead)
        },
    }
}

/// Answers a request that has no member.
///
/// # Safety
/// `call` is the live call of mod_proxy's scheme handler, `record` its request's, of a farm.
#[cold]
pub unsafe fn during(call: &Call, record: &Record, farm: &Farm) -> c_int {
    // SAFETY: the caller's promise; records of farms have a path, which lives as long as they do.
    unsafe {
        // What an attempt left, or a URL that nobody was found at.
        filter::take_back(call.r, record);
        match Instead::of(record, farm) {
            Instead::Forward(target) => {
                let status = proxied(call, record, farm, &target, CStr::from_ptr(record.raw_path));
                if !outcome::unreached(call.r, status) {
                    return status;
                }
                record.forward.set(std::ptr::null());
                during(call, record, farm)
            }
            Instead::Fallback(target) => {
                note(call.r, record, farm, &target);
                // As written: path and query of the request are dropped.
                (*call.r).args = std::ptr::null_mut();
                ffi::apr_table_setn((*call.r).notes, c"proxy-nocanon".as_ptr(), c"1".as_ptr());
                let status = proxied(call, record, farm, &target, c"");
                if !outcome::unreached(call.r, status) {
                    return status;
                }
                filter::take_back(call.r, record);
                let text = format!(
                    "ATH0435: farm {}: there was no connection to {target}; the client gets 503",
                    farm.name
                );
                log::request(Level::Error, call.r, &text);
                unavailable(call.r, record, farm)
            }
            instead => refuse(call.r, record, farm, &instead),
        }
    }
}

/// Fetches `base` with `rest` behind it.
unsafe fn proxied(call: &Call, record: &Record, farm: &Farm, base: &str, rest: &CStr) -> c_int {
    let Some(proxy) = proxy::get() else {
        return ffi::HTTP_SERVICE_UNAVAILABLE;
    };
    // SAFETY: the caller's promise; the reverse worker is mod_proxy's own for targets without one.
    unsafe {
        let url = match canon::url_for(call.r, record, base.as_bytes(), rest) {
            Ok(url) => url,
            Err(status) => return status,
        };
        let worker = (*call.conf).reverse;
        if worker.is_null() {
            return ffi::HTTP_SERVICE_UNAVAILABLE;
        }
        ffi::apr_table_setn(
            (*call.r).subprocess_env,
            c"proxy-nokeepalive".as_ptr(),
            c"1".as_ptr(),
        );
        let status = call.hand_on(proxy, record, worker, url);
        if status == ffi::DECLINED {
            serve::untaken(call.r, farm, url);
            return ffi::HTTP_SERVICE_UNAVAILABLE;
        }
        status
    }
}

/// Redirects, or answers 503.
unsafe fn refuse(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    instead: &Instead,
) -> c_int {
    if let Instead::Redirect(target) = instead {
        note(r, record, farm, target);
        // SAFETY: the caller's promise.
        unsafe {
            let location = pool::text((*r).pool, target);
            ffi::apr_table_setn((*r).err_headers_out, c"Location".as_ptr(), location);
        }
        return ffi::HTTP_MOVED_TEMPORARILY;
    }
    note(r, record, farm, "503");
    // SAFETY: the caller's promise.
    unsafe { unavailable(r, record, farm) }
}

/// 503, with Retry-After.
unsafe fn unavailable(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        // The next request can have a member that this one may not have, or have again.
        let at_once = record.full.get() || elect::is_next_served(r, record, farm);
        come_again(r, farm, at_once);
    }
    ffi::HTTP_SERVICE_UNAVAILABLE
}

/// Retry-After: the seconds until the next member may be probed, or 1 when one may be asked `at_once`.
///
/// # Safety
/// `r` is live.
pub unsafe fn come_again(r: *mut ffi::request_rec, farm: &Farm, at_once: bool) {
    let next = farm.seat.record.hot.next_probe_at.load(Ordering::Relaxed);
    let wait = next.saturating_sub(clock::now()).div_ceil(1_000_000);
    let wait = wait.clamp(1, if at_once { 1 } else { RETRY_AFTER_MAX });
    // SAFETY: the caller's promise.
    unsafe {
        let seconds = pool::text((*r).pool, &wait.to_string());
        ffi::apr_table_setn((*r).err_headers_out, c"Retry-After".as_ptr(), seconds);
    }
}

fn note(r: *mut ffi::request_rec, record: &Record, farm: &Farm, instead: &str) {
    farm.seat.record.hot.refused.fetch_add(1, Ordering::Relaxed);
    let (name, attempts) = (&farm.name, record.attempts());
    if record.full.get() {
        let text = format!(
            "ATH0340: farm {name}: each member that could serve the request is full; the client \
             gets {instead}"
        );
        return log::request(Level::Info, r, &text);
    }
    log::request(
        Level::Error,
        r,
        &format!(
            "ATH0112: farm {name}: no member is usable (attempts: {attempts}); the client gets \
             {instead}. See the members' states at the engine's path, and ATH0110 above for reasons",
        ),
    );
}
