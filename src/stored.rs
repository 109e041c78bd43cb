//! `BalancerPersist On`: mod_proxy_balancer restores what its manager set, over the configuration's
//! values, before anybody else sees them. What the configuration says is therefore noted before; the
//! board then decides as always (people's changes hold until the configured value changes), and what
//! mod_proxy_balancer remembers counts for members that the board does not know.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::Mutex;

use athena_engine::board::Settings;

use crate::farm::Member;
use crate::ffi::{self, OK};
use crate::guard::guard;
use crate::times::Times;
use crate::{conf, proxy};

/// What the configuration says of a worker.
#[derive(Clone, Copy)]
struct Configured {
    settings: Settings,
    times: Times,
    in_error: bool,
}

/// By the workers' addresses; `None` where nothing is restored.
static CONFIGURED: Mutex<Option<HashMap<usize, Configured>>> = Mutex::new(None);

/// A `post_config` hook before mod_proxy_balancer's.
pub unsafe extern "C" fn post_config(
    _pool: *mut ffi::apr_pool_t,
    _log: *mut ffi::apr_pool_t,
    _temp: *mut ffi::apr_pool_t,
    s: *mut ffi::server_rec,
) -> c_int {
    guard!("post_config", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        // SAFETY: httpd calls with the list of servers of a configuration that has been read.
        let noted = unsafe { note(s) };
        if let Ok(mut place) = CONFIGURED.lock() {
            *place = noted;
        }
        OK
    })
}

unsafe fn note(main: *mut ffi::server_rec) -> Option<HashMap<usize, Configured>> {
    let proxy = proxy::get()?;
    let mut noted = HashMap::new();
    let mut restored = false;
    // SAFETY: the caller's promise.
    unsafe {
        for s in conf::servers(main) {
            let conf = &*proxy.conf(s);
            restored |= conf.bal_persist() != 0;
            for balancer in proxy::elements::<ffi::proxy_balancer>(conf.balancers) {
                for worker in proxy::elements::<*mut ffi::proxy_worker>((*balancer).workers) {
                    noted.insert(*worker as usize, Configured::of((**worker).s));
                }
            }
        }
    }
    restored.then_some(noted)
}

impl Configured {
    /// # Safety
    /// A live worker's shared part, in the parent.
    unsafe fn of(shared: *mut ffi::proxy_worker_shared) -> Self {
        // SAFETY: the caller's promise.
        let (settings, status) = unsafe { (Member::settings_of(shared), (*shared).status) };
        Self {
            settings,
            // SAFETY: as above.
            times: unsafe { Times::of(shared) },
            in_error: status & ffi::PROXY_WORKER_IN_ERROR.unsigned_abs() != 0,
        }
    }
}

/// What the configuration says of a worker, and what was restored over it. An error of the last run
/// is taken back: it is found out anew.
///
/// # Safety
/// Called in post_config, after mod_proxy_balancer's, with a worker of the configuration.
pub unsafe fn settings_of(worker: *mut ffi::proxy_worker) -> (Settings, Option<Settings>) {
    // SAFETY: the caller's promise; only the parent runs.
    let (shared, now) = unsafe { ((*worker).s, Configured::of((*worker).s)) };
    let Ok(place) = CONFIGURED.lock() else {
        return (now.settings, None);
    };
    let Some(noted) = place.as_ref() else {
        return (now.settings, None);
    };
    // A worker that was not there before was added in the manager, and has no line.
    let configured = noted.get(&(worker as usize));
    if !configured.is_some_and(|configured| configured.in_error) {
        // SAFETY: as above.
        unsafe { (*shared).status &= !ffi::PROXY_WORKER_IN_ERROR.unsigned_abs() };
    }
    let settings = configured.map(|configured| configured.settings);
    (settings.unwrap_or_default(), Some(now.settings))
}

/// The times that the configuration gives a worker of a server, whatever was restored over them: no page
/// sets them, and a bound of the last run must not outlive its line.
///
/// # Safety
/// As [`settings_of`].
pub unsafe fn times_of(worker: *mut ffi::proxy_worker, s: *mut ffi::server_rec) -> Times {
    let place = CONFIGURED.lock().ok();
    let noted = place.as_ref().and_then(|place| place.as_ref());
    // SAFETY: the caller's promise.
    unsafe {
        match (noted, proxy::get()) {
            (Some(noted), Some(proxy)) => noted.get(&(worker as usize)).map_or_else(
                || Times::of_added(&*proxy.conf(s)),
                |configured| configured.times,
            ),
            _ => Times::of((*worker).s),
        }
    }
}
