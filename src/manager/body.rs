//! The body of a form.

use crate::change::Refusal;
use crate::ffi::{self, OK};
use crate::naming::text;

/// A member's form has a few hundred bytes.
const MOST: usize = 8192;

/// Reads a form's body.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn read(r: *mut ffi::request_rec) -> Result<Vec<u8>, Refusal> {
    const FORM: &str = "application/x-www-form-urlencoded";
    // SAFETY: the caller's promise; httpd writes as many bytes as it is told there is room.
    unsafe {
        let kind = text(ffi::apr_table_get(
            (*r).headers_in,
            c"Content-Type".as_ptr(),
        ));
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case(FORM) {
            let reason = format!("Content-Type must be {FORM}");
            return Err(Refusal::new(ffi::HTTP_UNSUPPORTED_MEDIA_TYPE, reason));
        }
        let status = ffi::ap_setup_client_block(r, ffi::REQUEST_CHUNKED_DECHUNK);
        if status != OK {
            return Err(Refusal::new(status, "the body cannot be read"));
        }
        let mut body = Vec::new();
        if ffi::ap_should_client_block(r) == 0 {
            return Ok(body);
        }
        let mut piece = [0_u8; 2048];
        loop {
            let length = ffi::ap_get_client_block(r, piece.as_mut_ptr().cast(), piece.len());
            let Ok(length) = usize::try_from(length) else {
                let reason = "the body could not be read to its end";
                return Err(Refusal::new(ffi::HTTP_BAD_REQUEST, reason));
            };
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(piece.get(..length).unwrap_or_default());
            if body.len() > MOST {
                let reason = format!("a form has at most {MOST} bytes");
                return Err(Refusal::new(ffi::HTTP_REQUEST_ENTITY_TOO_LARGE, reason));
            }
        }
    }
}
