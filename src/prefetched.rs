//! The part of a request's body that mod_proxy_http has read by the time it finds no connection. It keeps
//! that for its own next attempt; one in another protocol reads it here before the rest.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::guard::guard;
use crate::{ffi, pool};

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
/// `r` is live, `url` NUL-terminated.
pub unsafe fn read_again(
    r: *mut ffi::request_rec,
    url: *const c_char,
    attempt: impl FnOnce() -> c_int,
) -> c_int {
    // SAFETY: the caller's promise; the brigade lives as long as the request.
    unsafe {
        if pool::behind(url, b"http").is_some() {
            return attempt();
        }
        let mut kept: *mut c_void = ptr::null_mut();
        ffi::apr_pool_userdata_get(&raw mut kept, KEY.as_ptr(), (*r).pool);
        if kept.is_null() {
            return attempt();
        }
        let handle = FILTER.load(Ordering::Acquire);
        let filter = ffi::ap_add_input_filter_handle(handle, kept, r, (*r).connection);
        let status = attempt();
        ffi::ap_remove_input_filter(filter);
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
        // SAFETY: httpd calls with a live filter, whose context is the brigade that `read_again` found,
        // and a live brigade.
        unsafe {
            let kept: *mut ffi::apr_bucket_brigade = (*filter).ctx.cast();
            if ffi::ath_shim_is_empty(kept) != 0 {
                return ffi::ap_get_brigade((*filter).next, brigade, mode, block, most);
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
