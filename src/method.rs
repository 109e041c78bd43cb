//! `lbmethod` changed at run time. mod_proxy keeps the method as a pointer in each process, so every
//! child has to follow: by the name that mod_proxy_balancer shares where it is loaded
//! ([`crate::foreign::follow`]), else by the board.

use std::ffi::CString;
use std::sync::atomic::Ordering;

use crate::farm::Farm;
use crate::foreign::ThreadLock;
use crate::rule::Rule;
use crate::{ffi, naming, provider};

/// Whether a farm can go by the method of that name.
pub fn check(farm: &Farm, name: &str) -> Result<(), String> {
    let said = |what: &str| Err(format!("method={name}: {what}"));
    let provider = CString::new(name)
        .ok()
        .and_then(|name| provider::named(&name));
    match provider.and_then(|provider| Rule::of(provider)) {
        None => said("there is no such lbmethod"),
        Some(Rule::Menu(method)) if method.wants_key() && farm.seat.plan.capacity().table == 0 => {
            said(
                "needs a table that only a start makes: write it in the configuration, then restart gracefully",
            )
        }
        Some(_) if name == "stats" && farm.params.score.is_none() => said("needs score=FORMULA"),
        Some(_) => Ok(()),
    }
}

/// Puts the method of that name in force in this process, and tells the others.
pub fn put(farm: &Farm, name: &str) {
    let provider = CString::new(name)
        .ok()
        .and_then(|name| provider::named(&name));
    let Some(provider) = provider else { return };
    for copy in farm.growth.copies() {
        let Some(_lock) = ThreadLock::of(copy.balancer, farm) else {
            continue;
        };
        // SAFETY: balancers and their shared parts live as long as the configuration; the pointer is
        // replaced whole, as mod_proxy_balancer does, under the balancer's thread lock.
        unsafe {
            give(copy.balancer, provider, name);
            if is_shared(copy.balancer) {
                (*(*copy.balancer).s).wupdated = ffi::apr_time_now();
            }
        }
    }
}

/// A balancer goes by the method of that name.
///
/// # Safety
/// A live balancer that nobody else changes now, and a provider that lives as long.
pub unsafe fn give(
    balancer: *mut ffi::proxy_balancer,
    provider: *mut ffi::proxy_balancer_method,
    name: &str,
) {
    // SAFETY: the caller's promise.
    unsafe {
        (*balancer).lbmethod = provider;
        naming::write(&mut (*(*balancer).s).lbpname, name);
    }
}

/// The start: what people had set is in force for all children.
pub fn begin(farm: &Farm) {
    if let Some(name) = farm.seat.record.changed.method.get() {
        put(farm, &name);
    }
}

/// Takes over a method that another child put in force. Costs a load and a branch.
pub fn follow(farm: &Farm) {
    let version = farm.seat.record.changed.method.version();
    if farm.method_seen.load(Ordering::Relaxed) == version {
        return;
    }
    take_over(farm, version);
}

#[cold]
fn take_over(farm: &Farm, version: u32) {
    farm.method_seen.store(version, Ordering::Relaxed);
    if !is_shared(farm.balancer) {
        put(farm, &farm.state().extras.method);
    }
}

/// Whether somebody changed the method in balancer-manager of mod_proxy_balancer.
pub fn differs(farm: &Farm) -> bool {
    is_shared(farm.balancer) && farm.method_name() != farm.state().extras.method
}

/// Keeps such a change on the board; what became different. The caller holds the farm's lock.
pub fn pull(farm: &Farm) -> Option<String> {
    if !differs(farm) {
        return None;
    }
    let before = farm.state();
    let mut after = before.clone();
    after.extras.method = farm.method_name();
    after.store(farm.seat.record, &farm.extras);
    after.difference(&before)
}

/// mod_proxy_balancer shares this balancer with all children.
fn is_shared(balancer: *const ffi::proxy_balancer) -> bool {
    // SAFETY: null, or a balancer, which lives as long as the configuration.
    unsafe { balancer.as_ref() }.is_some_and(|balancer| !balancer.storage.is_null())
}
