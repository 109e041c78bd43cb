//! `AthCookieMode wrap`: what an answer sets is exchanged for a handle.

use std::ffi::{CStr, c_char};

use athena_engine::cookie::{Keys, NONCE, header};

use super::{explain, in_force};
use crate::record::{Kind, Record};
use crate::{ffi, pool, proxy};

/// Exchanges the cookie that the answer sets, if it does.
///
/// # Safety
/// `r` is live and `record` its own; the headers of the answer have not been sent.
pub unsafe fn wrap(r: *mut ffi::request_rec, record: &Record) {
    // SAFETY: the caller's promise; entries of live tables, written in place: names, order and
    // number stay. FastCGI and its kin leave cookies in the second table.
    unsafe {
        let Some((settings, keys)) = in_force(r).filter(|(settings, _)| settings.wraps()) else {
            return;
        };
        if record.kind != Kind::Farm {
            return;
        }
        for table in [(*r).headers_out, (*r).err_headers_out] {
            let entries = ffi::apr_table_elts(table);
            for entry in proxy::elements::<ffi::apr_table_entry_t>(entries) {
                let is_ours = CStr::from_ptr((*entry).key)
                    .to_bytes()
                    .eq_ignore_ascii_case(b"Set-Cookie");
                if let Some(line) = is_ours
                    .then(|| wrapped(r, keys, settings.name(), CStr::from_ptr((*entry).val)))
                    .flatten()
                {
                    (*entry).val = line;
                }
            }
        }
    }
}

/// The line with a handle in the value's place; `None`: it sets another cookie, or deletes ours.
unsafe fn wrapped(
    r: *mut ffi::request_rec,
    keys: &Keys,
    name: &str,
    line: &CStr,
) -> Option<*mut c_char> {
    let line = line.to_bytes();
    let place = header::set_value(line, name.as_bytes()).filter(|place| !place.is_empty())?;
    let handle = nonce().and_then(|nonce| keys.seal(line.get(place.clone())?, nonce));
    if handle.is_none() {
        explain::not_wrapped(r, name);
    }
    let line = header::replace(line, place, handle.unwrap_or_default().as_bytes())?;
    // SAFETY: the caller's promise.
    Some(unsafe { pool::concat_bytes(r, &[&line]) })
}

/// Random bytes of the system.
fn nonce() -> Option<[u8; NONCE]> {
    let mut bytes = [0; NONCE];
    // SAFETY: fills as many bytes as there are.
    let made = unsafe { ffi::apr_generate_random_bytes(bytes.as_mut_ptr(), bytes.len()) };
    (made == ffi::APR_SUCCESS).then_some(bytes)
}
