//! A connection's memory, asked for ahead of its use.
//!
//! Among many members, the connection to one has left the processor's caches since its last request.
//! mod_proxy, httpd and APR go through some 40 lines of it, and wait for one after the other. When the
//! member is chosen they are asked for all at once, and come while the request is prepared.
//!
//! Addresses are noted when a connection is made, and never followed: once it has gone, the processor
//! fetches what nobody needs.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::farm::{Farm, Member};
use crate::ffi;

/// So few connections stay in the caches by themselves.
const FEW: usize = 32;
/// Bytes of a line.
const LINE: usize = 64;
/// How many lines a request goes through behind each [`Places`] address.
const LINES: [usize; 3] = [5, 28, 20];

/// Of a member's latest connection in this child: the pool of mod_proxy's part; that of httpd's, with its
/// socket and filters; the bucket allocator, with the first buckets. 0: it has had none.
#[derive(Default)]
pub struct Places([AtomicUsize; LINES.len()]);

impl Places {
    /// Asks for what lies there.
    #[inline]
    pub fn fetch(&self) {
        for (place, lines) in self.0.iter().zip(LINES) {
            let address = place.load(Ordering::Relaxed);
            if address == 0 {
                return;
            }
            for line in 0..lines {
                prefetch(address.wrapping_add(line * LINE));
            }
        }
    }
}

thread_local! {
    /// The places of the member that this thread makes an attempt at.
    static MEMBER: Cell<*const Places> = const { Cell::new(ptr::null()) };
}

/// Makes an attempt at a member; a connection that is made for it is noted where a farm has many.
pub fn during<T>(farm: Option<&Farm>, member: &Member, attempt: impl FnOnce() -> T) -> T {
    let many = farm.is_some_and(|farm| farm.members.len() > FEW);
    if !many {
        return attempt();
    }
    MEMBER.set(&raw const member.warm);
    let result = attempt();
    MEMBER.set(ptr::null());
    result
}

/// Notes a connection that this thread makes for an attempt; others are passed over.
///
/// # Safety
/// `connection` is live.
pub unsafe fn note(connection: *mut ffi::conn_rec) {
    // SAFETY: members outlive attempts at them.
    let Some(places) = (unsafe { MEMBER.get().as_ref() }) else {
        return;
    };
    // SAFETY: the caller's promise.
    let addresses = unsafe {
        let pool = (*connection).pool;
        [
            ffi::apr_pool_parent_get(pool).addr(),
            pool.addr(),
            (*connection).bucket_alloc.addr(),
        ]
    };
    for (place, address) in places.0.iter().zip(addresses) {
        place.store(address, Ordering::Relaxed);
    }
}

/// A hint: no access, at whatever address.
#[inline]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: never faults; each x86-64 has the instruction.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_followed() {
        let places = Places::default();
        places.fetch();
        for address in [1, usize::MAX, 0xdead_beef_0000_0000] {
            places
                .0
                .iter()
                .for_each(|place| place.store(address, Ordering::Relaxed));
            places.fetch();
        }
    }
}
