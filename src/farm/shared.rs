//! mod_proxy's shared part of a member's worker (`proxy_worker_shared`): read for what mod_proxy,
//! balancer-manager and health checks know of it, written so that they see what the board says.

use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use athena_engine::Micros;
use athena_engine::board::Settings;
use athena_engine::board::record::flags;

use super::Member;
use crate::{clock, ffi, naming};

const IN_ERROR: u32 = ffi::PROXY_WORKER_IN_ERROR as u32;

/// Status bits of mod_proxy that keep a worker from being used, our own error state left out.
const NOT_SERVING: u32 = (ffi::PROXY_WORKER_DISABLED
    | ffi::PROXY_WORKER_STOPPED
    | ffi::PROXY_WORKER_IN_SHUTDOWN
    | ffi::PROXY_WORKER_HC_FAIL) as u32;

/// mod_proxy's status bits and the flags they are on the board.
const LETTERS: [(i32, u32); 7] = [
    (ffi::PROXY_WORKER_DISABLED, flags::DISABLED),
    (ffi::PROXY_WORKER_STOPPED, flags::STOPPED),
    (ffi::PROXY_WORKER_IGNORE_ERRORS, flags::IGNORE_ERRORS),
    (ffi::PROXY_WORKER_HOT_STANDBY, flags::STANDBY),
    (ffi::PROXY_WORKER_HOT_SPARE, flags::SPARE),
    (ffi::PROXY_WORKER_DRAIN, flags::DRAIN),
    (ffi::PROXY_WORKER_HC_FAIL, flags::CHECK_FAILED),
];

impl Member {
    /// mod_proxy's shared part of the worker.
    pub fn shared(&self) -> *mut ffi::proxy_worker_shared {
        self.shared
    }

    /// The URL as mod_proxy keeps it.
    pub fn url(&self) -> &CStr {
        // SAFETY: shared parts live as long as the configuration.
        naming::read(unsafe { &(*self.shared()).name_ex })
    }

    /// The host of its URL.
    pub fn host(&self) -> &str {
        // SAFETY: as `url`.
        let host = unsafe { &(*self.shared()).hostname_ex };
        naming::read(host).to_str().unwrap_or_default()
    }

    /// The session route; empty for none.
    pub fn route(&self) -> &CStr {
        // SAFETY: as `url`.
        naming::read(unsafe { &(*self.shared()).route })
    }

    /// `redirect`: the route of the member that takes over its sessions; empty for none.
    pub fn redirect(&self) -> &CStr {
        // SAFETY: as `url`.
        naming::read(unsafe { &(*self.shared()).redirect })
    }

    /// mod_proxy's status bits now.
    pub fn status(&self) -> u32 {
        // SAFETY: an aligned integer that other threads may write: read as the atomic it is used
        // as by every process.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.shared()).status) }.load(Ordering::Relaxed)
    }

    /// Shows our error state to mod_proxy, so that its pages and its connection pool agree.
    pub fn mirror_error(&self, in_error: bool) {
        // SAFETY: as `status`; error_time is only read for display and by mod_proxy's own retry.
        unsafe {
            let status = AtomicU32::from_ptr(&raw mut (*self.shared()).status);
            if in_error {
                (*self.shared()).error_time = self.error_time();
                status.fetch_or(IN_ERROR, Ordering::Relaxed);
            } else {
                status.fetch_and(!IN_ERROR, Ordering::Relaxed);
            }
        }
    }

    /// The time that makes mod_proxy's own retry (which finders of other modules run) come due when
    /// our probe does.
    fn error_time(&self) -> i64 {
        let micros = |time: Micros| i64::try_from(time).unwrap_or(0);
        let probe_at = self.record().health.retry_at.load(Ordering::Relaxed);
        let left = micros(probe_at.saturating_sub(clock::now()));
        // SAFETY: reads the clock.
        let now = unsafe { ffi::apr_time_now() };
        now + left - micros(self.retry())
    }

    /// Shows our counts where balancer-manager reads them.
    pub fn show_counts(&self, in_flight: u64) {
        let elected = self.record().hot.elected.load(Ordering::Relaxed);
        // SAFETY: aligned integers of the shared part, stored as atomics: children of two
        // generations may do so at a time.
        unsafe {
            let shared = self.shared();
            AtomicUsize::from_ptr(&raw mut (*shared).elected).store(
                usize::try_from(elected).unwrap_or(usize::MAX),
                Ordering::Relaxed,
            );
            AtomicUsize::from_ptr(&raw mut (*shared).busy).store(
                usize::try_from(in_flight).unwrap_or(usize::MAX),
                Ordering::Relaxed,
            );
        }
    }

    /// `retry`, in microseconds.
    pub fn retry(&self) -> Micros {
        // SAFETY: as `url`.
        let (set, retry) = unsafe { ((*self.shared()).retry_set(), (*self.shared()).retry) };
        if set == 0 {
            return u64::from(ffi::PROXY_WORKER_DEFAULT_RETRY.unsigned_abs()) * 1_000_000;
        }
        u64::try_from(retry).unwrap_or(0)
    }

