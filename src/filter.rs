//! The output filter of a farm's requests: sees the first byte of an answer, and throws away an
//! answer that another member is to replace (`retryon`).

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use athena_engine::budget;

use crate::connection::Protocol;
use crate::farm::{Farm, Member};
use crate::ffi;
use crate::guard::guard;
use crate::head::Head;
use crate::record::{Answer, Kind, Record};
use crate::{account, clock, cookie, elect, judge, outcome, reverse, sticky};

static FILTER: Filter = Filter::new();

/// mod_proxy_http's variable: a client connection's first request gets a new connection to its member.
const NOT_POOLED: &CStr = c"proxy-initial-not-pooled";

/// An output filter of ours.
pub struct Filter(AtomicPtr<ffi::ap_filter_rec_t>);

type Output =
    unsafe extern "C" fn(*mut ffi::ap_filter_t, *mut ffi::apr_bucket_brigade) -> ffi::apr_status_t;

impl Filter {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Registers it, in front of all others: none of them may see an answer that is taken back.
    ///
    /// # Safety
    /// Called from register_hooks.
    pub unsafe fn register(&self, name: &'static CStr, output: Output) {
        // SAFETY: the caller's promise; the name is static.
        let handle = unsafe {
            let place = ffi::AP_FTYPE_RESOURCE - 1;
            ffi::ap_register_output_filter(name.as_ptr(), Some(output), None, place)
        };
        self.0.store(handle, Ordering::Release);
    }

    /// Adds it to a request.
    ///
    /// # Safety
    /// `r` is live; `context` is what the filter expects.
    pub unsafe fn add(
        &self,
        r: *mut ffi::request_rec,
        context: *mut c_void,
    ) -> *mut ffi::ap_filter_t {
        let handle = self.0.load(Ordering::Acquire);
        // SAFETY: the caller's promise; the handle was registered with this library.
        unsafe { ffi::ap_add_output_filter_handle(handle, context, r, (*r).connection) }
    }
}

/// Registers the filter.
///
/// # Safety
/// Called from register_hooks.
pub unsafe fn register() {
    // SAFETY: the caller's promise.
    unsafe { FILTER.register(c"ATHENA_FIRST_BYTE", output) }
}

/// Readies the request for an attempt.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn begin(r: *mut ffi::request_rec, record: &Record, farm: &Farm, member: &Member) {
    record.answer.set(Answer::Awaited);
    record.first_byte.set(0);
    // SAFETY: the caller's promise; tables and filters belong to the request.
    unsafe {
        let connection = (*r).connection;
        // For kept-alive clients mod_proxy_http answers a broken connection by closing the
        // client's without a word, and still returns OK. With no kept-alive requests on the
        // connection it says 502, which is for us to deal with.
        if record.kind == Kind::Farm {
            let keepalives = (*connection).keepalives;
            record.keepalives.set(Some(keepalives));
            (*connection).keepalives = 0;
            // To a variable each request would look like the first on its connection.
            if keepalives > 0 {
                let environment = (*r).subprocess_env;
                let value = ffi::apr_table_get(environment, NOT_POOLED.as_ptr());
                if !value.is_null() {
                    record.not_pooled.set(value);
                    ffi::apr_table_unset(environment, NOT_POOLED.as_ptr());
                }
            }
            let kept = !farm.params.retry_on.is_empty() || member.protocol.leaves_heads();
            if kept && record.head.get().is_none() {
                record.head.set(Some(Head::of(r)));
            }
        }
        if record.filter.get().is_null() {
            let context = std::ptr::from_ref(record).cast_mut().cast();
            record.filter.set(FILTER.add(r, context));
        }
    }
}

/// Ends the attempt's view of the connection.
///
/// # Safety
/// As [`begin`].
pub unsafe fn end(r: *mut ffi::request_rec, record: &Record) {
    // SAFETY: the caller's promise.
    unsafe {
        restore_keepalives(r, record);
        if (*r).eos_sent != 0 && record.answer.get() == Answer::Awaited {
            record.answer.set(Answer::Page);
        }
    }
}

/// Takes back what an attempt left in the request that something else will answer.
///
/// # Safety
/// As [`begin`].
#[cold]
pub unsafe fn take_back(r: *mut ffi::request_rec, record: &Record) {
    record.answer.set(Answer::Awaited);
    // SAFETY: the caller's promise.
    unsafe {
        for note in [
            c"error-notes",
            c"verbose-error-to",
            c"proxy-error-override",
            c"proxy-status",
            c"proxy_timedout",
        ] {
            ffi::apr_table_unset((*r).notes, note.as_ptr());
        }
        (*r).eos_sent = 0;
        (*r).status = ffi::HTTP_OK;
        (*r).status_line = std::ptr::null();
        if let Some(head) = record.head.get() {
            head.restore(r);
        }
    }
}

