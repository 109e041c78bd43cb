//! The request record: what this module knows of one request, in the request's own pool.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use athena_engine::dispatch::Reason;
use athena_engine::{MemberId, Micros};

use crate::farm::{Farm, Member};
use crate::runtime::FarmRef;
use crate::{athena_module_ptr, ffi};

/// Members one request may be given; a farm that fails more often than this in a row has nothing
/// to offer this request.
const ATTEMPTS_MAX: usize = 32;

/// What this request is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A reverse-proxy request whose target is a farm.
    Farm,
    /// A request to one of the engine's own paths.
    Engine,
    /// Served by mod_proxy_balancer with one of our methods (engine off): counted, not steered.
    Observed,
}

/// How the response to the current attempt is to be treated by the output filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing of it has come yet.
    Awaited,
    /// Its first bytes have gone on to the client.
    Passed,
    /// It is thrown away: `retryon` names its status, and another member is waiting.
    Discarded,
}

/// See the module's documentation. Plain data only: it is never dropped.
pub struct Record {
    pub kind: Kind,
    /// The farm; null for [`Kind::Engine`].
    pub farm: *const Farm,
    /// The balancer of the request's own server.
    pub balancer: *mut ffi::proxy_balancer,
    /// The path behind the farm's name, as it came (not canonicalised), NUL-terminated.
    pub raw_path: *const c_char,
    /// The file name (`proxy:URL`) for which the farm's `<Proxy>` sections were applied in
    /// map_to_storage; null: not yet.
    pub walked: *const c_char,
    /// A call into mod_proxy is under way, whose hooks are not for us.
    pub nested: bool,
    /// The current attempt's member; null between attempts.
    pub member: *const Member,
    /// The current attempt holds a place in the in-flight counts. Given back once, whoever comes
    /// first: the attempt's end or the pool's cleanup (perhaps in another thread).
    pub open: AtomicBool,
    /// The pool's cleanup is registered, and the farm has counted the request.
    pub registered: bool,
    /// Why the current member was chosen.
    pub reason: Reason,
    /// When the attempt began.
    pub began: Micros,
    /// When its first byte came; 0: not yet.
    pub first_byte: Micros,
    pub answer: Answer,
    /// Our output filter while it waits for the first byte; null otherwise.
    pub filter: *mut ffi::ap_filter_t,
    /// A new connection was made during the attempt.
    pub connected: bool,
    /// The member that takes over after a discarded answer.
    pub successor: Option<(*const Member, Reason)>,
    /// The client connection's count of kept-alive requests, put aside during the attempt.
    pub keepalives: Option<i32>,
    pub replays: u32,
    pub refreshed: bool,
    tried: [MemberId; ATTEMPTS_MAX],
    attempts: usize,
    /// Response headers as they were before the attempt, when an answer may have to be taken back.
    pub headers: *mut ffi::apr_table_t,
    pub err_headers: *mut ffi::apr_table_t,
}

impl Record {
    /// The record of a request, when it has one.
    pub fn of<'a>(r: *mut ffi::request_rec) -> Option<&'a mut Record> {
        // SAFETY: only `create` stores under our module's index, in the same request's pool; one
        // thread at a time processes a request.
        unsafe {
            ffi::ath_shim_get_config((*r).request_config, athena_module_ptr())
                .cast::<Record>()
                .as_mut()
        }
    }

    /// Makes the record of a request, replacing one it may have.
    pub fn create<'a>(r: *mut ffi::request_rec, kind: Kind) -> Option<&'a mut Record> {
        // SAFETY: the pool gives aligned memory (8 bytes, enough for every field) or aborts; the
        // record holds nothing that needs dropping.
        unsafe {
            const { assert!(align_of::<Record>() <= 8) };
            let record: *mut Record = ffi::apr_palloc((*r).pool, size_of::<Record>()).cast();
            if record.is_null() {
                return None;
            }
            record.write(Record {
                kind,
                farm: ptr::null(),
                balancer: ptr::null_mut(),
                raw_path: ptr::null(),
                walked: ptr::null(),
                nested: false,
                member: ptr::null(),
                open: AtomicBool::new(false),
                registered: false,
                reason: Reason::Method,
                began: 0,
                first_byte: 0,
                answer: Answer::Awaited,
                filter: ptr::null_mut(),
                connected: false,
                successor: None,
                keepalives: None,
                replays: 0,
                refreshed: false,
                tried: [MemberId(u32::MAX); ATTEMPTS_MAX],
                attempts: 0,
                headers: ptr::null_mut(),
                err_headers: ptr::null_mut(),
            });
            ffi::ath_shim_set_config((*r).request_config, athena_module_ptr(), record.cast());
            record.as_mut()
        }
    }

    /// Makes the record of a request to a farm; `raw_path` is the target behind the farm's name.
    pub fn for_farm<'a>(
        r: *mut ffi::request_rec,
        found: FarmRef,
        raw_path: *const c_char,
    ) -> Option<&'a mut Record> {
        let record = Self::create(r, Kind::Farm)?;
        record.farm = found.farm;
        record.balancer = found.balancer;
        record.raw_path = raw_path;
        Some(record)
    }

    /// The request's farm.
    pub fn farm<'a>(&self) -> Option<&'a Farm> {
        // SAFETY: farms live as long as the configuration, which outlives its requests.
        unsafe { self.farm.as_ref() }
    }

    /// The current attempt's member.
    pub fn member<'a>(&self) -> Option<&'a Member> {
        // SAFETY: as for farms.
        unsafe { self.member.as_ref() }
    }

    /// Members this request has been given.
    pub fn tried(&self) -> &[MemberId] {
        self.tried.get(..self.attempts).unwrap_or_default()
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> usize {
        self.attempts
    }

    /// Notes a member as tried; false when the request has had its share of attempts.
    pub fn note_tried(&mut self, id: MemberId) -> bool {
        match self.tried.get_mut(self.attempts) {
            Some(place) => {
                *place = id;
                self.attempts += 1;
                true
            }
            None => false,
        }
    }

    /// Gives back the attempt's place in the counts: true for the one caller who has to do it.
    pub fn close(&self) -> bool {
        self.open.swap(false, Ordering::AcqRel)
    }
}
