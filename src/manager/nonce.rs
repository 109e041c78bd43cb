//! The nonce of a farm's forms, as mod_proxy keeps it.

use crate::{ffi, naming};

/// mod_proxy's PROXY_UNSET_NONCE.
const UNSET: u8 = b'\n';

/// The nonce of a farm's forms; empty for `nonce=None`.
pub fn of(balancer: *mut ffi::proxy_balancer) -> String {
    // SAFETY: balancers and their shared parts live as long as the configuration.
    naming::read_text(unsafe { &(*(*balancer).s).nonce })
}

/// Gives a balancer without `nonce=` one of its own. Elsewhere mod_proxy_balancer does.
///
/// # Safety
/// Called in post_config, before any child exists.
pub unsafe fn make(balancer: *mut ffi::proxy_balancer) -> Result<(), String> {
    // SAFETY: the caller's promise.
    let place = unsafe { &mut (*(*balancer).s).nonce };
    if place.first().map(|byte| byte.cast_unsigned()) != Some(UNSET) {
        return Ok(());
    }
    let mut random = [0_u8; 16];
    // SAFETY: fills as many bytes as there are.
    let made = unsafe { ffi::apr_generate_random_bytes(random.as_mut_ptr(), random.len()) };
    if made != ffi::APR_SUCCESS {
        return Err("no random bytes for the manager's nonce".to_owned());
    }
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    naming::write(place, &text);
    Ok(())
}
