//! Our methods as `proxylbmethod` providers, so that `ProxySet lbmethod=` knows them: for the
//! engine, and for stock mod_proxy_balancer while the engine is off. Methods of other modules
//! (`mod_athena.h`) become such providers here as well.

use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::time::Duration;

use athena_engine::method::{self, Anew, MENU};

use crate::farm::Farm;
use crate::ffi::{self, APR_SUCCESS};
use crate::guard::guard;
use crate::log;
use crate::rule::{Asked, Rule};
use crate::{edits, elect, growth, heartbeat, proxy, random, refresh, runtime, unlisted};

const GROUP: &CStr = c"proxylbmethod";
const VERSION: &CStr = c"0";

/// mod_proxy's PROXY_MAX_PROVIDER_NAME_SIZE, without the NUL.
const NAME_MAX: usize = ffi::PROXY_MAX_PROVIDER_NAME_SIZE as usize - 1;

type Finder =
    unsafe extern "C" fn(*mut ffi::proxy_balancer, *mut ffi::request_rec) -> *mut ffi::proxy_worker;

/// Registers the methods under every name that nobody else has. Called in pre_config, when all
/// modules have registered theirs.
///
/// # Safety
/// `pool` is the configuration's.
pub unsafe fn register(pool: *mut ffi::apr_pool_t) {
    for method in MENU {
        let name = CString::new(method.name()).unwrap_or_default();
        // SAFETY: the caller's promise.
        unsafe {
            if is_free(&name) {
                add(pool, &name, ptr::null_mut());
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        if is_free(heartbeat::NAME) && heartbeat::begin(pool) {
            add(pool, heartbeat::NAME, ptr::null_mut());
        }
    }
    // SAFETY: the caller's promise; the group's providers are `athena_method`s by mod_athena.h.
    unsafe {
        let (group, version) = (ffi::ATHENA_METHOD_GROUP, ffi::ATHENA_METHOD_VERSION);
        for name in listed(pool, group, version) {
            let method = ffi::ap_lookup_provider(group.as_ptr(), name.as_ptr(), version.as_ptr());
            let fault = if name.count_bytes() > NAME_MAX {
                "its name has more than 15 characters"
            } else if !is_free(&name) || method::by_name(&name.to_string_lossy()).is_some() {
                "another method has its name"
            } else if method
                .cast::<ffi::athena_method>()
                .as_ref()
                .is_none_or(|method| method.pick.is_none() || method.name.is_null())
            {
                "it lacks a name or a pick callback"
            } else {
                add(pool, &name, method);
                continue;
            };
            log::error(&format!(
                "ATH0152: method {} of another module is left out: {fault}",
                name.to_string_lossy()
            ));
        }
    }
}

fn is_free(name: &CStr) -> bool {
    named(name).is_none()
}

/// The provider of that name.
pub fn named(name: &CStr) -> Option<*mut ffi::proxy_balancer_method> {
    // SAFETY: NUL-terminated names; a look-up only reads.
    let found = unsafe { ffi::ap_lookup_provider(GROUP.as_ptr(), name.as_ptr(), VERSION.as_ptr()) };
    (!found.is_null()).then_some(found.cast())
}

/// Registers one provider; `context` is null for a method of the menu.
unsafe fn add(pool: *mut ffi::apr_pool_t, name: &CStr, context: *mut c_void) {
    // SAFETY: the caller's promise; name and provider live in the pool, as long as the
    // registration.
    unsafe {
        let name = ffi::apr_pstrdup(pool, name.as_ptr());
        let provider: *mut ffi::proxy_balancer_method =
            ffi::apr_palloc(pool, size_of::<ffi::proxy_balancer_method>()).cast();
        provider.write(ffi::proxy_balancer_method {
            name,
            finder: Some(finder),
            context,
            reset: Some(reset),
            age: Some(age),
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

/// The names of a group's providers.
unsafe fn listed(pool: *mut ffi::apr_pool_t, group: &CStr, version: &CStr) -> Vec<CString> {
    // SAFETY: the caller's promise; httpd gives NULL or an array of this type in the pool.
    unsafe {
        let names = ffi::ap_list_provider_names(pool, group.as_ptr(), version.as_ptr());
        proxy::elements::<ffi::ap_list_provider_names_t>(names)
            .map(|entry| CStr::from_ptr((*entry).provider_name).to_owned())
            .collect()
    }
}

/// `None` if `lbmethod=` may have this value, else those it may have.
///
/// # Safety
/// As [`register`], after it.
pub unsafe fn alternatives_to(pool: *mut ffi::apr_pool_t, name: &str) -> Option<Vec<String>> {
    let known = CString::new(name).is_ok_and(|name| !is_free(&name)) && name.len() <= NAME_MAX;
    if known {
        return None;
    }
    // SAFETY: the caller's promise.
    let names = unsafe { listed(pool, GROUP, VERSION) };
    let mut names: Vec<String> = names
        .into_iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    Some(names)
}

/// The method of another module that a provider stands for.
pub fn extension_of(provider: &ffi::proxy_balancer_method) -> Option<&'static ffi::athena_method> {
    if !is_ours(provider) {
        return None;
    }
    // SAFETY: `add` sets the context of our providers to null or to such a method, which lives as
    // long as its registration.
    unsafe { provider.context.cast::<ffi::athena_method>().as_ref() }
}

/// Whether a balancer's provider is one that this module registered.
pub fn is_ours(provider: *const ffi::proxy_balancer_method) -> bool {
    // SAFETY: null, or a provider of the running configuration.
    unsafe { provider.as_ref() }.is_some_and(|provider| {
        provider
            .finder
            .is_some_and(|found| ptr::fn_addr_eq(found, finder as Finder))
    })
}

/// mod_proxy_balancer asks for a member (it holds the balancer's thread lock).
unsafe extern "C" fn finder(
    balancer: *mut ffi::proxy_balancer,
    r: *mut ffi::request_rec,
) -> *mut ffi::proxy_worker {
    guard!("finder", ptr::null_mut(), {
        // SAFETY: mod_proxy_balancer calls with a live balancer and request.
        unsafe {
            match runtime::farm_of_balancer(balancer) {
                Some(farm) => find(balancer, farm, r),
                None => unlisted::find(balancer, r),
            }
        }
    })
}

unsafe fn find(
    balancer: *mut ffi::proxy_balancer,
    farm: &Farm,
    r: *mut ffi::request_rec,
) -> *mut ffi::proxy_worker {
    // mod_proxy_balancer holds the balancer's thread lock, and has brought its list up to date.
    growth::seat_newcomers(farm);
    follow_members(farm);
    // SAFETY: the caller's promise.
    let asked = unsafe { Asked::by(r, farm, balancer) };
    let election = elect::election(farm, &asked, &[], &|| false);
    election
        .run(&mut random::of(r, election.now))
        .ok()
        .and_then(|elected| farm.member_by_id(elected.id))
        .map_or(ptr::null_mut(), |member| member.worker)
}

/// While the engine is off, errors are mod_proxy's own and may come and go with any request, as may
/// edits in balancer-manager: its rule decides who may be tried again, and the plan follows at once,
/// so that spares, standbys and the next set stand in as they do in stock httpd.
fn follow_members(farm: &Farm) {
    let in_error = ffi::PROXY_WORKER_IN_ERROR.unsigned_abs();
    // While somebody else changes the farm, its edits are left to the next request.
    let mut changed = edits::pull(farm, Duration::ZERO) > 0;
    for member in &farm.members {
        if member.status() & in_error != 0 {
            proxy::retry_worker(member.worker, farm.server_rec);
        }
        changed |= member.error_moved();
    }
    if changed {
        refresh::request(farm);
    } else {
        refresh::if_stale(farm);
    }
}

/// mod_proxy_balancer's method changed; or it learned of other members, after somebody put one back in
/// service.
unsafe extern "C" fn reset(
    balancer: *mut ffi::proxy_balancer,
    _s: *mut ffi::server_rec,
) -> ffi::apr_status_t {
    guard!("reset", APR_SUCCESS, {
        if let Some(farm) = runtime::farm_of_balancer(balancer) {
            farm.start_anew(Anew::Method);
        }
        APR_SUCCESS
    })
}

/// Nobody in httpd 2.4 calls it, and our figures age by themselves.
unsafe extern "C" fn age(
    _balancer: *mut ffi::proxy_balancer,
    _s: *mut ffi::server_rec,
) -> ffi::apr_status_t {
    APR_SUCCESS
}

/// A sticky request went to its member: the rotation's balance takes note, as stock httpd's does.
unsafe extern "C" fn update(
    balancer: *mut ffi::proxy_balancer,
    elected: *mut ffi::proxy_worker,
    _s: *mut ffi::server_rec,
) -> ffi::apr_status_t {
    guard!("updatelbstatus", APR_SUCCESS, {
        if let Some(farm) = runtime::farm_of_balancer(balancer)
            && let Some(member) = farm.member_of(elected)
            && let Rule::Menu(method) = farm.rule(balancer)
        {
            farm.passed_over(method, member);
        }
        APR_SUCCESS
    })
}