    /// Flags of the board for mod_proxy's status bits.
    pub fn flags_of(status: u32) -> u32 {
        LETTERS
            .iter()
            .filter(|(bit, _)| status & bit.unsigned_abs() != 0)
            .fold(0, |set, (_, flag)| set | flag)
    }

    /// What mod_proxy's shared part of a worker says, in the board's terms; it knows no limit.
    ///
    /// # Safety
    /// `shared` is live; other processes may write it.
    pub unsafe fn settings_of(shared: *mut ffi::proxy_worker_shared) -> Settings {
        // SAFETY: the caller's promise: aligned integers, read as the atomics that `show` writes.
        let (status, factor, set) = unsafe { places(shared) };
        Settings {
            weight: factor.load(Ordering::Relaxed).unsigned_abs(),
            flags: Self::flags_of(status.load(Ordering::Relaxed)),
            lbset: set.load(Ordering::Relaxed).unsigned_abs(),
            max_conn: 0,
        }
    }

    /// Writes the values in force on the board into mod_proxy's shared part (at a start, before
    /// any child runs), so that both agree after a restart.
    pub fn push(&self) {
        self.show(Settings::in_force(&self.record().admin));
        let changed = &self.record().changed;
        let (route, redirect) = (changed.route.get(), changed.redirect.get());
        self.show_routes(route.as_deref(), redirect.as_deref());
    }

    /// Writes settings into mod_proxy's shared part.
    pub(super) fn show(&self, settings: Settings) {
        // SAFETY: shared parts live as long as the configuration.
        let (status, factor, set) = unsafe { places(self.shared()) };
        for (bit, flag) in LETTERS {
            if settings.flags & flag != 0 {
                status.fetch_or(bit.unsigned_abs(), Ordering::Relaxed);
            } else {
                status.fetch_and(!bit.unsigned_abs(), Ordering::Relaxed);
            }
        }
        factor.store(settings.weight.cast_signed(), Ordering::Relaxed);
        set.store(settings.lbset.cast_signed(), Ordering::Relaxed);
    }

    /// Writes `route` and `redirect` into mod_proxy's shared part, where they are others there.
    pub(super) fn show_routes(&self, route: Option<&str>, redirect: Option<&str>) {
        if let Some(route) = route.filter(|route| self.route().to_bytes() != route.as_bytes()) {
            // SAFETY: shared parts live as long as the configuration; bytes are written in place, as
            // mod_proxy_balancer does.
            unsafe { naming::write(&mut (*self.shared()).route, route) };
        }
        if let Some(to) = redirect.filter(|to| self.redirect().to_bytes() != to.as_bytes()) {
            // SAFETY: as above.
            unsafe { naming::write(&mut (*self.shared()).redirect, to) };
        }
    }

    /// Whether mod_proxy's shared part says something else than the board.
    pub fn differs(&self) -> bool {
        // SAFETY: shared parts live as long as the configuration.
        let shown = unsafe { Self::settings_of(self.shared()) };
        let held = Settings::in_force(&self.record().admin);
        // What mod_proxy does not know of is as it is.
        shown
            != Settings {
                flags: held.flags & !flags::DOWN,
                max_conn: shown.max_conn,
                ..held
            }
    }

    /// Takes over what balancer-manager or a health check changed in mod_proxy's shared part. The
    /// caller holds the farm's lock.
    pub fn pull(&self) {
        // SAFETY: as above.
        let shown = unsafe { Self::settings_of(self.shared()) };
        let admin = &self.record().admin;
        // mod_proxy has no letter for what people say of a member's health.
        let kept = admin.flags.load(Ordering::Relaxed) & flags::DOWN;
        admin.flags.store(shown.flags | kept, Ordering::Relaxed);
        admin.weight.store(shown.weight, Ordering::Relaxed);
        admin.lbset.store(shown.lbset, Ordering::Relaxed);
    }

    /// Whether its status lets it serve; its error state is ours to judge, unless `errors_count`.
    pub fn serves(&self, errors_count: bool) -> bool {
        let error = if errors_count { IN_ERROR } else { 0 };
        self.status() & (NOT_SERVING | error) == 0
    }

    /// mod_proxy put the member in error, or took it back, since the last call (engine off).
    pub fn error_moved(&self) -> bool {
        let in_error = self.status() & IN_ERROR != 0;
        self.seen_error.swap(in_error, Ordering::Relaxed) != in_error
    }
}

/// Status bits, factor and set in mod_proxy's shared part of a worker.
///
/// # Safety
/// `shared` is live for as long as the result is used.
unsafe fn places<'a>(
    shared: *mut ffi::proxy_worker_shared,
) -> (&'a AtomicU32, &'a AtomicI32, &'a AtomicI32) {
    // SAFETY: the caller's promise; aligned integers that every process uses as atomics.
    unsafe {
        (
            AtomicU32::from_ptr(&raw mut (*shared).status),
            AtomicI32::from_ptr(&raw mut (*shared).lbfactor),
            AtomicI32::from_ptr(&raw mut (*shared).lbset),
        )
    }
}
