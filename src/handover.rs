//! A request goes on at another farm than the one its target names: `forward=` and a cookie that
//! prefers farms send it there. The path and query stay; sessions, members, methods and `<Proxy>`
//! sections are the other farm's from then on.

use std::ffi::c_int;

use crate::ffi;
use crate::log::{self, Level};
use crate::record::Record;
use crate::runtime::FarmRef;
use crate::{access, sticky};

/// Hands the request over. `Err` is the status to answer with: the other farm's sections refuse the
/// client, or the request has been handed over too often. No attempt may be open.
///
/// # Safety
/// `r` is live and `record` its own, of a farm; `target` is one of its server's.
#[cold]
pub unsafe fn to(r: *mut ffi::request_rec, record: &Record, target: FarmRef) -> Result<(), c_int> {
    // SAFETY: farms live as long as the configuration, which outlives its requests.
    let Some(farm) = (unsafe { target.farm.as_ref() }) else {
        return Err(ffi::HTTP_SERVICE_UNAVAILABLE);
    };
    if !record.hand_over(target) {
        let text = format!(
            "ATH0251: farm {}: the request has been handed over too often to go there",
            farm.name
        );
        log::request(Level::Error, r, &text);
        return Err(ffi::HTTP_SERVICE_UNAVAILABLE);
    }
    // SAFETY: the caller's promise.
    match unsafe {
        sticky::untell(r);
        access::late(r, record, farm)
    } {
        ffi::OK => Ok(()),
        refused => Err(refused),
    }
}
