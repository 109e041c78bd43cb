//! Our methods as `proxylbmethod` providers, so that `ProxySet lbmethod=` knows them: for the
//! engine, and for stock mod_proxy_balancer while the engine is off.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::Ordering;

use athena_engine::dispatch::Election;
use athena_engine::method::{MENU, Method};

use crate::farm::Farm;
use crate::ffi::{self, APR_SUCCESS};
use crate::guard::guard;
use crate::{clock, proxy, random, runtime};

const GROUP: &CStr = c"proxylbmethod";
const VERSION: &CStr = c"0";

type Finder =
    unsafe extern "C" fn(*mut ffi::proxy_balancer, *mut ffi::request_rec) -> *mut ffi::proxy_worker;

/// Methods that stock httpd has a module for: theirs is left alone where it is loaded.
const STOCK: [&str; 2] = ["byrequests", "bybusyness"];

/// Registers the methods. Called in pre_config, when all modules have registered theirs.
///
/// # Safety
/// `pool` is the configuration's.
pub unsafe fn register(pool: *mut ffi::apr_pool_t) {
    for method in MENU {
        // SAFETY: the caller's promise; the names and the provider live in the pool, as long as
        // the registration.
        unsafe {
            let name = crate::pool::text(pool, method.name());
            let taken = !ffi::ap_lookup_provider(GROUP.as_ptr(), name, VERSION.as_ptr()).is_null();
            if taken && STOCK.contains(&method.name()) {
                continue;
            }
            let provider: *mut ffi::proxy_balancer_method =
                ffi::apr_palloc(pool, size_of::<ffi::proxy_balancer_method>()).cast();
            provider.write(ffi::proxy_balancer_method {
                name,
                finder: Some(finder),
                context: std::ptr::null_mut(),
                reset: Some(nothing),
                age: Some(nothing),
                updatelbstatus: Some(update),
            });
            ffi::ap_register_provider(
                pool,
                GROUP.as_ptr(),
                name,
                VERSION.as_ptr(),
                provider.cast::<c_void>(),
            );
        }
    }
}

/// The method that a provider's name stands for.
pub fn method_of(provider: *const ffi::proxy_balancer_method) -> Option<&'static dyn Method> {
    // SAFETY: null, or a provider that its module registered for the life of the configuration.
    let name: *const c_char = unsafe { provider.as_ref()? }.name;
    if name.is_null() {
        return None;
    }
    // SAFETY: providers have NUL-terminated names.
    athena_engine::method::by_name(unsafe { CStr::from_ptr(name) }.to_str().ok()?)
}

/// Whether a balancer's provider is one that this module registered.
pub fn is_ours(provider: *const ffi::proxy_balancer_method) -> bool {
    // SAFETY: null, or a provider of the running configuration.
    unsafe { provider.as_ref() }.is_some_and(|provider| {
        provider
            .finder
            .is_some_and(|found| std::ptr::fn_addr_eq(found, finder as Finder))
    })
}

/// mod_proxy_balancer asks for a member (it holds the balancer's thread lock).
unsafe extern "C" fn finder(
    balancer: *mut ffi::proxy_balancer,
    _r: *mut ffi::request_rec,
) -> *mut ffi::proxy_worker {
    guard!("finder", std::ptr::null_mut(), {
        let Some(farm) = runtime::farm_of_balancer(balancer) else {
            return std::ptr::null_mut();
        };
        find(balancer, farm)
    })
}

fn find(balancer: *mut ffi::proxy_balancer, farm: &Farm) -> *mut ffi::proxy_worker {
    retry_errors(farm);
    let election = Election {
        farm: farm.seat.record,
        plan: farm.seat.plan.read(farm.seat.record),
        lineup: farm,
        method: farm.method(balancer),
        tried: &[],
        force: false,
        half_life: farm.half_life(),
        now: clock::now(),
    };
    random::with(|random| election.run(random))
        .and_then(|elected| farm.member_by_id(elected.id))
        .map_or(std::ptr::null_mut(), |member| member.worker)
}

/// Errors are mod_proxy's own while the engine is off: its rule decides who may be tried again.
fn retry_errors(farm: &Farm) {
    let in_error = ffi::PROXY_WORKER_IN_ERROR.unsigned_abs();
    for member in farm
        .members
        .iter()
        .filter(|member| member.status() & in_error != 0)
    {
        proxy::retry_worker(member.worker, farm.server_rec);
    }
}

unsafe extern "C" fn nothing(
    _balancer: *mut ffi::proxy_balancer,
    _s: *mut ffi::server_rec,
) -> ffi::apr_status_t {
    APR_SUCCESS
}

/// A sticky request went to its member: the rotation takes note of it by its counters alone.
unsafe extern "C" fn update(
    balancer: *mut ffi::proxy_balancer,
    elected: *mut ffi::proxy_worker,
    _s: *mut ffi::server_rec,
) -> ffi::apr_status_t {
    guard!("updatelbstatus", APR_SUCCESS, {
        let Some(farm) = runtime::farm_of_balancer(balancer) else {
            return APR_SUCCESS;
        };
        if let Some(member) = farm.members.iter().find(|member| member.worker == elected) {
            member.record().hot.lbstatus.fetch_sub(
                i64::from(member.record().admin.weight.load(Ordering::Relaxed)),
                Ordering::Relaxed,
            );
        }
        APR_SUCCESS
    })
}
