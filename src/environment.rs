//! What a request's environment says about its farm and member, for `LogFormat`, mod_headers and
//! expressions.

use std::ffi::{CStr, c_char};

use athena_engine::dispatch::Reason;

use crate::record::Record;
use crate::{ffi, pool, sticky};

/// A member was elected: `BALANCER_NAME`, `BALANCER_WORKER_NAME`, `BALANCER_WORKER_ROUTE`, those of
/// its session, `ATH_FARM`, `ATH_MEMBER`, `ATH_REASON`.
pub fn elected(r: *mut ffi::request_rec, record: &Record) {
    let (Some(farm), Some(member)) = (record.farm(), record.member()) else {
        return;
    };
    let first = record.attempts() == 1;
    // SAFETY: live request; the values live as long as the configuration or the request's pool.
    unsafe {
        if let Some(shared) = record
            .balancer()
            .as_ref()
            .and_then(|balancer| balancer.s.as_ref())
        {
            set(r, first, c"BALANCER_NAME", shared.name.as_ptr());
        }
        set(r, first, c"BALANCER_WORKER_NAME", member.url().as_ptr());
        set(r, first, c"BALANCER_WORKER_ROUTE", member.route().as_ptr());
        set(r, first, c"ATH_FARM", farm.c_name.as_ptr());
        set(r, first, c"ATH_MEMBER", member.c_name.as_ptr());
        set(
            r,
            first,
            c"ATH_REASON",
            c_word(record.reason.get()).as_ptr(),
        );
        sticky::tell(r, record, member);
    }
}

/// The reason's word ([`Reason::word`]) as C wants it.
fn c_word(reason: Reason) -> &'static CStr {
    match reason {
        Reason::Method => c"method",
        Reason::Sticky => c"sticky",
        Reason::Probe => c"probe",
        Reason::Remaining => c"remaining",
        Reason::Panic => c"panic",
        Reason::Forced => c"forced",
    }
}

/// The last attempt is over: `ATH_ATTEMPTS`, and `ATH_TTFB_US` when a first byte came.
pub fn settled(r: *mut ffi::request_rec, record: &Record) {
    // SAFETY: live request.
    unsafe {
        match record.attempts() {
            1 => set(r, true, c"ATH_ATTEMPTS", c"1".as_ptr()),
            attempts => set(r, true, c"ATH_ATTEMPTS", number(r, attempts as u64)),
        }
        if record
            .farm()
            .is_some_and(|farm| farm.params.queue.is_some())
        {
            let waited = number(r, record.queued.get());
            set(r, true, c"ATH_QUEUE_US", waited);
        }
        if record.first_byte.get() != 0 {
            let waited = record.first_byte.get().saturating_sub(record.began.get());
            set(r, true, c"ATH_TTFB_US", number(r, waited));
        }
    }
}

/// Sets a variable to a value that outlives the request: the first time by adding it, which spares
/// a search of the table, afterwards by replacing it.
///
/// # Safety
/// `r` is live; `value` is NUL-terminated and outlives it.
unsafe fn set(r: *mut ffi::request_rec, first: bool, name: &'static CStr, value: *const c_char) {
    // SAFETY: the caller's promise; `name` is static.
    unsafe {
        let table = (*r).subprocess_env;
        if first {
            ffi::apr_table_addn(table, name.as_ptr(), value);
        } else {
            ffi::apr_table_setn(table, name.as_ptr(), value);
        }
    }
}

unsafe fn number(r: *mut ffi::request_rec, value: u64) -> *const c_char {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    // SAFETY: the caller's promise.
    unsafe { pool::concat_bytes(r, &[digits]) }
}
