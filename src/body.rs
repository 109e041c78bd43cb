//! The body of a request.

use crate::change::Refusal;
use crate::ffi::{self, OK};

/// Reads a body of at most so many bytes.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn read(r: *mut ffi::request_rec, most: usize) -> Result<Vec<u8>, Refusal> {
    // SAFETY: the caller's promise; httpd writes as many bytes as it is told there is room.
    unsafe {
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
            if body.len() > most {
                let reason = format!("a body has at most {most} bytes here");
                return Err(Refusal::new(ffi::HTTP_REQUEST_ENTITY_TOO_LARGE, reason));
            }
        }
    }
}