unsafe fn restore_keepalives(r: *mut ffi::request_rec, record: &Record) {
    if let Some(keepalives) = record.keepalives.take() {
        let not_pooled = record.not_pooled.replace(std::ptr::null());
        // SAFETY: the caller's promise.
        unsafe {
            (*(*r).connection).keepalives = keepalives;
            if !not_pooled.is_null() {
                ffi::apr_table_setn((*r).subprocess_env, NOT_POOLED.as_ptr(), not_pooled);
            }
        }
    }
}

unsafe extern "C" fn output(
    filter: *mut ffi::ap_filter_t,
    brigade: *mut ffi::apr_bucket_brigade,
) -> ffi::apr_status_t {
    guard!("output filter", ffi::APR_EGENERAL, {
        // SAFETY: httpd calls with a live filter, whose context `begin` set to the record of the
        // request it is on, and a live brigade.
        unsafe {
            let r = (*filter).r;
            let Some(record) = (*filter).ctx.cast::<Record>().as_ref() else {
                return ffi::ap_pass_brigade((*filter).next, brigade);
            };
            if record.answer.get() == Answer::Awaited {
                // Not the member's word: mod_proxy's own (ap_proxy_backend_broke), or that of whoever found
                // the request's body wrong (bail_out_on_error in http_filters.c).
                let instead = match ffi::ath_shim_error(brigade) {
                    0 => None,
                    ffi::HTTP_BAD_GATEWAY => Some(Answer::CutOff),
                    _ => Some(Answer::Page),
                };
                if let Some(answer) = instead {
                    record.answer.set(answer);
                    return leave(filter, record, brigade);
                }
                record.first_byte.set(clock::now());
                account::answered(record);
                if another_member_waits(r, record) {
                    record.answer.set(Answer::Discarded);
                } else {
                    record.answer.set(Answer::Passed);
                    judge::probed(record, (*r).status);
                    restore_keepalives(r, record);
                    reverse::answered(r, record);
                    sticky::set_cookie(r, record);
                    cookie::wrap(r, record);
                    return leave(filter, record, brigade);
                }
            }
            if record.answer.get() == Answer::Discarded {
                let ended = ffi::ath_shim_has_eos(brigade) != 0;
                ffi::apr_brigade_cleanup(brigade.cast());
                let http = record.member().map(|member| member.protocol) == Some(Protocol::Http);
                // The other member's answer does not wait for the rest of this one. The other protocols'
                // modules would log an error.
                return if http && !ended {
                    ffi::APR_ECONNABORTED
                } else {
                    ffi::APR_SUCCESS
                };
            }
            ffi::ap_pass_brigade((*filter).next, brigade)
        }
    })
}

/// Passes the brigade on and has no more part in the answer.
unsafe fn leave(
    filter: *mut ffi::ap_filter_t,
    record: &Record,
    brigade: *mut ffi::apr_bucket_brigade,
) -> ffi::apr_status_t {
    // SAFETY: the caller's promise: a live filter, which `begin` added, and brigade.
    unsafe {
        let next = (*filter).next;
        ffi::ap_remove_output_filter(filter);
        record.filter.set(std::ptr::null_mut());
        ffi::ap_pass_brigade(next, brigade)
    }
}

/// `retryon` names this status, the request may be replayed, the budget allows it, and there is a
/// member to go to: found out before the first byte is thrown away, since it cannot be had again.
unsafe fn another_member_waits(r: *mut ffi::request_rec, record: &Record) -> bool {
    let Some(farm) = record.farm() else {
        return false;
    };
    let retry_on = &farm.params.retry_on;
    if retry_on.is_empty() || record.kind != Kind::Farm || record.member.get().is_null() {
        return false;
    }
    // SAFETY: the caller's promise.
    let status = unsafe { (*r).status };
    let named = u16::try_from(status).is_ok_and(|status| retry_on.contains(&status));
    // SAFETY: as above.
    if !named || !unsafe { outcome::request(r, record) }.may_replay() {
        return false;
    }
    let (budget_of, percent) = (farm.seat.record, farm.retry_budget());
    // A choice may claim a probe, and so is made only where the budget has something left; and it is paid for
    // only when there is somebody.
    if !budget::is_left(budget_of, percent, clock::now()) {
        return false;
    }
    // SAFETY: the caller's promise.
    let Ok(successor) = (unsafe { elect::choose(r, record, farm) }) else {
        return false;
    };
    let paid = budget::allow(budget_of, percent, clock::now());
    if paid {
        record.successor.set(Some(successor));
    } else {
        elect::decline(farm, successor);
    }
    paid
}
