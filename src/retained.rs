//! What survives a graceful restart in the parent: the board's directory, as plain bytes. Nothing
//! that points into this library may be kept: it may be unloaded and loaded again in between.

use std::ffi::{CStr, c_void};

use crate::ffi;

const KEY: &CStr = c"mod_athena board";

/// Bytes from malloc, which no unloading touches.
#[repr(C)]
struct Kept {
    bytes: *mut c_void,
    length: usize,
}

fn place(create: bool) -> Option<&'static mut Kept> {
    // SAFETY: httpd keeps the block, zeroed at first, in its process pool; called in the parent's
    // one thread.
    unsafe {
        let mut place = ffi::ap_retained_data_get(KEY.as_ptr());
        if place.is_null() && create {
            place = ffi::ap_retained_data_create(KEY.as_ptr(), size_of::<Kept>());
        }
        place.cast::<Kept>().as_mut()
    }
}

/// What the configuration pass before kept.
pub fn take() -> Option<Vec<u8>> {
    let kept = place(false)?;
    if kept.bytes.is_null() {
        return None;
    }
    // SAFETY: written by `keep`.
    Some(unsafe { std::slice::from_raw_parts(kept.bytes.cast::<u8>(), kept.length) }.to_vec())
}

/// Keeps bytes for the next configuration pass.
pub fn keep(bytes: &[u8]) {
    let Some(kept) = place(true) else { return };
    // SAFETY: the block is ours alone; the old bytes came from malloc here.
    unsafe {
        let copy = libc::malloc(bytes.len().max(1));
        if copy.is_null() {
            return;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy.cast(), bytes.len());
        libc::free(kept.bytes);
        *kept = Kept {
            bytes: copy,
            length: bytes.len(),
        };
    }
}
