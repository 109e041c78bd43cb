//! When nothing is usable: `fallback=`, then 503 with Retry-After. (A forced recovery is an
//! election and comes before this.)

use std::ffi::{CString, c_char, c_int};
use std::sync::atomic::Ordering;

use athena_engine::config::param::Fallback;

use crate::farm::Farm;
use crate::ffi;
use crate::log::{self, Level};
use crate::record::Record;
use crate::serve::Call;
use crate::{canon, clock, environment, pool, proxy};

/// Longest wait a client is told, in seconds: a member may come back sooner by other ways.
const RETRY_AFTER_MAX: u64 = 60;

/// Nothing was usable from the start. A fallback that is proxied goes on to the scheme handler,
/// which finds the request without a member.
///
/// # Safety
/// The arguments are those of mod_proxy's `pre_request`.
pub unsafe fn before(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    url: *mut *mut c_char,
) -> c_int {
    if let Some(Fallback::Proxy(target)) = &farm.params.fallback {
        // SAFETY: the caller's promise.
        unsafe { *url = pool::text((*r).pool, target) };
        return ffi::OK;
    }
    // SAFETY: the caller's promise.
    unsafe { refuse(r, record, farm) }
}

/// The request itself found out that nothing is usable.
///
/// # Safety
/// `call` is the live call of mod_proxy's scheme handler, `record` its request's.
pub unsafe fn during(call: &Call, record: &Record, farm: &Farm) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match &farm.params.fallback {
            Some(Fallback::Proxy(_)) => proxied(call, record, farm),
            _ => refuse(call.r, record, farm),
        }
    }
}

/// Proxies to the fallback URL as written; path and query of the request are dropped.
///
/// # Safety
/// As [`during`].
pub unsafe fn proxied(call: &Call, record: &Record, farm: &Farm) -> c_int {
    let (Some(Fallback::Proxy(target)), Some(proxy)) = (&farm.params.fallback, proxy::get()) else {
        // SAFETY: the caller's promise.
        return unsafe { refuse(call.r, record, farm) };
    };
    let Ok(rest) = CString::new("") else {
        return ffi::HTTP_SERVICE_UNAVAILABLE;
    };
    note(call.r, record, farm, target);
    // SAFETY: the caller's promise; the reverse worker is mod_proxy's own for targets without one.
    unsafe {
        (*call.r).args = std::ptr::null_mut();
        let url = match canon::url_for(call.r, record, target.as_bytes(), &rest) {
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
        record.nested.set(true);
        let status = (proxy.run_scheme_handler)(
            call.r,
            worker,
            call.conf,
            url,
            call.proxy_name,
            call.proxy_port,
        );
        record.nested.set(false);
        environment::settled(call.r, record);
        status
    }
}

/// Redirects to `fallback=redirect:URL`, or answers 503.
unsafe fn refuse(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> c_int {
    environment::settled(r, record);
    if let Some(Fallback::Redirect(target)) = &farm.params.fallback {
        note(r, record, farm, target);
        // SAFETY: the caller's promise.
        unsafe {
            let location = pool::text((*r).pool, target);
            ffi::apr_table_setn((*r).err_headers_out, c"Location".as_ptr(), location);
        }
        return ffi::HTTP_MOVED_TEMPORARILY;
    }
    note(r, record, farm, "503");
    let wait = retry_after(farm);
    // SAFETY: the caller's promise.
    unsafe {
        let seconds = pool::text((*r).pool, &wait.to_string());
        ffi::apr_table_setn((*r).err_headers_out, c"Retry-After".as_ptr(), seconds);
    }
    ffi::HTTP_SERVICE_UNAVAILABLE
}

/// Seconds until the next member may be probed, at least 1.
fn retry_after(farm: &Farm) -> u64 {
    let next = farm.seat.record.hot.next_probe_at.load(Ordering::Relaxed);
    next.saturating_sub(clock::now())
        .div_ceil(1_000_000)
        .clamp(1, RETRY_AFTER_MAX)
}

fn note(r: *mut ffi::request_rec, record: &Record, farm: &Farm, instead: &str) {
    farm.seat.record.hot.refused.fetch_add(1, Ordering::Relaxed);
    log::request(
        Level::Error,
        r,
        &format!(
            "ATH0112: farm {}: no member is usable after {} attempts; the client gets {instead}. \
             See the members' states at the engine's path, and ATH0110 above for reasons",
            farm.name,
            record.attempts()
        ),
    );
}
