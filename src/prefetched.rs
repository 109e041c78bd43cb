//! Lets protocols other than HTTP/1.1 read a request's whole body. mod_proxy_http may already have read a
//! part of it before it found no connection; it keeps that part for its own next attempt. Another protocol's
//! module gets that part first, then the rest. This also notes when the client did not send its body to the
//! end, which those modules report as if the member had failed, and whether mod_proxy_ajp came as far as to ask
//! for the body, which it does when it has sent a request's head.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::connection::Protocol;
use crate::guard::guard;
use crate::record::Record;
use crate::{ffi, outcome, pool};

static FILTER: AtomicPtr<ffi::ap_filter_rec_t> = AtomicPtr::new(ptr::null_mut());

/// Where mod_proxy_http keeps it, in the request's pool (proxy_http_handler in mod_proxy_http.c).
const KEY: &CStr = c"proxy-req-input";

/// Registers the filter, in front of all others: what was read has been through these.
///
/// # Safety
/// Called from register_hooks.
pub unsafe fn register() {
    // SAFETY: the caller's promise; the name is static.
    let handle = unsafe {
        let place = ffi::AP_FTYPE_RESOURCE - 1;
        ffi::ap_register_input_filter(c"ATHENA_PREFETCHED".as_ptr(), Some(input), None, place)
    };
    FILTER.store(handle, Ordering::Release);
}

/// Makes an attempt at a URL that reads the whole body, whatever was read of it before.
///
/// # Safety
/// `r` is live and `record` its own; `url` is NUL-terminated.
pub unsafe fn read_again(
    r: *mut ffi::request_rec,
    record: &Record,
    url: *const c_char,
    attempt: impl FnOnce() -> c_int,
) -> c_int {
    // SAFETY: the caller's promise; the brigade lives as long as the request.
    unsafe {
        // mod_proxy_http says what it could not read, and would spool for a filter what it can stream.
        let wants = || {
            let protocol = record.member().map(|member| member.protocol);
            outcome::has_body(r) || protocol == Some(Protocol::Ajp)
        };
        if pool::behind(url, b"http").is_some() || !wants() {
            return attempt();
        }
        let mut kept: *mut c_void = ptr::null_mut();
        ffi::apr_pool_userdata_get(&raw mut kept, KEY.as_ptr(), (*r).pool);
        record.prefetched.set(kept.cast());
        let handle = FILTER.load(Ordering::Acquire);
        let context = ptr::from_ref(record).cast_mut().cast();
        let filter = ffi::ap_add_input_filter_handle(handle, context, r, (*r).connection);
        let status = attempt();
        ffi::ap_remove_input_filter(filter);
        record.prefetched.set(ptr::null_mut());
        status
    }
}

unsafe extern "C" fn input(
    filter: *mut ffi::ap_filter_t,
    brigade: *mut ffi::apr_bucket_brigade,
    mode: ffi::ap_input_mode_t,
    block: ffi::apr_read_type_e,
    most: ffi::apr_off_t,
) -> ffi::apr_status_t {
    guard!("input filter", ffi::APR_EGENERAL, {
        // SAFETY: httpd calls with a live filter, whose context `read_again` set to the record of the
        // request that it is on, and a live brigade.
        unsafe {
            let Some(record) = (*filter).ctx.cast::<Record>().as_ref() else {
                return ffi::ap_get_brigade((*filter).next, brigade, mode, block, most);
            };
            record.asked_for_body.set(true);
            let kept = record.prefetched.get();
            if kept.is_null() || ffi::ath_shim_is_empty(kept) != 0 {
                let status = ffi::ap_get_brigade((*filter).next, brigade, mode, block, most);
                // Nothing yet, for who does not wait, is no failure.
                if status != ffi::APR_SUCCESS && status != libc::EAGAIN {
                    let code = ffi::ap_map_http_request_error(status, ffi::HTTP_BAD_REQUEST);
                    record.unread.set(Some(u16::try_from(code).unwrap_or(400)));
                }
                return status;
            }
            if mode != ffi::AP_MODE_READBYTES {
                return ffi::APR_ENOTIMPL;
            }
            let mut behind = ptr::null_mut();
            match ffi::apr_brigade_partition(kept, most, &raw mut behind) {
                // There is less than that.
                ffi::APR_SUCCESS | ffi::APR_INCOMPLETE => {}
                status => return status,
            }
            let rest = ffi::apr_brigade_split_ex(kept, behind, ptr::null_mut());
            ffi::ath_shim_concat(brigade, kept);
            ffi::ath_shim_concat(kept, rest);
            ffi::APR_SUCCESS
        }
    })
}
