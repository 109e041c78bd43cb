//! Requests that a member's protocol has no room or no words for. Any client can write them; the protocols'
//! modules report some as if the member had failed.

use crate::connection::{Protocol, Traces};
use crate::farm::Member;
use crate::ffi;
use crate::{pool, proxy};

/// Request Header Fields Too Large (RFC 6585).
const TOO_LARGE: u16 = 431;

/// What the protocols' modules add of their own: addresses, the server's name, a secret.
const ADDED: usize = 0x400;

/// The status for a request that came to 500, 502 or 503 by its own fault. Sizes are never estimated too small:
/// an attempt that broke at a request of just under the limit may be taken for one that did not fit.
///
/// # Safety
/// `r` is live.
pub unsafe fn status(r: *mut ffi::request_rec, member: &Member, traces: Traces) -> Option<u16> {
    // SAFETY: the caller's promise; tables and names belong to the request.
    unsafe {
        match member.protocol {
            _ if !traces.may_be_unsent(member) => None,
            // mod_proxy_ajp sends the head, and then answers 500.
            Protocol::Ajp if has_foreign_coding(r) => Some(501),
            // It answers so itself where the headers are at fault, but not where the path or a secret is.
            Protocol::Ajp => (head(r, 6) > ajp_room(r)).then_some(400),
            // One packet (uwsgi_send_headers in mod_proxy_uwsgi.c).
            Protocol::Uwsgi => (length((*r).subprocess_env, 4) > 0xffff).then_some(TOO_LARGE),
            // nghttp2 sends blocks of 64 KiB at most by its own estimate (nghttp2_hd_deflate_bound).
            Protocol::Http2 if head(r, 12) > 0x1_0000 => Some(TOO_LARGE),
            // mod_proxy_http2 passes trailers on that HTTP/2 has no place for, and members reset the stream.
            // Whether they broke is not known then.
            Protocol::Http2 => ((*ffi::apr_table_elts((*r).trailers_in)).nelts > 0).then_some(502),
            _ => None,
        }
    }
}

/// What a request's head takes up, with so many bytes for each of its headers, or more.
unsafe fn head(r: *mut ffi::request_rec, each: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        let line = pool::bytes((*r).method).len() + pool::bytes((*r).filename).len();
        // As the server's name or the authority, and forwarded.
        let host = pool::bytes((*r).hostname).len();
        length((*r).headers_in, each) + line + 2 * host + ADDED
    }
}

/// The bytes of a table's keys and values, and so many for each pair.
unsafe fn length(table: *const ffi::apr_table_t, each: usize) -> usize {
    // SAFETY: the caller's promise: a live table; keys and values are NUL-terminated, or null.
    unsafe {
        proxy::elements::<ffi::apr_table_entry_t>(ffi::apr_table_elts(table))
            .map(|entry| pool::bytes((*entry).key).len() + pool::bytes((*entry).val).len() + each)
            .sum()
    }
}

/// The size of an AJP packet (ap_proxy_ajp_request in mod_proxy_ajp.c): `ProxyIOBufferSize`, from 8 to 64 KiB.
unsafe fn ajp_room(r: *mut ffi::request_rec) -> usize {
    // SAFETY: the caller's promise; configurations live as long as servers.
    let conf = proxy::get().and_then(|proxy| unsafe { proxy.conf((*r).server).as_ref() });
    let size = conf.filter(|conf| conf.io_buffer_size_set() != 0);
    size.map_or(0x2000, |conf| {
        conf.io_buffer_size
            .clamp(0x2000, 0x1_0000)
            .next_multiple_of(0x400)
    })
}

/// A body in other pieces than plain chunks.
unsafe fn has_foreign_coding(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise; header values are NUL-terminated.
    let coding = unsafe { ffi::apr_table_get((*r).headers_in, c"Transfer-Encoding".as_ptr()) };
    // SAFETY: as above.
    !coding.is_null() && !unsafe { pool::bytes(coding) }.eq_ignore_ascii_case(b"chunked")
}
