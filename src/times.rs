//! How long mod_proxy waits for a member, and `trytimeout`, which bounds each of these waits.

use std::time::Duration;

use crate::ffi;

/// A worker's times in microseconds, those that are set.
#[derive(Clone, Copy, Default)]
pub struct Times {
    /// For a first byte, and for a connection unless that has its own.
    timeout: Option<i64>,
    connect: Option<i64>,
    /// For a place in the pool of connections.
    acquire: Option<i64>,
    ping: Option<i64>,
}

impl Times {
    /// # Safety
    /// A live worker's shared part, whose bits nobody writes meanwhile.
    pub unsafe fn of(shared: *const ffi::proxy_worker_shared) -> Self {
        // SAFETY: the caller's promise.
        let shared = unsafe { &*shared };
        Self {
            timeout: (shared.timeout_set() != 0).then_some(shared.timeout),
            connect: (shared.conn_timeout_set() != 0).then_some(shared.conn_timeout),
            acquire: (shared.acquire_set() != 0).then_some(shared.acquire),
            ping: (shared.ping_timeout_set() != 0).then_some(shared.ping_timeout),
        }
    }

    /// What a member has that was added in balancer-manager.
    pub fn of_added(conf: &ffi::proxy_server_conf) -> Self {
        Self {
            timeout: (conf.timeout_set() != 0).then_some(conf.timeout),
            ..Self::default()
        }
    }

    /// With each wait bounded.
    pub fn within(self, bound: Option<Duration>) -> Self {
        let Some(bound) = bound else { return self };
        let bound = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
        let shorter = |time: i64| time.min(bound);
        Self {
            timeout: Some(bound),
            // Without one, connecting takes the time above.
            connect: self.connect.map(shorter),
            // Without one, that wait has no end.
            acquire: Some(self.acquire.map_or(bound, shorter)),
            ping: self.ping.map(shorter),
        }
    }

    /// # Safety
    /// As [`Self::of`], and nobody else writes them.
    pub unsafe fn give(self, shared: *mut ffi::proxy_worker_shared) {
        // SAFETY: the caller's promise.
        let shared = unsafe { &mut *shared };
        shared.timeout = self.timeout.unwrap_or_default();
        shared.set_timeout_set(self.timeout.is_some().into());
        shared.conn_timeout = self.connect.unwrap_or_default();
        shared.set_conn_timeout_set(self.connect.is_some().into());
        shared.acquire = self.acquire.unwrap_or_default();
        shared.set_acquire_set(self.acquire.is_some().into());
        shared.ping_timeout = self.ping.unwrap_or_default();
        shared.set_ping_timeout_set(self.ping.is_some().into());
    }
}
