//! The head of an answer, as a request has it: httpd keeps some of it beside the tables of headers.

use std::ffi::{c_char, c_int};

use crate::ffi;

/// What an answer leaves in a request beside its status.
#[derive(Clone, Copy)]
pub struct Head {
    headers: *mut ffi::apr_table_t,
    err_headers: *mut ffi::apr_table_t,
    trailers: *mut ffi::apr_table_t,
    content_type: *const c_char,
    content_encoding: *const c_char,
    content_languages: *mut ffi::apr_array_header_t,
    /// Of the request, and of the one it is a part of: no cache is to keep the answer.
    no_cache: [c_int; 2],
}

impl Head {
    /// A copy of what a request has now, in its pool.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn of(r: *mut ffi::request_rec) -> Self {
        // SAFETY: the caller's promise. Tables are written in place; the others are replaced.
        unsafe {
            Self {
                headers: (*r).headers_out,
                err_headers: (*r).err_headers_out,
                trailers: (*r).trailers_out,
                content_type: (*r).content_type,
                content_encoding: (*r).content_encoding,
                content_languages: (*r).content_languages,
                no_cache: [
                    (*r).no_cache,
                    (*r).main.as_ref().map_or(0, |main| main.no_cache),
                ],
            }
            .copied((*r).pool)
        }
    }

    /// Gives it back to its request; it can be given back again.
    ///
    /// # Safety
    /// `r` is the request that [`Self::of`] was called with.
    pub unsafe fn restore(self, r: *mut ffi::request_rec) {
        // SAFETY: the caller's promise.
        unsafe {
            let copy = self.copied((*r).pool);
            (*r).headers_out = copy.headers;
            (*r).err_headers_out = copy.err_headers;
            (*r).trailers_out = copy.trailers;
            (*r).content_type = copy.content_type;
            (*r).content_encoding = copy.content_encoding;
            (*r).content_languages = copy.content_languages;
            let [own, mains] = copy.no_cache;
            (*r).no_cache = own;
            if let Some(main) = (*r).main.as_mut() {
                main.no_cache = mains;
            }
        }
    }

    /// With tables of its own.
    unsafe fn copied(self, pool: *mut ffi::apr_pool_t) -> Self {
        // SAFETY: the caller's promise: a live pool, whose request has the tables.
        let copy = |table| unsafe { ffi::apr_table_copy(pool, table) };
        Self {
            headers: copy(self.headers),
            err_headers: copy(self.err_headers),
            trailers: copy(self.trailers),
            ..self
        }
    }
}
