//! The head of an answer, as a request has it: httpd keeps some of it beside the tables of headers.

use std::ffi::{c_char, c_int};
use std::ptr;

use crate::ffi;

/// What an answer leaves in a request beside its status. Of tables that are empty, as they mostly are before
/// there is an answer, there is no copy: null.
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
    /// What a request has now.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn of(r: *mut ffi::request_rec) -> Self {
        // SAFETY: the caller's promise. Tables are written in place; the others are replaced.
        unsafe {
            let keep = |table| match (*ffi::apr_table_elts(table)).nelts {
                0 => ptr::null_mut(),
                _ => ffi::apr_table_copy((*r).pool, table),
            };
            Self {
                headers: keep((*r).headers_out),
                err_headers: keep((*r).err_headers_out),
                trailers: keep((*r).trailers_out),
                content_type: (*r).content_type,
                content_encoding: (*r).content_encoding,
                content_languages: (*r).content_languages,
                no_cache: [
                    (*r).no_cache,
                    (*r).main.as_ref().map_or(0, |main| main.no_cache),
                ],
            }
        }
    }

    /// Gives it back to its request; it can be given back again.
    ///
    /// # Safety
    /// `r` is the request that [`Self::of`] was called with.
    pub unsafe fn restore(self, r: *mut ffi::request_rec) {
        // SAFETY: the caller's promise; the copies are in the request's pool.
        unsafe {
            let pool = (*r).pool;
            let give = |table: *mut ffi::apr_table_t| match table.as_ref() {
                None => ffi::apr_table_make(pool, 5),
                Some(table) => ffi::apr_table_copy(pool, table),
            };
            (*r).headers_out = give(self.headers);
            (*r).err_headers_out = give(self.err_headers);
            (*r).trailers_out = give(self.trailers);
            (*r).content_type = self.content_type;
            (*r).content_encoding = self.content_encoding;
            (*r).content_languages = self.content_languages;
            let [own, mains] = self.no_cache;
            (*r).no_cache = own;
            if let Some(main) = (*r).main.as_mut() {
                main.no_cache = mains;
            }
        }
    }
}
