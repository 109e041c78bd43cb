//! `ProxyRemote`: the forward proxy that an attempt goes through. mod_proxy looks for it once, by the first
//! member's URL; here each attempt has its own.

use std::ffi::{CStr, c_char};
use std::ptr;

use crate::{ffi, proxy};

/// Where a note of the request keeps the credentials for it.
const CREDENTIALS: &CStr = c"proxy-basic-creds";

/// A forward proxy, or none.
#[derive(Clone, Copy)]
pub struct Remote {
    pub name: *const c_char,
    pub port: ffi::apr_port_t,
}

impl Remote {
    const NONE: Self = Self {
        name: ptr::null(),
        port: 0,
    };

    /// The first that is configured for a URL (proxy_handler in mod_proxy.c), with what the request has to
    /// tell it.
    ///
    /// # Safety
    /// `r` and `conf` are live, `url` is NUL-terminated.
    #[inline]
    pub unsafe fn of(
        r: *mut ffi::request_rec,
        conf: *mut ffi::proxy_server_conf,
        url: *const c_char,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            if (*(*conf).proxies).nelts == 0 {
                return Self::NONE;
            }
            Self::find(r, conf, url)
        }
    }

    #[cold]
    unsafe fn find(
        r: *mut ffi::request_rec,
        conf: *mut ffi::proxy_server_conf,
        url: *const c_char,
    ) -> Self {
        // SAFETY: the caller's promise; mod_proxy's own arrays, and the functions in them.
        unsafe {
            ffi::apr_table_unset((*r).notes, CREDENTIALS.as_ptr());
            let direct = proxy::elements::<ffi::dirconn_entry>((*conf).dirconn).any(|entry| {
                (*entry)
                    .matcher
                    .is_some_and(|matches| matches(entry, r) != 0)
            });
            let mut remotes = proxy::elements::<ffi::proxy_remote>((*conf).proxies);
            let found = remotes.find(|remote| !direct && serves(&**remote, url));
            let Some(remote) = found.and_then(|remote| remote.as_ref()) else {
                return Self::NONE;
            };
            if !remote.creds.is_null() {
                ffi::apr_table_setn((*r).notes, CREDENTIALS.as_ptr(), remote.creds);
            }
            Self {
                name: remote.hostname,
                port: remote.port,
            }
        }
    }
}

/// Whether a `ProxyRemote` line names a URL: all, a scheme, how it begins, or a pattern.
unsafe fn serves(remote: &ffi::proxy_remote, url: *const c_char) -> bool {
    // SAFETY: the caller's promise; the line's own texts are NUL-terminated.
    unsafe {
        if remote.use_regex != 0 {
            return ffi::ap_regexec(remote.regexp, url, 0, ptr::null_mut(), 0) == 0;
        }
        let (named, url) = (
            CStr::from_ptr(remote.scheme).to_bytes(),
            CStr::from_ptr(url).to_bytes(),
        );
        if named == b"*" {
            return true;
        }
        let compared = if named.contains(&b':') {
            url.get(..named.len())
        } else {
            url.split(|byte| *byte == b':').next()
        };
        compared.is_some_and(|compared| compared.eq_ignore_ascii_case(named))
    }
}
