//! Strings in a request's pool, and from it.

use std::ffi::{CStr, c_char};

use crate::ffi;

/// The pieces, bytes without NUL, one after the other, NUL-terminated, in the request's pool.
///
/// # Safety
/// `r` is live.
pub unsafe fn concat_bytes(r: *mut ffi::request_rec, pieces: &[&[u8]]) -> *mut c_char {
    // SAFETY: the caller's promise.
    unsafe { joined((*r).pool, pieces) }
}

/// The same in a pool.
///
/// # Safety
/// `pool` is live.
pub unsafe fn joined(pool: *mut ffi::apr_pool_t, pieces: &[&[u8]]) -> *mut c_char {
    // SAFETY: the caller's promise.
    unsafe { gather(pool, pieces.iter().copied()) }
}

/// A text in a pool; ends at the first NUL it may hold.
///
/// # Safety
/// `pool` is live.
pub unsafe fn text(pool: *mut ffi::apr_pool_t, text: &str) -> *mut c_char {
    // SAFETY: the caller's promise.
    unsafe { gather(pool, std::iter::once(text.as_bytes())) }
}

/// The bytes of a C string; none for NULL.
///
/// # Safety
/// NULL, or NUL-terminated and alive as long as the result.
pub unsafe fn bytes<'a>(c: *const c_char) -> &'a [u8] {
    if c.is_null() {
        return b"";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(c) }.to_bytes()
}

/// What stands behind a prefix (without NUL) in a C string; reads no further than they are the same.
///
/// # Safety
/// `c` is NUL-terminated.
pub unsafe fn behind(c: *const c_char, prefix: &[u8]) -> Option<*const c_char> {
    let mut rest = c;
    for byte in prefix {
        // SAFETY: the caller's promise; all before was the same as in the prefix, and so no NUL.
        unsafe {
            if *rest.cast::<u8>() != *byte {
                return None;
            }
            rest = rest.add(1);
        }
    }
    Some(rest)
}

unsafe fn gather<'a>(
    pool: *mut ffi::apr_pool_t,
    pieces: impl Iterator<Item = &'a [u8]> + Clone,
) -> *mut c_char {
    let length: usize = pieces.clone().map(<[u8]>::len).sum();
    // SAFETY: apr_palloc gives `length + 1` bytes or aborts the process (httpd's abort function);
    // the pieces are copied one behind the other within them.
    unsafe {
        let start: *mut c_char = ffi::apr_palloc(pool, length + 1).cast();
        let mut end = start;
        for piece in pieces {
            std::ptr::copy_nonoverlapping(piece.as_ptr().cast(), end, piece.len());
            end = end.add(piece.len());
        }
        *end = 0;
        start
    }
}
