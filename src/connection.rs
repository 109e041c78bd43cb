//! Whether an attempt had a connection to its member, and whether that was a new one. mod_proxy does
//! not say; each of its protocol modules gives it away in another manner, and this file knows how.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};

use crate::farm::Member;
use crate::ffi;
use crate::guard::guard;
use crate::record::Record;
use crate::{outcome, warm};

/// The protocol spoken to a member, by its URL's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// http, https, ws, wss, and what other modules bring along.
    Http,
    /// h2, h2c.
    Http2,
    Ajp,
    Fcgi,
    Scgi,
    Uwsgi,
}

impl Protocol {
    /// By the scheme as mod_proxy keeps it, in lower case.
    pub fn of(scheme: &CStr) -> Self {
        match scheme.to_bytes() {
            b"h2" | b"h2c" => Self::Http2,
            b"ajp" => Self::Ajp,
            b"fcgi" => Self::Fcgi,
            b"scgi" => Self::Scgi,
            b"uwsgi" => Self::Uwsgi,
            _ => Self::Http,
        }
    }

    /// An answer that breaks off before its body leaves a part of its head in the request, if only cookies.
    pub fn leaves_heads(self) -> bool {
        !matches!(self, Self::Http | Self::Uwsgi)
    }
}

/// What became known of an attempt's connection.
#[derive(Clone, Copy, Default)]
pub struct Traces {
    /// httpd's connection hooks ran for a new one: http, h2, uwsgi.
    made: bool,
    /// When the attempt began, an open one waited in the pool: ajp, fcgi, h2. Another thread may have
    /// been faster, or it was closed meanwhile; then an idempotent request is sent once more than
    /// need be.
    kept: bool,
    /// The request was written, for which it has to be connected: fcgi, scgi.
    written: bool,
    /// The head of an answer was read: uwsgi.
    head: bool,
    /// The module asked for the request's body, after it sent the head: ajp.
    asked_for_body: bool,
}

/// A variable that fcgi and scgi requests get when they are written.
const CGI: &CStr = c"GATEWAY_INTERFACE";

/// Makes an attempt and notes in the record what its connection left behind.
///
/// # Safety
/// `r` is live and `record` its own; the member's worker is initialised.
pub unsafe fn watch(
    r: *mut ffi::request_rec,
    record: &Record,
    member: &Member,
    attempt: impl FnOnce() -> c_int,
) -> c_int {
    let protocol = member.protocol;
    let before = CONNECTIONS.get();
    // SAFETY: the caller's promise; tables belong to the request.
    unsafe {
        let is_cgi = matches!(protocol, Protocol::Fcgi | Protocol::Scgi);
        if is_cgi {
            ffi::apr_table_unset((*r).subprocess_env, CGI.as_ptr());
        }
        let headers = || (*ffi::apr_table_elts((*r).headers_out)).nelts;
        let headers_before = headers();
        let kept = keeps(member) && one_waits(member);
        let result = warm::during(record.farm(), member, attempt);
        record.connection.set(Traces {
            made: CONNECTIONS.get() != before,
            kept,
            written: is_cgi && !ffi::apr_table_get((*r).subprocess_env, CGI.as_ptr()).is_null(),
            head: protocol == Protocol::Uwsgi && headers() > headers_before,
            asked_for_body: record.asked_for_body.take(),
        });
        result
    }
}

impl Traces {
    /// The request went, or may have gone, over a connection that had been used before.
    pub fn reused(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Http => !self.made,
            Protocol::Http2 => self.kept && !self.made,
            Protocol::Ajp | Protocol::Fcgi => self.kept,
            // Never kept.
            Protocol::Scgi | Protocol::Uwsgi => false,
        }
    }

    /// With a result of 503: there was no connection, and nothing was sent.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn refused(self, r: *mut ffi::request_rec, member: &Member) -> bool {
        let in_error = || is_in_error(member);
        match member.protocol {
            // It keeps this code for that, and for a member that does not say 100 (Continue) within
            // its `ping`.
            Protocol::Http => true,
            Protocol::Uwsgi => !self.made,
            Protocol::Http2 => !self.made && (in_error() || !self.kept),
            Protocol::Fcgi | Protocol::Scgi => !self.written && (in_error() || !self.kept),
            // AJP gives 503 also for requests that were sent, if they are idempotent and have no query
            // string, even when parts of a chunked body went out. A member whose errors are ignored
            // (`status=+I`) looks broken to them. Until a ping is answered, nothing is sent.
            // SAFETY: the caller's promise.
            Protocol::Ajp => unsafe {
                !outcome::is_idempotent(r)
                    || !(*r).args.is_null()
                    || (!outcome::has_chunked_body(r)
                        && (in_error() || (begins_with_ping(member) && !self.asked_for_body)))
            },
        }
    }

    /// Without an answer: there was a connection, and nothing says that the whole request was sent.
    pub fn may_be_unsent(self, member: &Member) -> bool {
        let connected = match member.protocol {
            Protocol::Uwsgi => self.made && !self.head,
            Protocol::Http2 => self.made || self.kept,
            Protocol::Ajp => !self.asked_for_body,
            _ => false,
        };
        connected && !is_in_error(member)
    }

    /// With a result of 500: the connection broke.
    pub fn broke_with_500(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Ajp => true,
            Protocol::Scgi => self.written,
            Protocol::Uwsgi => self.made,
            Protocol::Http | Protocol::Http2 | Protocol::Fcgi => false,
        }
    }

    /// The result is the status of an answer that httpd's own page replaces (ProxyErrorOverride);
    /// the other modules leave a note.
    pub fn overridden(self, result: c_int) -> bool {
        self.head && result >= ffi::HTTP_BAD_REQUEST
    }

    /// With a result of 503: nothing was sent for want of a free connection, or because the member may
    /// no longer serve: mod_proxy looks once more before it connects.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn turned_away(self, r: *mut ffi::request_rec, member: &Member) -> bool {
        // SAFETY: the caller's promise.
        let untold = member.protocol == Protocol::Ajp && unsafe { outcome::has_chunked_body(r) };
        !self.made && !self.written && !untold && (pool_is_full(member) || !member.serves(false))
    }
}

