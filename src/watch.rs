//! The watch: twice a second, in one child, through mod_watchdog. It takes over what mod_proxy_hcheck
//! changed ([`crate::edits`]); it notices who does not report, has agents asked, and lets members go that
//! are removed. Where none of this can happen, no child has the watchdog's thread: in a process with a
//! second one, each system call and lock of each request costs more.
//!
//! In the parent, the `monitor` hook repairs what a killed child left: totals that are off by one, a plan
//! that misses a change. It tells of members that have drained long enough, and takes over what nobody
//! else has: other modules' edits.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use athena_engine::plan::stale;

use crate::farm::Farm;
use crate::ffi::{self, APR_SUCCESS};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::{added, agent, drain, edits, proxy, refresh, rounds, runtime, stats};

/// Well within the second that a health check's finding may take to show.
const EVERY_US: i64 = 500_000;

/// Whether a module is loaded that changes workers by itself, or members can be added and removed, are
/// expected to report, or have an agent to be asked.
pub fn is_needed() -> bool {
    proxy::is_loaded(c"proxy_hcheck_module") || runtime::farms().iter().any(is_needed_by)
}

fn is_needed_by(farm: &Farm) -> bool {
    !farm.seat.seats.is_empty() || stats::expects(farm) || agent::any_asked(farm)
}

/// The `monitor` hook, in the parent about every ten seconds.
pub unsafe extern "C" fn monitor(_pool: *mut ffi::apr_pool_t, _s: *mut ffi::server_rec) -> c_int {
    guard!("monitor", ffi::DECLINED, {
        if let Some(board) = runtime::board() {
            board.reconcile();
            drain::look();
            for farm in runtime::farms() {
                // This process may not know all members: a child compiles the plan.
                if edits::pull(farm, Duration::ZERO) > 0 {
                    stale::mark(&farm.seat.record.cold);
                }
                refresh::repair(farm);
            }
        }
        ffi::DECLINED
    })
}

/// Registers with mod_watchdog.
///
/// # Safety
/// Called from post_config with the configuration's pool and the main server.
pub unsafe fn register(pool: *mut ffi::apr_pool_t, s: *mut ffi::server_rec) {
    // SAFETY: optional functions have the types that mod_watchdog.h declares for their names.
    unsafe {
        let get: ffi::apr_OFN_ap_watchdog_get_instance_t = std::mem::transmute(
            ffi::apr_dynamic_fn_retrieve(c"ap_watchdog_get_instance".as_ptr()),
        );
        let call: ffi::apr_OFN_ap_watchdog_register_callback_t = std::mem::transmute(
            ffi::apr_dynamic_fn_retrieve(c"ap_watchdog_register_callback".as_ptr()),
        );
        let (Some(get), Some(call)) = (get, call) else {
            log::server(
                Level::Warning,
                s,
                "ATH0015: mod_watchdog is not loaded: nobody looks for members that do not report, \
                 for agents to ask, and for added members to check",
            );
            return;
        };
        let mut watchdog: *mut ffi::ap_watchdog_t = std::ptr::null_mut();
        if get(&raw mut watchdog, c"_athena_".as_ptr(), 0, 1, pool) != APR_SUCCESS
            || call(watchdog, EVERY_US, std::ptr::null(), Some(tick)) != APR_SUCCESS
        {
            log::server(
                Level::Warning,
                s,
                "ATH0016: the watch could not be registered",
            );
        }
    }
}

unsafe extern "C" fn tick(
    state: c_int,
    _data: *mut c_void,
    _pool: *mut ffi::apr_pool_t,
) -> ffi::apr_status_t {
    guard!("watch", APR_SUCCESS, {
        if state == ffi::AP_WATCHDOG_STATE_RUNNING {
            look();
            rounds::tick();
        }
        APR_SUCCESS
    })
}

fn look() {
    for farm in runtime::farms() {
        added::let_go(farm);
        stats::follow(farm);
    }
    edits::take_over(Duration::ZERO);
    show_counts();
}

/// Shows all members' counts where mod_proxy's pages read them.
pub fn show_counts() {
    for farm in runtime::farms() {
        for member in &farm.members {
            member.show_counts(member.record().hot.inflight.count());
        }
    }
}
