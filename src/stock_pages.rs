//! The pages that show mod_proxy's own workers: balancer-manager of mod_proxy_balancer, and mod_status's.
//! Before they are made, our counts are put where they read them; what balancer-manager changed, which
//! bumps no version, is taken over when its request is done.

use std::ffi::{CStr, c_int, c_void};

use crate::ffi::{self, APR_SUCCESS, DECLINED};
use crate::guard::guard;
use crate::{change, watch};

const MANAGER: &CStr = c"balancer-manager";
const STATUS: &CStr = c"server-status";

/// A `handler` hook, in front of theirs.
pub unsafe extern "C" fn handler(r: *mut ffi::request_rec) -> c_int {
    guard!("handler", DECLINED, {
        // SAFETY: httpd calls with a live request; a handler's name is a string.
        unsafe {
            let name = (*r).handler;
            // Every request comes by.
            if name.is_null() || !matches!((*name).cast_unsigned(), b'b' | b's') {
                return DECLINED;
            }
            let name = CStr::from_ptr(name);
            if name == MANAGER || name == STATUS {
                watch::show_counts();
            }
            if name == MANAGER {
                ffi::apr_pool_cleanup_register((*r).pool, std::ptr::null(), Some(edited), None);
            }
        }
        DECLINED
    })
}

/// The request of a page goes.
unsafe extern "C" fn edited(_: *mut c_void) -> ffi::apr_status_t {
    guard!("balancer-manager", APR_SUCCESS, {
        watch::take_over(change::PATIENCE);
        APR_SUCCESS
    })
}
