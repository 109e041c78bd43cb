//! From a proxy URL to a farm, and from a farm to a member's URL.
//!
//! mod_proxy canonicalises a target for its scheme before it knows the member. For a farm that is
//! too early: the raw path is kept (as mod_proxy_balancer does since 2.4.60) and canonicalised for
//! the member's own scheme, afresh at each attempt, so that nothing is ever encoded twice.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use crate::farm::Member;
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::record::{Kind, Record};
use crate::rule::Asked;
use crate::runtime::{self, FarmRef};
use crate::{naming, pool, proxy, warm};

/// The note of a request with a subrequest that led to a farm.
const LOOKED_AHEAD: &CStr = c"athena-looked-ahead";

/// The `canon_handler` hook: recognises a farm and keeps its raw path.
pub unsafe extern "C" fn canon_handler(r: *mut ffi::request_rec, url: *mut c_char) -> c_int {
    guard!("canon_handler", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        // SAFETY: mod_proxy calls with a live request and a NUL-terminated URL in its pool.
        unsafe { canonicalise(r, url) }
    })
}

unsafe fn canonicalise(r: *mut ffi::request_rec, url: *mut c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let record = Record::of(r);
        if record.is_some_and(|record| record.nested.get()) {
            return DECLINED;
        }
        if (*r).proxyreq != ffi::PROXYREQ_REVERSE {
            return elsewhere(r, CStr::from_ptr(url));
        }
        // A unix socket was named: the host is that socket's, never a farm's.
        let named = find_farm(r, CStr::from_ptr(url))
            .filter(|_| ffi::apr_table_get((*r).notes, c"uds_path".as_ptr()).is_null());
        let Some((found, rest)) = named else {
            if record.is_some_and(|record| record.kind == Kind::Farm) {
                // Found in map_to_storage, and rewritten to another target since.
                Record::forget(r);
            }
            return elsewhere(r, CStr::from_ptr(url));
        };
        if let Some(farm) = found.farm.as_ref() {
            warm::election(farm, || {
                Asked::by(r, farm, found.balancer).method().compares()
            });
        }
        if let Some(main) = (*r).main.as_ref() {
            ffi::apr_table_setn(main.notes, LOOKED_AHEAD.as_ptr(), c"1".as_ptr());
        }
        // Found in map_to_storage already, and still the same target.
        if record.is_some_and(|record| record.walked.get() == (*r).filename) {
            return OK;
        }
        // The file name is "proxy:" and this URL already (ap_proxy_canon_url in proxy_util.c).
        Record::for_farm(r, found, rest);
        OK
    }
}

/// A target that names no farm goes on, but for what mod_proxy_balancer would take for one, past this module:
/// with a user, with a port of its own, or asked for by the client of a forward proxy; and for one that a
/// client has turned from a farm to a host of its choice.
unsafe fn elsewhere(r: *mut ffi::request_rec, url: &CStr) -> c_int {
    // SAFETY: the caller's promise.
    let Some(farms) = runtime::farms_of(unsafe { (*r).server }) else {
        return DECLINED;
    };
    let url = url.to_bytes();
    if !farms.by_name.stock_finds(url) && !farms.by_name.are_left_by(url) {
        return DECLINED;
    }
    let text = format!(
        "ATH0415: refused: {} is no way to reach a farm",
        String::from_utf8_lossy(url)
    );
    log::request(Level::Warning, r, &text);
    ffi::HTTP_FORBIDDEN
}

/// The record of a request that goes on as one of its subrequests, which led to a farm: mod_dir takes over
/// `DirectoryIndex` and `FallbackResource` so (ap_internal_fast_redirect in http_request.c), and no hook of
/// ours has met the request under its new name.
///
/// # Safety
/// `r` is live.
pub unsafe fn taken_over<'a>(r: *mut ffi::request_rec) -> Option<&'a Record> {
    // SAFETY: the caller's promise; the file name lives as long as the request.
    unsafe {
        if ffi::apr_table_get((*r).notes, LOOKED_AHEAD.as_ptr()).is_null()
            || (*r).proxyreq != ffi::PROXYREQ_REVERSE
        {
            return None;
        }
        let (found, rest) = find_farm(r, (*r).filename_url()?)?;
        Some(Record::for_farm(r, found, rest))
    }
}

