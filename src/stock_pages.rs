//! The pages that show mod_proxy's own workers: balancer-manager of mod_proxy_balancer, and mod_status's.
//! Before they are made, our counts are put where they read them; what balancer-manager changed, which
//! bumps no version, is taken over before its page ends.

use std::ffi::{CStr, c_int};

use crate::ffi::{self, DECLINED};
use crate::guard::guard;
use crate::manager::HANDLER as MANAGER;
use crate::{change, edits, watch};

/// As the handler's name, and as the type that it answers to as well.
const STATUS: [&CStr; 2] = [c"server-status", c"application/x-httpd-status"];
/// A note of the request: the page is being made.
const MAKING: &CStr = c"athena-stock-page";

/// A `handler` hook, in front of theirs.
pub unsafe extern "C" fn handler(r: *mut ffi::request_rec) -> c_int {
    guard!("handler", DECLINED, {
        // SAFETY: httpd calls with a live request; a handler's name is a string.
        unsafe {
            let name = (*r).handler;
            // Every request comes by.
            if name.is_null() || !matches!((*name).cast_unsigned(), b'a' | b'b' | b's') {
                return DECLINED;
            }
            let name = CStr::from_ptr(name);
            if name != MANAGER && !STATUS.contains(&name)
                || !ffi::apr_table_get((*r).notes, MAKING.as_ptr()).is_null()
            {
                return DECLINED;
            }
            watch::show_counts();
            if name != MANAGER {
                return DECLINED;
            }
            ffi::apr_table_setn((*r).notes, MAKING.as_ptr(), c"1".as_ptr());
            let status = ffi::ap_run_handler(r);
            // After a panic here the page is not made again.
            guard!("balancer-manager", (), {
                edits::take_over(change::PATIENCE)
            });
            status
        }
    })
}
