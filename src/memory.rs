//! The memory of connections to members: one allocator for all members of a child.
//!
//! mod_proxy gives each worker one of its own (`make_conn_subpool` in proxy_util.c). What an answer
//! needs, some 16 KiB of buffer, record and tables, is then this worker's also when it is free again,
//! and the next request, which goes to another member, fetches other memory into the processor's
//! caches. Here it gets what the last one gave back. The pools stay each worker's own.

use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::guard::guard;
use crate::proxy::{self, Proxy};
use crate::{ffi, runtime, worker};

/// A pool that is used under its lock only.
pub struct Locked(pub *mut ffi::apr_pool_t);

// SAFETY: as it says.
unsafe impl Send for Locked {}

/// The pool whose allocator all share.
static BASE: Mutex<Option<Locked>> = Mutex::new(None);

/// A `child_init` hook, to run before mod_proxy_balancer makes all workers ready.
pub unsafe extern "C" fn child_init(_pool: *mut ffi::apr_pool_t, s: *mut ffi::server_rec) {
    guard!("child_init", (), {
        let Some(proxy) = proxy::get() else { return };
        // SAFETY: httpd calls with the main server, while one thread runs. Pools that are made later go
        // first: workers outlive their connections. Neither is a part of the child's own pool, which a
        // signal may destroy in the middle of a request.
        unsafe { worker::ready((*proxy.conf(s)).pool) };
        let Ok(mut base) = BASE.lock() else { return };
        // The structure that `share` fills in is the one that this mod_proxy knows.
        // SAFETY: a loaded module's record; the main server's configuration, while one thread runs.
        // Its pool outlives every request.
        unsafe {
            if (*proxy.module).minor_version != ffi::MODULE_MAGIC_NUMBER_MINOR {
                return;
            }
            *base = with_allocator((*proxy.conf(s)).pool);
        }
        drop(base);
        if proxy::is_loaded(c"proxy_balancer_module") {
            let ours = runtime::farms().iter().filter(|farm| !farm.observed);
            for member in ours.flat_map(|farm| &farm.members) {
                // SAFETY: workers live as long as the configuration.
                unsafe { share(member.worker) };
            }
        }
    });
}

/// Makes a worker ready for requests, as mod_proxy does with the first one.
///
/// # Safety
/// `worker` is a member's, of this process; `pool` lives as long, and is used under mod_proxy's lock or
/// the caller's only.
pub unsafe fn initialise(
    proxy: &Proxy,
    worker: *mut ffi::proxy_worker,
    s: *mut ffi::server_rec,
    pool: *mut ffi::apr_pool_t,
) {
    // SAFETY: the caller's promise; mod_proxy has a lock of its own.
    unsafe {
        share(worker);
        (proxy.initialize_worker)(worker, s, pool);
    }
}

/// A pool with an allocator of its own, which threads may use.
unsafe fn with_allocator(parent: *mut ffi::apr_pool_t) -> Option<Locked> {
    let mut allocator = ptr::null_mut();
    let mut mutex = ptr::null_mut();
    let mut pool = ptr::null_mut();
    let default = ffi::APR_THREAD_MUTEX_DEFAULT.unsigned_abs();
    // SAFETY: the caller's promise: a live pool that one thread uses; the new one owns the allocator.
    unsafe {
        if ffi::apr_thread_mutex_create(&raw mut mutex, default, parent) != ffi::APR_SUCCESS
            || ffi::apr_allocator_create(&raw mut allocator) != ffi::APR_SUCCESS
        {
            return None;
        }
        ffi::apr_allocator_mutex_set(allocator, mutex);
        ffi::apr_allocator_max_free_set(allocator, ffi::ap_max_mem_free as usize);
        if ffi::apr_pool_create_ex(&raw mut pool, parent, None, allocator) != ffi::APR_SUCCESS {
            ffi::apr_allocator_destroy(allocator);
            return None;
        }
        ffi::apr_allocator_owner_set(allocator, pool);
    }
    Some(Locked(pool))
}

/// Gives a worker its pools from the shared memory, unless it has some or there is none: mod_proxy
/// makes what is missing.
unsafe fn share(worker: *mut ffi::proxy_worker) {
    let Ok(base) = BASE.lock() else { return };
    let Some(Locked(base)) = *base else { return };
    // SAFETY: the caller's promise; the lock is held, so that nobody else uses the base. Null and 0
    // are values of all fields. mod_proxy may be at the same worker, and looks at `cp` under a lock
    // that is its own: who loses has made pools in vain.
    unsafe {
        let place = AtomicPtr::from_ptr(&raw mut (*worker).cp);
        if !place.load(Ordering::Acquire).is_null() {
            return;
        }
        // In mod_proxy's order: addresses outlive connections.
        let (dns_pool, pool) = (sub_pool(base), sub_pool(base));
        if dns_pool.is_null() || pool.is_null() {
            return;
        }
        let connections: *mut ffi::proxy_conn_pool =
            ffi::apr_palloc(pool, size_of::<ffi::proxy_conn_pool>()).cast();
        connections.write_bytes(0, 1);
        (*connections).pool = pool;
        (*connections).dns_pool = dns_pool;
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let made = place.compare_exchange(ptr::null_mut(), connections, order.0, order.1);
        if made.is_ok() {
            ffi::apr_pool_pre_cleanup_register(base, worker.cast(), Some(forget));
        }
    }
}

/// The base goes, where one process is all of httpd (`httpd -X`): as mod_proxy does, keeps it from
/// destroying pools of connections that go by themselves.
unsafe extern "C" fn forget(worker: *mut c_void) -> ffi::apr_status_t {
    // SAFETY: `share` registers it for a worker, which outlives the base.
    unsafe { (*worker.cast::<ffi::proxy_worker>()).cp = ptr::null_mut() };
    ffi::APR_SUCCESS
}

/// A part of a pool, with the same allocator; NULL without memory.
///
/// # Safety
/// `parent` is live, and nobody else uses it meanwhile.
pub unsafe fn sub_pool(parent: *mut ffi::apr_pool_t) -> *mut ffi::apr_pool_t {
    let mut pool = ptr::null_mut();
    // SAFETY: the caller's promise.
    unsafe { ffi::apr_pool_create_ex(&raw mut pool, parent, None, ptr::null_mut()) };
    pool
}