/// The farm that a proxy URL names, and the rest of the URL behind the name (in place).
///
/// # Safety
/// `r` is live; `url` outlives the request.
pub unsafe fn find_farm(r: *mut ffi::request_rec, url: &CStr) -> Option<(FarmRef, *const c_char)> {
    let bytes = url.to_bytes();
    // SAFETY: the caller's promise.
    let farms = runtime::farms_of(unsafe { (*r).server })?;
    let (found, rest) = farms.by_name.find(bytes)?;
    // SAFETY: the caller's promise.
    if farms.some_sockets_match && unsafe { is_sockets(r, url) } {
        return None;
    }
    let offset = bytes.len() - rest.len();
    // SAFETY: the offset lies within the string, its NUL included.
    Some((*found, unsafe { url.as_ptr().add(offset) }))
}

/// Whether mod_proxy would send such a target to a unix socket, as it does by the longest line that matches.
unsafe fn is_sockets(r: *mut ffi::request_rec, url: &CStr) -> bool {
    let Some(proxy) = proxy::get() else {
        return false;
    };
    // SAFETY: the caller's promise; mod_proxy's function is called as mod_proxy itself would, which reads the URL
    // alone; workers live as long as the configuration.
    unsafe {
        let conf = proxy.conf((*r).server);
        let worker = (proxy.get_worker)((*r).pool, ptr::null_mut(), conf, url.as_ptr());
        let shared = worker.as_ref().and_then(|worker| worker.s.as_ref());
        shared.is_some_and(|shared| !naming::read(&shared.uds_path).is_empty())
    }
}

/// Builds the member's URL for this request, canonical for the member's scheme, and leaves it in
/// `r->filename` behind `proxy:`. `Err` is the status that mod_proxy's canonicalisation refused with.
///
/// # Safety
/// `r` is live and belongs to the farm request of `record`.
pub unsafe fn member_url(
    r: *mut ffi::request_rec,
    record: &Record,
    member: &Member,
) -> Result<*mut c_char, c_int> {
    // SAFETY: the caller's promise: records of farms are made by `Record::for_farm` alone, with a path in
    // memory that lives as long as the request.
    unsafe {
        url_for(
            r,
            record,
            member.url().to_bytes(),
            CStr::from_ptr(record.raw_path),
        )
    }
}

/// Canonicalises `base` followed by `rest` for its scheme; a slash at the end of the one and at the
/// beginning of the other are the same slash. A client's `?` or `#` does not go on with the host, where
/// mod_proxy would look for another one behind an `@` (ap_proxy_canon_netloc in proxy_util.c).
///
/// # Safety
/// As [`member_url`].
pub unsafe fn url_for(
    r: *mut ffi::request_rec,
    record: &Record,
    base: &[u8],
    rest: &CStr,
) -> Result<*mut c_char, c_int> {
    let Some(proxy) = proxy::get() else {
        return Err(ffi::HTTP_INTERNAL_SERVER_ERROR);
    };
    let rest = rest.to_bytes();
    let base = match base.strip_suffix(b"/") {
        Some(base) if rest.starts_with(b"/") => base,
        _ => base,
    };
    let has_path = || base.iter().filter(|byte| **byte == b'/').count() > 2;
    let between: &[u8] = match rest.first() {
        Some(b'?' | b'#') if !has_path() => b"/",
        _ => b"",
    };
    // SAFETY: the caller's promise; mod_proxy's function is called as mod_proxy itself would.
    unsafe {
        (*r).filename = pool::concat_bytes(r, &[b"proxy:", base, between, rest]);
        let query = (*r).args;
        record.nested.set(true);
        let status = (proxy.canon_url)(r);
        record.nested.set(false);
        // mod_proxy_ftp moves it into the path; the next member gets it as well.
        (*r).args = query;
        // DECLINED: no module canonicalises this scheme, and the URL stays as it is.
        if status != OK && status != DECLINED {
            return Err(status);
        }
        // The canon handlers leave "proxy:" in front; 6 is its length.
        Ok((*r).filename.add(6))
    }
}
