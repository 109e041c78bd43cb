//! mod_proxy's functions, found at run time. A direct reference would make `LoadModule` fail
//! wherever `athena.load` sorts before `proxy.load`, as in Debian's layout.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::ffi;

type PreRequest = unsafe extern "C" fn(
    *mut *mut ffi::proxy_worker,
    *mut *mut ffi::proxy_balancer,
    *mut ffi::request_rec,
    *mut ffi::proxy_server_conf,
    *mut *mut c_char,
) -> c_int;
type PostRequest = unsafe extern "C" fn(
    *mut ffi::proxy_worker,
    *mut ffi::proxy_balancer,
    *mut ffi::request_rec,
    *mut ffi::proxy_server_conf,
) -> c_int;
type SchemeHandler = unsafe extern "C" fn(
    *mut ffi::request_rec,
    *mut ffi::proxy_worker,
    *mut ffi::proxy_server_conf,
    *mut c_char,
    *const c_char,
    ffi::apr_port_t,
) -> c_int;
type CanonHandler = unsafe extern "C" fn(*mut ffi::request_rec, *mut c_char) -> c_int;
type Hook<F> = unsafe extern "C" fn(F, *const *const c_char, *const *const c_char, c_int);

/// What this module calls in mod_proxy.
#[derive(Clone, Copy)]
pub struct Proxy {
    /// mod_proxy's module record, for its configuration.
    pub module: *mut ffi::module,
    pub hook_pre_request: Hook<PreRequest>,
    pub hook_post_request: Hook<PostRequest>,
    pub hook_scheme_handler: Hook<SchemeHandler>,
    pub hook_canon_handler: Hook<CanonHandler>,
    /// Runs the protocol modules' own handlers (and ours, which then declines).
    pub run_scheme_handler: SchemeHandler,
    /// Canonicalises `r->filename` for its scheme.
    pub canon_url: unsafe extern "C" fn(*mut ffi::request_rec) -> c_int,
    pub initialize_worker: unsafe extern "C" fn(
        *mut ffi::proxy_worker,
        *mut ffi::server_rec,
        *mut ffi::apr_pool_t,
    ) -> ffi::apr_status_t,
    pub define_worker: unsafe extern "C" fn(
        *mut ffi::apr_pool_t,
        *mut *mut ffi::proxy_worker,
        *mut ffi::proxy_balancer,
        *mut ffi::proxy_server_conf,
        *const c_char,
        c_int,
    ) -> *mut c_char,
    pub share_worker: unsafe extern "C" fn(
        *mut ffi::proxy_worker,
        *mut ffi::proxy_worker_shared,
        c_int,
    ) -> ffi::apr_status_t,
    pub sync_balancer: unsafe extern "C" fn(
        *mut ffi::proxy_balancer,
        *mut ffi::server_rec,
        *mut ffi::proxy_server_conf,
    ) -> ffi::apr_status_t,
    pub get_balancer: unsafe extern "C" fn(
        *mut ffi::apr_pool_t,
        *mut ffi::proxy_server_conf,
        *const c_char,
        c_int,
    ) -> *mut ffi::proxy_balancer,
    pub get_worker: unsafe extern "C" fn(
        *mut ffi::apr_pool_t,
        *mut ffi::proxy_balancer,
        *mut ffi::proxy_server_conf,
        *const c_char,
    ) -> *mut ffi::proxy_worker,
}

static FOUND: AtomicPtr<Proxy> = AtomicPtr::new(ptr::null_mut());

/// mod_proxy as found by [`find`] in this configuration pass.
pub fn get() -> Option<&'static Proxy> {
    // SAFETY: the pointer is null or was leaked by `find` and is never freed.
    unsafe { FOUND.load(Ordering::Acquire).as_ref() }
}

