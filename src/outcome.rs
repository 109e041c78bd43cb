//! Reads off mod_proxy what an attempt came to. Its protocol modules tell by status codes, notes
//! and calls of our filter; the engine's [`Outcome`] is one word for it.

use std::ffi::{CStr, c_int};

use athena_engine::attempt::{Outcome, Request, Rules};

use crate::farm::{Farm, Member};
use crate::ffi::{self, DONE, OK};
use crate::record::{Answer, Record};

/// The farm's rules for what follows.
pub fn rules(farm: &Farm) -> Rules<'_> {
    Rules {
        retry_on: &farm.params.retry_on,
        fail_on_status: &farm.fail_on_status,
        fail_on_timeout: farm.fail_on_timeout,
    }
}

/// How many times a request may go on to another member: `maxattempts`, or once to each.
pub fn max_attempts(farm: &Farm, balancer: *mut ffi::proxy_balancer) -> usize {
    // SAFETY: balancers and their shared parts live as long as the configuration.
    let configured = unsafe {
        balancer
            .as_ref()
            .and_then(|balancer| balancer.s.as_ref())
            .filter(|shared| shared.max_attempts_set() != 0)
            .map(|shared| shared.max_attempts)
    };
    match configured {
        Some(attempts) => usize::try_from(attempts).unwrap_or(0),
        None => farm.members.len().saturating_sub(1),
    }
}

/// `forcerecovery`.
pub fn force_recovery(balancer: *mut ffi::proxy_balancer) -> bool {
    // SAFETY: as `max_attempts`.
    unsafe {
        balancer
            .as_ref()
            .and_then(|balancer| balancer.s.as_ref())
            .is_some_and(|shared| shared.forcerecovery() != 0)
    }
}

/// What the request allows.
pub fn request(r: *mut ffi::request_rec, record: &Record) -> Request {
    Request {
        replayable: is_idempotent(r) && !has_body(r),
        replays: record.replays.get(),
        refreshed: record.refreshed.get(),
        committed: matches!(record.answer.get(), Answer::Passed | Answer::CutOff),
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(r: *mut ffi::request_rec) -> bool {
    // SAFETY: httpd sets the method of every request it serves.
    let method = unsafe { CStr::from_ptr((*r).method) }.to_bytes();
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" | b"PROPFIND"
    )
}

/// A body came or is on its way (`ap_request_has_body` of 2.4.62, for older ones too).
fn has_body(r: *mut ffi::request_rec) -> bool {
    // SAFETY: live request; header values are NUL-terminated.
    unsafe {
        if !ffi::apr_table_get((*r).headers_in, c"Transfer-Encoding".as_ptr()).is_null()
            || !(*r).kept_body.is_null()
        {
            return true;
        }
        let length = ffi::apr_table_get((*r).headers_in, c"Content-Length".as_ptr());
        !length.is_null()
            && !CStr::from_ptr(length)
                .to_bytes()
                .iter()
                .all(|digit| *digit == b'0')
    }
}

/// What the attempt came to, by the scheme handler's result and what the filter saw.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn classify(
    r: *mut ffi::request_rec,
    record: &Record,
    member: &Member,
    result: c_int,
) -> Outcome {
    // SAFETY: the caller's promise.
    let (status, aborted) = unsafe { ((*r).status, (*(*r).connection).aborted != 0) };
    let status = u16::try_from(status).unwrap_or(0);
    match record.answer.get() {
        Answer::Discarded => return Outcome::Answered(status),
        Answer::Passed if result == DONE && status != 101 => {
            return if aborted {
                Outcome::ClientGone
            } else {
                Outcome::BrokenInBody(status)
            };
        }
        Answer::Passed => return Outcome::Answered(status),
        Answer::CutOff => {
            return Outcome::Broken {
                fresh: is_fresh(record, member),
            };
        }
        Answer::Awaited => {}
    }
    let note = |name: &CStr| {
        // SAFETY: live request; table values are NUL-terminated.
        unsafe {
            let value = ffi::apr_table_get((*r).notes, name.as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
        }
    };
    // An answer that httpd replaces by its own page (ProxyErrorOverride) never meets the filter.
    if note(c"proxy-error-override").is_some() {
        return Outcome::Answered(u16::try_from(result).unwrap_or(status));
    }
    let complaint = || note(c"error-notes").unwrap_or_default();
    match result {
        OK | DONE if aborted && status != 101 => Outcome::ClientGone,
        OK | DONE => Outcome::Answered(status),
        ffi::HTTP_SERVICE_UNAVAILABLE if !record.connected.get() && pool_is_full(member) => {
            Outcome::PoolExhausted
        }
        ffi::HTTP_SERVICE_UNAVAILABLE => Outcome::NotConnected,
        ffi::HTTP_INTERNAL_SERVER_ERROR
            if complaint().starts_with(b"DNS lookup failure")
                || complaint().starts_with(b"Error during SSL Handshake") =>
        {
            Outcome::NotConnected
        }
        ffi::HTTP_GATEWAY_TIME_OUT => Outcome::TimedOut,
        ffi::HTTP_BAD_GATEWAY if note(c"proxy_timedout").is_some() => Outcome::TimedOut,
        ffi::HTTP_BAD_GATEWAY => Outcome::Broken {
            fresh: is_fresh(record, member),
        },
        other => Outcome::NotTheMember(u16::try_from(other).unwrap_or(500)),
    }
}

/// The connection was made for this attempt.
fn is_fresh(record: &Record, member: &Member) -> bool {
    record.connected.get() || !tells_connections(member)
}

/// The protocol's module runs httpd's connection hooks, which is how a new connection is told from
/// one out of the pool. The others (fcgi, scgi, uwsgi, ajp) are taken to make new ones.
fn tells_connections(member: &Member) -> bool {
    // SAFETY: the scheme is NUL-terminated within the shared part and written at configuration
    // time only.
    let scheme = unsafe { CStr::from_ptr((*member.shared()).scheme.as_ptr()) }.to_bytes();
    matches!(scheme, b"http" | b"https" | b"ws" | b"wss" | b"h2" | b"h2c")
}

/// All connections that `max` allows this process are in use.
fn pool_is_full(member: &Member) -> bool {
    // SAFETY: the worker was initialised before the attempt; its pool and list live as long as
    // the configuration.
    unsafe {
        let hard_maximum = (*member.shared()).hmax;
        let Some(connections) = (*member.worker).cp.as_ref() else {
            return false;
        };
        hard_maximum > 0
            && !connections.res.is_null()
            && ffi::apr_reslist_acquired_count(connections.res) >= hard_maximum.unsigned_abs()
    }
}

/// `trytimeout`: mod_proxy's own timeout of the member, which bounds the wait for a first byte (and
/// each later silence).
///
/// # Safety
/// The worker is live, and nobody else writes its shared part's bits.
pub unsafe fn limit(worker: *mut ffi::proxy_worker, time: std::time::Duration) {
    // SAFETY: the caller's promise.
    unsafe {
        let shared = (*worker).s;
        (*shared).timeout = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        (*shared).set_timeout_set(1);
    }
}
