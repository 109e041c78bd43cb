//! The front worker: what mod_proxy is handed for a request to a farm. It is never in error, so that
//! mod_proxy's own retry loop stays out of the way, and never used for a connection.

use crate::{ffi, naming};

/// The front worker of a farm.
///
/// # Safety
/// `pool` is the configuration's.
pub unsafe fn front(pool: *mut ffi::apr_pool_t, name: &str) -> *mut ffi::proxy_worker {
    /// Room for what a later 2.4 may append to its structures.
    const SLACK: usize = 512;
    unsafe fn zeroed<T>(pool: *mut ffi::apr_pool_t) -> *mut T {
        // SAFETY: apr_palloc gives that many bytes or aborts; all-zero is valid for these C
        // structures.
        unsafe {
            let place: *mut u8 = ffi::apr_palloc(pool, size_of::<T>() + SLACK).cast();
            place.write_bytes(0, size_of::<T>() + SLACK);
            place.cast()
        }
    }
    // SAFETY: the caller's promise; freshly made structures.
    unsafe {
        let worker: *mut ffi::proxy_worker = zeroed(pool);
        let shared: *mut ffi::proxy_worker_shared = zeroed(pool);
        let url = format!("balancer://{name}");
        naming::write(&mut (*shared).name, &url);
        naming::write(&mut (*shared).name_ex, &url);
        let ready = ffi::PROXY_WORKER_INITIALIZED.unsigned_abs();
        // Errors on the way to a member are dealt with here: mod_proxy never marks the front.
        (*shared).status = ready | ffi::PROXY_WORKER_IGNORE_ERRORS.unsigned_abs();
        (*worker).local_status = ready;
        (*worker).s = shared;
        worker
    }
}
