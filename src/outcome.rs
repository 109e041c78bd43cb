//! Reads off mod_proxy what an attempt came to. Its protocol modules tell by status codes, notes
//! and calls of our filter; the engine's [`Outcome`] is one word for it.

use std::ffi::{CStr, c_int};

use athena_engine::Micros;
use athena_engine::attempt::{Outcome, Request, Rules};

use crate::connection::Protocol;
use crate::farm::{Farm, Member};
use crate::ffi::{self, DONE, OK};
use crate::record::{Answer, Record};
use crate::{clock, proxy, unfit};

/// A note: the answer gives way to httpd's own page (ProxyErrorOverride).
const OVERRIDDEN: &CStr = c"proxy-error-override";

/// A note: no answer came in time.
const TIMED_OUT: &CStr = c"proxy_timedout";

/// The farm's rules for what follows.
pub fn rules(farm: &Farm) -> Rules<'_> {
    Rules {
        retry_on: &farm.params.retry_on,
        fail_on_status: &farm.fail_on_status,
        fail_on_timeout: farm.fail_on_timeout,
    }
}

/// The request has gone on to another member as often as it may.
pub fn is_exhausted(record: &Record, farm: &Farm) -> bool {
    let made = record.attempts_here();
    made > 0 && made > max_attempts(farm, record.balancer())
}

/// How many times a request may go on to another member: `maxattempts`, or once to each.
#[cold]
fn max_attempts(farm: &Farm, balancer: *mut ffi::proxy_balancer) -> usize {
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

/// `timeout` of the balancer: how long a request waits for a usable member, in microseconds; `None`:
/// not at all.
pub fn timeout(balancer: *mut ffi::proxy_balancer) -> Option<Micros> {
    // SAFETY: as `max_attempts`.
    let time = unsafe { balancer.as_ref()?.s.as_ref()?.timeout };
    u64::try_from(time).ok().filter(|time| *time > 0)
}

/// What the request allows. With its answer on the way, nobody asks what else could be done.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn request(r: *mut ffi::request_rec, record: &Record) -> Request {
    let committed = matches!(
        record.answer.get(),
        Answer::Passed | Answer::CutOff | Answer::Page
    );
    Request {
        // SAFETY: the caller's promise.
        replayable: !committed && unsafe { is_idempotent(r) && !has_body(r) },
        replayed: record.replayed.get(),
        refreshed: record.refreshed.get(),
        committed,
    }
}

/// RFC 9110 §9.2.2.
///
/// # Safety
/// `r` is live.
pub unsafe fn is_idempotent(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise; httpd sets the method of every request it serves.
    let method = unsafe { CStr::from_ptr((*r).method) }.to_bytes();
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" | b"PROPFIND"
    )
}

/// A body of unknown length came or is on its way.
///
/// # Safety
/// `r` is live.
pub unsafe fn has_chunked_body(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise.
    unsafe { !ffi::apr_table_get((*r).headers_in, c"Transfer-Encoding".as_ptr()).is_null() }
}

/// A body came or is on its way (`ap_request_has_body` of 2.4.62, for older ones too).
///
/// # Safety
/// `r` is live.
pub unsafe fn has_body(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise; header values are NUL-terminated.
    unsafe {
        if has_chunked_body(r) || !(*r).kept_body.is_null() {
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
    let (status, aborted, broke) = unsafe {
        let aborted = (*(*r).connection).aborted != 0;
        // ap_proxy_backend_broke sets the flag.
        ((*r).status, aborted, !aborted || (*r).no_cache != 0)
    };
    let status = u16::try_from(status).unwrap_or(0);
    let connection = record.connection.get();
    // SAFETY: the caller's promise.
    let noted = |name: &CStr| unsafe { note(r, name) }.is_some();
    // A member that has begun to answer had not closed.
    let broken = || Outcome::Broken {
        fresh: !connection.reused(member.protocol) || noted(c"proxy-status"),
    };
    let answer = record.answer.get();
    if !matches!(answer, Answer::Passed | Answer::Discarded)
        && let Some(status) = record.unread.get()
    {
        return Outcome::NotTheMember(status);
    }
    match answer {
        Answer::Discarded => return Outcome::Answered(status),
        Answer::Passed if result != OK && status != 101 && broke => {
            return Outcome::BrokenInBody(status);
        }
        // The head tells of the member also when the client leaves: over HTTP/2 many do with the last byte.
        Answer::Passed => return Outcome::Answered(status),
        Answer::CutOff => return broken(),
        Answer::Awaited | Answer::Page => {}
    }
    // Such an answer never meets the filter.
    if noted(OVERRIDDEN) || connection.overridden(result) {
        return Outcome::Answered(u16::try_from(result).unwrap_or(status));
    }
    // SAFETY: the caller's promise.
    let turned_away = || unsafe { connection.turned_away(r, member) };
    // SAFETY: as above.
    let refused = || unsafe { connection.refused(r, member) };
    // SAFETY: as above.
    let unfit = || unsafe { unfit::status(r, member, connection) };
    let failed = || {
        // SAFETY: the caller's promise.
        if unsafe { waited_out(r, record, member) } {
            Outcome::TimedOut
        } else {
            broken()
        }
    };
    // SAFETY: the caller's promise.
    let not_connected = || unsafe { complains_of_connecting(r) };
    let timed_out = noted(TIMED_OUT);
    match result {
        OK | DONE if aborted && status != 101 => Outcome::ClientGone,
        OK | DONE => Outcome::Answered(status),
        // No 100 (Continue) from a member that is not asked for one in a time of its own: any slow
        // answer to a client that expects it.
        ffi::HTTP_SERVICE_UNAVAILABLE if timed_out && !pings(member) => Outcome::TimedOut,
        ffi::HTTP_SERVICE_UNAVAILABLE if turned_away() => Outcome::TurnedAway,
        ffi::HTTP_INTERNAL_SERVER_ERROR | ffi::HTTP_BAD_GATEWAY if not_connected() => {
            Outcome::NotConnected
        }
        ffi::HTTP_GATEWAY_TIME_OUT => Outcome::TimedOut,
        ffi::HTTP_BAD_GATEWAY if timed_out => Outcome::TimedOut,
        ffi::HTTP_INTERNAL_SERVER_ERROR | ffi::HTTP_BAD_GATEWAY | ffi::HTTP_SERVICE_UNAVAILABLE => {
            let is_500 = result == ffi::HTTP_INTERNAL_SERVER_ERROR;
            if let Some(status) = unfit() {
                Outcome::NotTheMember(status)
            } else if result == ffi::HTTP_SERVICE_UNAVAILABLE && refused() {
                Outcome::NotConnected
            } else if is_500 && !connection.broke_with_500(member.protocol) {
                Outcome::NotTheMember(500)
            } else {
                failed()
            }
        }
        other => Outcome::NotTheMember(u16::try_from(other).unwrap_or(500)),
    }
}

/// With the result of a fetch over HTTP from elsewhere than a member: there was no connection, and nothing
/// of the request was sent.
///
/// # Safety
/// `r` is live.
pub unsafe fn unreached(r: *mut ffi::request_rec, result: c_int) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        note(r, OVERRIDDEN).is_none()
            && match result {
                // Else the request was sent, and no 100 (Continue) came.
                ffi::HTTP_SERVICE_UNAVAILABLE => note(r, TIMED_OUT).is_none(),
                ffi::HTTP_INTERNAL_SERVER_ERROR | ffi::HTTP_BAD_GATEWAY => {
                    complains_of_connecting(r)
                }
                _ => false,
            }
    }
}

