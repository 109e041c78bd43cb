//! One of our methods, chosen in balancer-manager while the engine is off, for a balancer that had
//! another one when httpd started: the board does not know its members until the next (graceful)
//! restart. Until then mod_proxy's own counters decide: fewest requests in flight per weight, of
//! equals the one elected least for its weight.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::guard::guard;
use crate::log::{self, Level};
use crate::{ffi, naming};

/// This child has said so.
static SAID: AtomicBool = AtomicBool::new(false);

type IsBest =
    unsafe extern "C" fn(*mut ffi::proxy_worker, *mut ffi::proxy_worker, *mut c_void) -> c_int;
type GetBest = unsafe extern "C" fn(
    *mut ffi::proxy_balancer,
    *mut ffi::request_rec,
    Option<IsBest>,
    *mut c_void,
) -> *mut ffi::proxy_worker;

/// Chooses by mod_proxy's own loop.
///
/// # Safety
/// As for finders: a live balancer and request, the balancer's thread lock held.
pub unsafe fn find(
    balancer: *mut ffi::proxy_balancer,
    r: *mut ffi::request_rec,
) -> *mut ffi::proxy_worker {
    // SAFETY: the caller's promise; the optional function of this name has this type
    // (mod_proxy.h).
    unsafe {
        if !SAID.swap(true, Ordering::Relaxed) {
            let name = naming::read_text(&(*(*balancer).s).name);
            log::request(
                Level::Warning,
                r,
                &format!(
                    "ATH0153: {name} got its lbmethod at run time: until the next restart it goes \
                     by mod_proxy's own counters"
                ),
            );
        }
        let get_best: Option<GetBest> = std::mem::transmute(ffi::apr_dynamic_fn_retrieve(
            c"proxy_balancer_get_best_worker".as_ptr(),
        ));
        get_best.map_or(std::ptr::null_mut(), |get_best| {
            get_best(balancer, r, Some(is_best), std::ptr::null_mut())
        })
    }
}

unsafe extern "C" fn is_best(
    current: *mut ffi::proxy_worker,
    best: *mut ffi::proxy_worker,
    _baton: *mut c_void,
) -> c_int {
    guard!("is_best", 0, {
        // SAFETY: mod_proxy calls with a live worker, and with NULL or the best so far.
        let (current, best) = unsafe {
            let Some(best) = best.as_ref() else { return 1 };
            (&*(*current).s, &*best.s)
        };
        let per_weight = |count: fn(&ffi::proxy_worker_shared) -> usize| {
            let of = |mine: &ffi::proxy_worker_shared, other: &ffi::proxy_worker_shared| {
                count(mine) as u128 * u128::from(other.lbfactor.unsigned_abs())
            };
            of(current, best).cmp(&of(best, current))
        };
        match per_weight(|shared| shared.busy) {
            Less => 1,
            Equal => c_int::from(per_weight(|shared| shared.elected) == Less),
            Greater => 0,
        }
    })
}