/// What mod_proxy does to a member when it cannot connect; the attempt began without.
fn is_in_error(member: &Member) -> bool {
    member.status() & ffi::PROXY_WORKER_IN_ERROR.unsigned_abs() != 0
}

/// Before a request is sent, the member has to answer a ping: there is no connection without.
fn begins_with_ping(member: &Member) -> bool {
    member.protocol == Protocol::Ajp && outcome::pings(member)
}

/// The protocol's module keeps connections, and tells by no hook which ones are new (or, for h2, has
/// to be told apart from one that could not connect).
fn keeps(member: &Member) -> bool {
    if matches!(
        member.protocol,
        Protocol::Http | Protocol::Scgi | Protocol::Uwsgi
    ) {
        return false;
    }
    // SAFETY: the shared part lives as long as the configuration; these bits are written at
    // configuration time only.
    let (disabled, set) = unsafe {
        let shared = &*member.shared();
        (shared.disablereuse() != 0, shared.disablereuse_set() != 0)
    };
    // mod_proxy_fcgi keeps none unless it was said explicitly.
    !disabled && (set || member.protocol != Protocol::Fcgi)
}

/// An open connection is the next that the pool gives out.
///
/// # Safety
/// The member's worker is initialised.
unsafe fn one_waits(member: &Member) -> bool {
    // SAFETY: the pool and what it holds live as long as the configuration. A connection that was
    // taken out of the list is this thread's until it is put back.
    unsafe {
        let Some(pool) = (*member.worker).cp.as_ref() else {
            return false;
        };
        if pool.res.is_null() {
            return is_open(pool.conn);
        }
        let mut taken: *mut c_void = std::ptr::null_mut();
        if pool_is_full(member)
            || ffi::apr_reslist_acquire(pool.res, &raw mut taken) != ffi::APR_SUCCESS
        {
            return false;
        }
        let open = is_open(taken.cast());
        // Back on top: the list gives out what came last.
        ffi::apr_reslist_release(pool.res, taken);
        open
    }
}

/// Closes the connections that this process keeps to a member which is gone and has no request any more.
///
/// # Safety
/// The member's worker is initialised; nobody else calls this for it.
pub unsafe fn close_idle(member: &Member) {
    // SAFETY: the pool lives as long as the configuration. Without a list, one thread serves requests,
    // and none is with this member; a list has a lock of its own.
    unsafe {
        let Some(pool) = (*member.worker).cp.as_mut() else {
            return;
        };
        if pool.res.is_null() {
            let kept = std::mem::replace(&mut pool.conn, std::ptr::null_mut());
            if let Some(kept) = kept.as_ref() {
                ffi::apr_pool_destroy(kept.pool);
            }
            return;
        }
        // While nobody has one, the list gives one out without waiting: a closed one at the end.
        let mut open = true;
        while open && ffi::apr_reslist_acquired_count(pool.res) == 0 {
            let mut taken: *mut c_void = std::ptr::null_mut();
            if ffi::apr_reslist_acquire(pool.res, &raw mut taken) != ffi::APR_SUCCESS {
                return;
            }
            open = is_open(taken.cast());
            ffi::apr_reslist_invalidate(pool.res, taken);
        }
    }
}

/// Whether a pool's connection, which is this thread's, is connected.
unsafe fn is_open(connection: *const ffi::proxy_conn_rec) -> bool {
    // SAFETY: the caller's promise.
    unsafe { connection.as_ref() }.is_some_and(|connection| !connection.sock.is_null())
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

/// The `pre_connection` hook: called for each new connection, those to members included, in the
/// thread that makes them.
pub unsafe extern "C" fn pre_connection(
    connection: *mut ffi::conn_rec,
    _socket: *mut c_void,
) -> c_int {
    guard!("pre_connection", ffi::DECLINED, {
        CONNECTIONS.set(CONNECTIONS.get().wrapping_add(1));
        // SAFETY: httpd calls with a new connection.
        unsafe { warm::note(connection) };
        ffi::DECLINED
    })
}

thread_local! {
    /// Connections that httpd set up in this thread; an attempt compares before and after.
    static CONNECTIONS: Cell<u32> = const { Cell::new(0) };
}