/// mod_proxy has noted that the name is unknown or TLS failed: "… Reason: <strong>COMPLAINT</strong> …".
unsafe fn complains_of_connecting(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise.
    let text = unsafe { note(r, c"error-notes") }.unwrap_or_default();
    let says = |complaint: &[u8]| text.windows(complaint.len()).any(|part| part == complaint);
    says(b"DNS lookup failure") || says(b"Error during SSL Handshake")
}

/// What mod_proxy or a protocol's module has noted of a request.
unsafe fn note<'a>(r: *mut ffi::request_rec, name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise: a live request; table values are NUL-terminated.
    unsafe {
        let value = ffi::apr_table_get((*r).notes, name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
    }
}

/// The wait for a first byte was over by time, as those modules tell that answer a timeout in the
/// same way as a broken connection.
///
/// # Safety
/// `r` is live.
#[cold]
unsafe fn waited_out(r: *mut ffi::request_rec, record: &Record, member: &Member) -> bool {
    let untold = match member.protocol {
        // After a ping it tells (ap_proxy_ajp_request in mod_proxy_ajp.c).
        Protocol::Ajp => !pings(member),
        Protocol::Http2 | Protocol::Uwsgi => true,
        _ => false,
    };
    if !untold {
        return false;
    }
    // SAFETY: the caller's promise.
    let timeout = unsafe { patience(member, (*r).server) };
    let waited = clock::now().saturating_sub(record.began.get());
    u64::try_from(timeout).is_ok_and(|timeout| waited >= timeout)
}

/// How long mod_proxy waits for a member on behalf of a server, in microseconds.
///
/// # Safety
/// `s` is live.
pub unsafe fn patience(member: &Member, s: *mut ffi::server_rec) -> i64 {
    // SAFETY: the caller's promise; configurations and shared parts live as long as servers.
    unsafe {
        let shared = &*member.shared();
        let conf = proxy::get().and_then(|proxy| proxy.conf(s).as_ref());
        match conf {
            _ if shared.timeout_set() != 0 => shared.timeout,
            Some(conf) if conf.timeout_set() != 0 => conf.timeout,
            _ => (*s).timeout,
        }
    }
}

/// `ping`.
pub fn pings(member: &Member) -> bool {
    // SAFETY: shared parts live as long as the configuration; the bit is written before the member
    // serves.
    unsafe { (*member.shared()).ping_timeout_set() != 0 }
}

/// A client that got a part of an answer has to see that it ends there: mod_proxy_fcgi and
/// mod_proxy_scgi would keep its connection open, and the next answer would go on in this one.
///
/// # Safety
/// `r` is live.
pub unsafe fn cut_off(r: *mut ffi::request_rec) {
    // SAFETY: the caller's promise.
    unsafe { (*(*r).connection).keepalive = ffi::AP_CONN_CLOSE }
}

/// The status that a client gets for an attempt that nothing follows: one for each outcome, where
/// the protocols' modules give 500, 502 or 503.
pub fn for_client(record: &Record, outcome: Outcome, result: c_int) -> c_int {
    match outcome {
        // Of an error httpd would send a second one.
        _ if record.answer.get() == Answer::Page => OK,
        _ if record.answer.get() != Answer::Awaited => result,
        Outcome::Broken { .. } => ffi::HTTP_BAD_GATEWAY,
        Outcome::TimedOut => ffi::HTTP_GATEWAY_TIME_OUT,
        Outcome::NotTheMember(status) if result >= ffi::HTTP_BAD_REQUEST => status.into(),
        _ => result,
    }
}
