//! The cookie that `stickyissue` sets.

use athena_engine::cookie::header;
use athena_engine::sticky::{Attributes, issue};

use super::settings::Settings;
use crate::pool::bytes;
use crate::record::Record;
use crate::{ffi, pool, proxy};

/// `stickyissue`: the answer that begins carries the cookie if its client has to learn a route,
/// unless the member itself sets a cookie of that name.
///
/// # Safety
/// `r` is live and `record` its own; the headers of the answer have not been sent.
pub unsafe fn set_cookie(r: *mut ffi::request_rec, record: &Record) {
    let Some((session, farm)) = record.session.get().zip(record.farm()) else {
        return;
    };
    let Some(member) = record
        .member()
        .filter(|member| farm.params.sticky_issue && session.changed_by(member))
    else {
        return;
    };
    let Some(settings) = Settings::of(record.balancer()) else {
        return;
    };
    let name = settings.cookie().to_bytes();
    let default = Attributes::default();
    let attributes = farm.params.sticky_attrs.as_ref().unwrap_or(&default);
    let route = member.route().to_bytes();
    let Some(cookie) = issue::cookie(name, settings.separator(), route, attributes) else {
        return;
    };
    // SAFETY: the caller's promise. FastCGI and its kin leave cookies in the second table.
    unsafe {
        let tables = [(*r).headers_out, (*r).err_headers_out];
        if !tables.iter().any(|table| sets_cookie(*table, name)) {
            let value = pool::concat_bytes(r, &[&cookie]);
            ffi::apr_table_addn((*r).headers_out, c"Set-Cookie".as_ptr(), value);
            // It is this client's alone, whatever caches make of the rest.
            ffi::apr_table_mergen(
                (*r).headers_out,
                c"Cache-Control".as_ptr(),
                c"no-cache=\"Set-Cookie\"".as_ptr(),
            );
        }
    }
}

/// Whether an answer's headers set the cookie `name`.
unsafe fn sets_cookie(headers: *const ffi::apr_table_t, name: &[u8]) -> bool {
    // SAFETY: a live table; keys and values of its entries are NUL-terminated.
    unsafe {
        proxy::elements::<ffi::apr_table_entry_t>(ffi::apr_table_elts(headers)).any(|entry| {
            bytes((*entry).key).eq_ignore_ascii_case(b"Set-Cookie")
                && header::set_value(bytes((*entry).val), name).is_some()
        })
    }
}
