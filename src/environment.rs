//! What a request's environment says about its farm and member, for `LogFormat`, mod_headers and
//! expressions.

use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicPtr, Ordering};

use athena_engine::dispatch::Reason;

use crate::record::Record;
use crate::{ffi, pool, sticky};

/// What an election says, but for its session.
const NAMES: [&CStr; 7] = [
    c"BALANCER_NAME",
    c"BALANCER_WORKER_NAME",
    c"BALANCER_WORKER_ROUTE",
    c"ATH_FARM",
    c"ATH_MEMBER",
    c"ATH_REASON",
    c"ATH_ATTEMPTS",
];

/// A table of these names, which a request gets in one step.
static TABLE: AtomicPtr<ffi::apr_table_t> = AtomicPtr::new(std::ptr::null_mut());

/// Makes the table.
///
/// # Safety
/// `pool` is the configuration's, before requests are served under it.
pub unsafe fn ready(pool: *mut ffi::apr_pool_t) {
    // SAFETY: the caller's promise; the names are static.
    unsafe {
        let table = ffi::apr_table_make(pool, NAMES.len() as i32);
        for name in NAMES {
            ffi::apr_table_addn(table, name.as_ptr(), c"".as_ptr());
        }
        TABLE.store(table, Ordering::Release);
    }
}

/// A member was elected.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn elected(r: *mut ffi::request_rec, record: &Record) {
    let (Some(farm), Some(member)) = (record.farm(), record.member()) else {
        return;
    };
    let attempts = record.attempts();
    // SAFETY: the caller's promise; the values live as long as the configuration or the request's pool.
    unsafe {
        let shared = record.balancer().as_ref().and_then(|b| b.s.as_ref());
        let values = [
            shared.map_or(c"".as_ptr(), |shared| shared.name.as_ptr()),
            member.url().as_ptr(),
            member.route().as_ptr(),
            farm.c_name.as_ptr(),
            member.c_name.as_ptr(),
            c_word(record.reason.get()).as_ptr(),
            match attempts {
                1 => c"1".as_ptr(),
                _ => number(r, attempts as u64),
            },
        ];
        if attempts == 1 {
            add(r, values);
        } else {
            for (name, value) in NAMES.iter().zip(values) {
                ffi::apr_table_setn((*r).subprocess_env, name.as_ptr(), value);
            }
        }
        sticky::tell(r, record, member);
    }
}

/// Adds the variables to those of a request, which has none of them.
///
/// # Safety
/// `r` is live; the values are NUL-terminated and outlive it.
unsafe fn add(r: *mut ffi::request_rec, values: [*const c_char; NAMES.len()]) {
    const ADD: u32 = ffi::APR_OVERLAP_TABLES_ADD.unsigned_abs();
    // SAFETY: the caller's promise; the table is made before any farm can be found, and lives as long as
    // the configuration.
    unsafe {
        let environment = (*r).subprocess_env;
        let names = TABLE.load(Ordering::Acquire);
        ffi::apr_table_overlap(environment, names, ADD);
        let all = ffi::apr_table_elts(environment);
        let end = (*all)
            .elts
            .cast::<ffi::apr_table_entry_t>()
            .add((*all).nelts as usize);
        // The last ones are those just added, in their order.
        let added = std::slice::from_raw_parts_mut(end.sub(values.len()), values.len());
        for (entry, value) in added.iter_mut().zip(values) {
            entry.val = value.cast_mut();
        }
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

/// The last attempt is over: `ATH_TTFB_US` when a first byte came, `ATH_QUEUE_US` where there is a
/// queue. Said once in a request.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn settled(r: *mut ffi::request_rec, record: &Record) {
    let say = |name: &'static CStr, value| {
        // SAFETY: the caller's promise; the name is static.
        unsafe { ffi::apr_table_addn((*r).subprocess_env, name.as_ptr(), number(r, value)) }
    };
    if record.attempts() == 0 {
        say(c"ATH_ATTEMPTS", 0);
        if let Some(farm) = record.farm() {
            // SAFETY: the caller's promise; the name lives as long as the configuration.
            unsafe {
                let environment = (*r).subprocess_env;
                ffi::apr_table_addn(environment, c"ATH_FARM".as_ptr(), farm.c_name.as_ptr());
            }
        }
    }
    if record
        .farm()
        .is_some_and(|farm| farm.params.queue.is_some())
    {
        say(c"ATH_QUEUE_US", record.queued.get());
    }
    if record.first_byte.get() != 0 {
        let waited = record.first_byte.get().saturating_sub(record.began.get());
        say(c"ATH_TTFB_US", waited);
    }
}

unsafe fn number(r: *mut ffi::request_rec, value: u64) -> *const c_char {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    // SAFETY: the caller's promise.
    unsafe { pool::concat_bytes(r, &[digits]) }
}
