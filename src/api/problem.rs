//! Errors as JSON (RFC 9457).

use std::ffi::{CStr, c_int};

use serde::Serialize;

use super::send;
use crate::change::Refusal;
use crate::ffi;

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: c_int,
    detail: &'a str,
}

/// Answers with what was wrong.
///
/// # Safety
/// `r` is live.
pub unsafe fn answer(r: *mut ffi::request_rec, refusal: &Refusal) -> c_int {
    // SAFETY: the caller's promise; httpd's status lines are static: the code, a blank, the title.
    unsafe {
        let line = ffi::ap_get_status_line(refusal.status);
        let line = CStr::from_ptr(line).to_str().unwrap_or_default();
        let problem = Problem {
            title: line.get(4..).unwrap_or_default(),
            status: refusal.status,
            detail: &refusal.reason,
        };
        let Ok(text) = serde_json::to_vec(&problem) else {
            return refusal.status;
        };
        (*r).status = refusal.status;
        if refusal.status == ffi::HTTP_SERVICE_UNAVAILABLE {
            let headers = (*r).headers_out;
            ffi::apr_table_setn(headers, c"Retry-After".as_ptr(), c"1".as_ptr());
        }
        send(r, c"application/problem+json", &text)
    }
}
