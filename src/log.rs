//! Log lines, each with its own number (`ATH0001`…, listed in the manual, never reused). What writes
//! one is cold, so that compiled functions have what leads to it behind what every request runs through.

use std::ffi::CString;

use crate::ffi;

/// httpd's levels, as far as this module uses them.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Level {
    Error = ffi::APLOG_ERR,
    Warning = ffi::APLOG_WARNING,
    Notice = ffi::APLOG_NOTICE,
    Info = ffi::APLOG_INFO,
    Debug = ffi::APLOG_DEBUG,
}

/// A message as C wants it; a NUL inside would end it early.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}

/// Logs for a server.
#[cold]
pub fn server(level: Level, server: *const ffi::server_rec, text: &str) {
    let text = c_text(text);
    // SAFETY: httpd hands out server records that live as long as the configuration; the text is
    // copied by the callee.
    unsafe { ffi::ath_shim_log(level as i32, server, text.as_ptr()) }
}

/// Logs for a request.
#[cold]
pub fn request(level: Level, r: *const ffi::request_rec, text: &str) {
    let text = c_text(text);
    // SAFETY: called only while httpd processes `r`; the text is copied by the callee.
    unsafe { ffi::ath_shim_rlog(level as i32, r, text.as_ptr()) }
}

/// Whether `LogLevel athena:debug` (or finer) holds for this request, so that the text need not be
/// made otherwise.
pub fn debug_wanted(r: *const ffi::request_rec) -> bool {
    // SAFETY: called only while httpd processes `r`.
    unsafe { ffi::ath_shim_rlog_wanted(r, ffi::APLOG_DEBUG) != 0 }
}

/// Logs an error without a server at hand.
pub fn error(text: &str) {
    // SAFETY: httpd sets `ap_server_conf` before it calls any hook but the configuration's own;
    // NULL is allowed by ap_log_error.
    server(Level::Error, unsafe { ffi::ap_server_conf }, text);
}