/// Looks mod_proxy up, once a configuration pass: all `LoadModule` lines are done, and its
/// addresses may differ from those of the pass before. Gives `None` when it is not loaded.
pub fn find() -> Option<&'static Proxy> {
    FOUND.store(ptr::null_mut(), Ordering::Release);
    let proxy = lookup()?;
    // One small leak a configuration pass: the table must outlive every request that reads it.
    FOUND.store(Box::into_raw(Box::new(proxy)), Ordering::Release);
    get()
}

fn lookup() -> Option<Proxy> {
    // SAFETY: each symbol is declared in mod_proxy.h or proxy_util.h of httpd 2.4 with the type it
    // gets here; mod_proxy stays loaded as long as this module, since both unload with the pass.
    unsafe {
        Some(Proxy {
            module: symbol(c"proxy_module")?.cast(),
            hook_pre_request: typed(symbol(c"proxy_hook_pre_request")?),
            hook_post_request: typed(symbol(c"proxy_hook_post_request")?),
            hook_scheme_handler: typed(symbol(c"proxy_hook_scheme_handler")?),
            hook_canon_handler: typed(symbol(c"proxy_hook_canon_handler")?),
            run_scheme_handler: typed(symbol(c"proxy_run_scheme_handler")?),
            canon_url: typed(symbol(c"ap_proxy_canon_url")?),
            initialize_worker: typed(symbol(c"ap_proxy_initialize_worker")?),
            define_worker: typed(symbol(c"ap_proxy_define_worker")?),
            share_worker: typed(symbol(c"ap_proxy_share_worker")?),
            sync_balancer: typed(symbol(c"ap_proxy_sync_balancer")?),
            get_balancer: typed(symbol(c"ap_proxy_get_balancer")?),
            get_worker: typed(symbol(c"ap_proxy_get_worker")?),
        })
    }
}

/// Whether a module record of that name is loaded.
pub fn is_loaded(module: &CStr) -> bool {
    symbol(module).is_some()
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: dlsym reads a NUL-terminated name.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// Gives an address the function type it has in C.
///
/// # Safety
/// `F` is the pointer type of the function at `address`.
unsafe fn typed<F: Copy>(address: *mut c_void) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: same size by the assertion; the caller promises the type.
    unsafe { std::mem::transmute_copy(&address) }
}

impl Proxy {
    /// mod_proxy's configuration of a server.
    pub fn conf(&self, s: *const ffi::server_rec) -> *mut ffi::proxy_server_conf {
        // SAFETY: httpd calls with live server records; mod_proxy creates a configuration for each.
        unsafe { ffi::ath_shim_get_config((*s).module_config, self.module).cast() }
    }
}

/// mod_proxy's rule for a worker in error: usable again when its `retry` has passed.
pub fn retry_worker(worker: *mut ffi::proxy_worker, s: *mut ffi::server_rec) {
    type Retry =
        unsafe extern "C" fn(*const c_char, *mut ffi::proxy_worker, *mut ffi::server_rec) -> c_int;
    // SAFETY: the optional function of this name has this type (mod_proxy.h); worker and server
    // live as long as the configuration.
    unsafe {
        let function: Option<Retry> = std::mem::transmute(ffi::apr_dynamic_fn_retrieve(
            c"ap_proxy_retry_worker".as_ptr(),
        ));
        if let Some(retry) = function {
            retry(c"ATHENA".as_ptr(), worker, s);
        }
    }
}

/// Steps through an APR array of structures by the running httpd's element size: structures grow
/// at their ends within 2.4.x, so ours may be smaller.
///
/// # Safety
/// `array` is NULL or a live APR array whose elements begin with a `T`.
pub unsafe fn elements<T>(array: *const ffi::apr_array_header_t) -> impl Iterator<Item = *mut T> {
    // SAFETY: the caller's promise; element i lies at i * elt_size.
    let (base, size, count) = match unsafe { array.as_ref() } {
        Some(array) => (
            array.elts,
            array.elt_size as usize,
            array.nelts.max(0) as usize,
        ),
        None => (ptr::null_mut(), 0, 0),
    };
    (0..count).map(move |index| base.wrapping_add(index * size).cast::<T>())
}
