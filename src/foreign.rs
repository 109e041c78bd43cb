//! Providers of the `proxylbmethod` group that other modules registered (httpd's own
//! `heartbeat`, third parties'), under our engine: called as mod_proxy_balancer calls them.
//!
//! A provider walks mod_proxy's own structures, so these are made to say what the board says: errors
//! are mirrored there when they happen, counts just before each call. What a provider cannot know is
//! where this request has been already; if it names such a member, the election goes on without it.

use athena_engine::MemberId;
use athena_engine::method::STRANGER;

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::rule::Asked;
use crate::{ffi, memory, proxy};

/// Asks the provider for a member; `None`: it wants none.
pub fn pick(provider: &ffi::proxy_balancer_method, asked: &Asked<'_>) -> Option<MemberId> {
    let finder = provider.finder?;
    let Some(_lock) = ThreadLock::of(asked.balancer, asked.farm) else {
        log::request(
            Level::Error,
            asked.r,
            &format!(
                "ATH0150: farm {}: the balancer's thread lock was not to be had: lbmethod={} was \
                 not asked",
                asked.farm.name,
                asked.rule.name()
            ),
        );
        return Some(STRANGER);
    };
    for member in &asked.farm.members {
        show(asked, member);
    }
    // SAFETY: mod_proxy's contract for finders: a live balancer and request, the balancer's thread
    // lock held.
    let worker = unsafe { finder(asked.balancer, asked.r) };
    if worker.is_null() {
        return None;
    }
    let named = asked.farm.member_of(worker);
    Some(named.map_or(STRANGER, |member| member.seat.id))
}

/// Tells the provider that a session took the request elsewhere; without a callback of its own,
/// mod_proxy_balancer keeps the rotation's balance for it.
pub fn passed_over(provider: &ffi::proxy_balancer_method, asked: &Asked<'_>, went_to: &Member) {
    let Some(_lock) = ThreadLock::of(asked.balancer, asked.farm) else {
        return;
    };
    // SAFETY: mod_proxy's contract for providers: a live balancer, worker and server, the balancer's
    // thread lock held, which guards the balance within a child as in mod_proxy_balancer.
    unsafe {
        if let Some(update) = provider.updatelbstatus {
            update(asked.balancer, went_to.worker, (*asked.r).server);
            return;
        }
        let mut total: i32 = 0;
        for member in &asked.farm.members {
            if member.serves(asked.farm.observed) {
                let shared = member.shared();
                total = total.wrapping_add((*shared).lbfactor);
                (*shared).lbstatus = (*shared).lbstatus.wrapping_add((*shared).lbfactor);
            }
        }
        let shared = went_to.shared();
        (*shared).lbstatus = (*shared).lbstatus.wrapping_sub(total);
    }
}

/// Brings mod_proxy's view of a member up to date.
fn show(asked: &Asked<'_>, member: &Member) {
    let ready = ffi::PROXY_WORKER_INITIALIZED.unsigned_abs();
    // SAFETY: workers live as long as the configuration; the lock is held, and mod_proxy guards the
    // initialisation itself.
    unsafe {
        // Finders pass over workers that no request has made ready yet.
        if (*member.worker).local_status & ready == 0
            && let Some(proxy) = proxy::get()
        {
            let server = (*asked.r).server;
            memory::initialise(proxy, member.worker, server, (*proxy.conf(server)).pool);
        }
    }
    member.show_counts(member.record().hot.inflight.count());
}

/// mod_proxy's `PROXY_THREAD_LOCK`, given back when dropped.
pub struct ThreadLock(*mut ffi::apr_thread_mutex_t);

impl ThreadLock {
    /// The balancer's own lock, or that of the farm's first balancer: without mod_proxy_balancer
    /// only the latter is made ([`ready`]).
    pub fn of(balancer: *mut ffi::proxy_balancer, farm: &Farm) -> Option<Self> {
        // SAFETY: balancers live as long as the configuration; locks are made before any request.
        let mutex_of = |balancer: *mut ffi::proxy_balancer| unsafe {
            balancer
                .as_ref()
                .map_or(std::ptr::null_mut(), |balancer| balancer.tmutex)
        };
        let mutex = [balancer, farm.balancer]
            .map(mutex_of)
            .into_iter()
            .find(|mutex| !mutex.is_null())
            .unwrap_or_default();
        // SAFETY: null, or a live lock.
        let taken =
            mutex.is_null() || unsafe { ffi::apr_thread_mutex_lock(mutex) } == ffi::APR_SUCCESS;
        taken.then_some(Self(mutex))
    }
}

impl Drop for ThreadLock {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: taken by this thread in `of`.
            unsafe { ffi::apr_thread_mutex_unlock(self.0) };
        }
    }
}

/// Without mod_proxy_balancer nobody makes the thread locks that finders are promised.
///
/// # Safety
/// Called from child_init with the child's pool.
pub unsafe fn ready(pool: *mut ffi::apr_pool_t, farms: &[Farm]) {
    for farm in farms {
        // SAFETY: one thread runs; balancers live as long as the configuration.
        unsafe {
            if let Some(balancer) = farm.balancer.as_mut()
                && balancer.tmutex.is_null()
            {
                let default = ffi::APR_THREAD_MUTEX_DEFAULT.unsigned_abs();
                ffi::apr_thread_mutex_create(&raw mut balancer.tmutex, default, pool);
            }
        }
    }
}

/// Follows what balancer-manager did to a balancer in another child (its method, members that were
/// added): mod_proxy_balancer looks once a request, by a version, and so does this.
///
/// # Safety
/// `r` is live; `balancer` is null or one of its server's.
pub unsafe fn follow(r: *mut ffi::request_rec, balancer: *mut ffi::proxy_balancer, farm: &Farm) {
    // SAFETY: the caller's promise; shared parts live as long as the configuration.
    unsafe {
        let Some(known) = balancer.as_ref() else {
            return;
        };
        let newer = |shared: &ffi::proxy_balancer_shared| shared.wupdated > known.wupdated;
        if known.storage.is_null() || !known.s.as_ref().is_some_and(newer) {
            return;
        }
        if let Some(proxy) = proxy::get()
            && let Some(_lock) = ThreadLock::of(balancer, farm)
        {
            let server = (*r).server;
            (proxy.sync_balancer)(balancer, server, proxy.conf(server));
        }
    }
}
