//! The per-generation part: one mapping of this configuration pass that holds mod_proxy's shared
//! structures of the workers, where mod_proxy_balancer is not there to share them. Without it each
//! child would keep its own copy, and make each discovery for itself.

use std::ffi::c_int;

use crate::growth::Slot;
use crate::{ffi, proxy};

/// Structures grow at their ends within httpd 2.4: mod_proxy copies as many bytes as its own
/// structure has, which may be more than the one this module was built with.
const SLACK: usize = 512;
const STRIDE: usize = (size_of::<ffi::proxy_worker_shared>() + SLACK).next_multiple_of(64);

/// Shared anonymous memory of one generation; unmapped in the parent when its configuration goes.
pub struct Generation {
    base: *mut u8,
    length: usize,
    /// How many slots are workers' of the configuration.
    shared: usize,
}

impl Generation {
    /// Moves the workers' shared parts into a new mapping, with `spares` zeroed slots behind them. `None`:
    /// there is nothing to share.
    ///
    /// # Errors
    /// The memory cannot be had.
    ///
    /// # Safety
    /// Called in the parent, before any child of this configuration exists; the workers live as
    /// long as the configuration.
    pub unsafe fn share(
        workers: &[*mut ffi::proxy_worker],
        spares: usize,
    ) -> Result<Option<Self>, String> {
        let Some(proxy) = proxy::get() else {
            return Ok(None);
        };
        let length = (workers.len() + spares) * STRIDE;
        if length == 0 {
            return Ok(None);
        }
        // SAFETY: a fresh anonymous mapping; the result is checked. It is zeroed, so that
        // mod_proxy takes no slot for one that is in use already.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(format!(
                "{length} bytes of shared memory for the workers: {error}"
            ));
        }
        let generation = Self {
            base: base.cast(),
            length,
            shared: workers.len(),
        };
        for (index, worker) in workers.iter().enumerate() {
            // SAFETY: slot `index` lies within the mapping; the caller's promise for the worker.
            unsafe {
                let slot = generation.slot(index);
                (proxy.share_worker)(*worker, slot, c_int::try_from(index).unwrap_or(c_int::MAX));
                // mod_proxy_hcheck skips workers that were never updated.
                if (*slot).updated == 0 {
                    (*slot).updated = ffi::apr_time_now();
                }
            }
        }
        Ok(Some(generation))
    }

    fn slot(&self, index: usize) -> Slot {
        // Within the mapping: callers count up to what it has room for.
        self.base.wrapping_add(index * STRIDE).cast()
    }

    /// The slots for workers that are made at run time.
    pub fn spares(&self) -> impl Iterator<Item = Slot> {
        (self.shared..self.length / STRIDE).map(|index| self.slot(index))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // SAFETY: mapped by `share` with this length; the configuration that pointed into it is
        // being destroyed.
        unsafe { libc::munmap(self.base.cast(), self.length) };
    }
}
