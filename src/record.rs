//! The request record: what this module knows of one request, in the request's own pool.

use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{Ordering, compiler_fence};
use std::{ptr, slice};

use athena_engine::config::qos::ClassId;
use athena_engine::cookie::Claims;
use athena_engine::dispatch::Reason;
use athena_engine::{MemberId, Micros};

use crate::connection::Traces;
use crate::elect::Chosen;
use crate::farm::{Farm, Member};
use crate::head::Head;
use crate::runtime::FarmRef;
use crate::sticky::Session;
use crate::{athena_module_ptr, ffi};

/// Members that a record has places for from the start, a power of two; there is no bound but `maxattempts`.
const FIRST_TRIED: usize = 8;

/// Farms one request, or query, may be handed on to. Loops are refused when they are made: this bounds what a
/// change in the middle of a request can do.
pub const HANDOVERS_MAX: u8 = 16;

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
    /// The member closed before the first byte, and mod_proxy closes the client's connection.
    CutOff,
    /// The protocol's module had httpd send a page, past the output filter.
    Page,
    /// It is thrown away: `retryon` names its status, and another member is waiting.
    Discarded,
}

/// See the module's documentation. Never dropped: it holds nothing that needs it.
///
/// mod_proxy's hooks come back to the record while one of our own functions is at work on it, so it
/// is shared, and what changes is in cells. One thread at a time works on a request. Its pool may go in
/// another thread, but only after httpd has handed it over.
pub struct Record {
    pub kind: Kind,
    /// The farm that serves the request; null for [`Kind::Engine`].
    farm: Cell<*const Farm>,
    /// The farm that the request's target names: another one once it is handed over.
    named: *const Farm,
    /// The farm's balancer in the request's own server.
    balancer: Cell<*mut ffi::proxy_balancer>,
    /// The path behind the farm's name, as it came (not canonicalised), NUL-terminated.
    pub raw_path: *const c_char,
    /// The file name (`proxy:URL`) for which the farm's `<Proxy>` sections were applied in
    /// map_to_storage; null: not yet for the farm that serves the request.
    pub walked: Cell<*const c_char>,
    /// A call into mod_proxy is under way, whose hooks are not for us.
    pub nested: Cell<bool>,
    /// The last attempt's member; null from the next election until somebody is elected.
    pub member: Cell<*const Member>,
    /// The current attempt holds a place in the in-flight counts. Given back once, whoever comes
    /// first: the attempt's end or the pool's cleanup.
    pub open: Cell<bool>,
    /// The pool's cleanup is registered.
    pub registered: Cell<bool>,
    /// Its class, among those of its farm.
    pub class: Cell<ClassId>,
    /// The farm has counted the request.
    pub counted: Cell<bool>,
    /// Why the current member was chosen.
    pub reason: Cell<Reason>,
    /// What its signed cookie says, in the request's pool; null without one that may be used.
    pub claims: Cell<*const Claims>,
    /// How many of the farms that it prefers have had their turn.
    pub preference: Cell<usize>,
    /// How long it has waited for places ([`crate::queue`]).
    pub queued: Cell<Micros>,
    /// No member was left because all of them had as many requests as they may.
    pub full: Cell<bool>,
    /// What the request says of its session; `None`: the farm knows no sessions, or nobody was
    /// elected yet.
    pub session: Cell<Option<Session>>,
    /// When the attempt began: its member was chosen.
    pub began: Cell<Micros>,
    /// What [`waiting::begin`](athena_engine::waiting::begin) gave, for `waiting::end`; 0: no answer is awaited.
    pub waits: Cell<u64>,
    /// When its first byte came; 0: not yet.
    pub first_byte: Cell<Micros>,
    pub answer: Cell<Answer>,
    /// Our output filter while it waits for the first byte; null otherwise.
    pub filter: Cell<*mut ffi::ap_filter_t>,
    /// What the attempt's connection left behind.
    pub connection: Cell<Traces>,
    /// The member of the request's session, when it cannot serve and `forward=` of its own says who
    /// does; null otherwise.
    pub pinned_to: Cell<*const Member>,
    /// Of the farms that handed the request over, the last one with a fallback; null for none.
    came_by: Cell<*const Farm>,
    /// A URL that `forward=` leads to, in the request's pool; null for none.
    pub forward: Cell<*const c_char>,
    /// The member that takes over after a discarded answer.
    pub successor: Cell<Option<Chosen>>,
    /// The client connection's count of kept-alive requests, put aside during the attempt.
    pub keepalives: Cell<Option<i32>>,
    /// The value of `proxy-initial-not-pooled`, unset while `keepalives` is put aside; null if it was not set.
    pub not_pooled: Cell<*const c_char>,
    /// What mod_proxy_http has read of the body, while an attempt in another protocol reads it again; else
    /// null.
    pub prefetched: Cell<*mut ffi::apr_bucket_brigade>,
    /// The status for a body that an attempt in another protocol could not read to its end.
    pub unread: Cell<Option<u16>>,
    /// An attempt in another protocol has asked for the body, be there one or not.
    pub asked_for_body: Cell<bool>,
    /// It has been sent to another member though one may have seen it.
    pub replayed: Cell<bool>,
    /// What its attempts came to, once they are over.
    pub served: Cell<Option<c_int>>,
    pub refreshed: Cell<bool>,
    /// When it gives up waiting for a usable member of the farm; 0: it has not had to wait.
    pub waits_until: Cell<Micros>,
    /// Members that it has been given, [`Self::attempts`] of them, in the request's pool. Full with
    /// [`FIRST_TRIED`] of them, and whenever there are twice as many.
    tried: Cell<*mut MemberId>,
    /// The first so many of them can be had again.
    forgiven: Cell<usize>,
    attempts: Cell<usize>,
    /// Of these, how many were made at farms that the request was handed over from.
    elsewhere: Cell<usize>,
    handovers: Cell<u8>,
    /// As it was before the first attempt, when an answer may have to be taken back.
    pub head: Cell<Option<Head>>,
}

impl Record {
    /// The record of a request, when it has one.
    ///
    /// # Safety
    /// `r` is live as long as the result.
    pub unsafe fn of<'a>(r: *mut ffi::request_rec) -> Option<&'a Record> {
        // SAFETY: only `create` stores under our module's index, in the same request's pool.
        unsafe {
            ffi::ath_shim_get_config((*r).request_config, athena_module_ptr())
                .cast::<Record>()
                .as_ref()
        }
    }

    /// Makes the record of a request to one of the engine's own paths.
    ///
    /// # Safety
    /// `r` is live as long as the result.
    pub unsafe fn for_engine<'a>(r: *mut ffi::request_rec) -> &'a Record {
        // SAFETY: the caller's promise.
        unsafe { Self::create(r, Kind::Engine, ptr::null(), ptr::null_mut(), ptr::null()) }
    }

    /// Makes the record of a request to a farm; `raw_path` is the target behind the farm's name.
    ///
    /// # Safety
    /// `r` is live as long as the result, and so is `raw_path`, which is NUL-terminated.
    pub unsafe fn for_farm<'a>(
        r: *mut ffi::request_rec,
        found: FarmRef,
        raw_path: *const c_char,
    ) -> &'a Record {
        // SAFETY: the caller's promise.
        unsafe { Self::create(r, Kind::Farm, found.farm, found.balancer, raw_path) }
    }

    /// Makes the record of a request that mod_proxy_balancer steers.
    ///
    /// # Safety
    /// `r` is live as long as the result.
    pub unsafe fn observed<'a>(r: *mut ffi::request_rec, farm: &Farm) -> &'a Record {
        // SAFETY: the caller's promise.
        unsafe {
            // Its next attempt for the request goes on in the record of the first.
            let earlier = Self::of(r).filter(|record| record.kind == Kind::Observed);
            let create = || Self::create(r, Kind::Observed, farm, farm.balancer, ptr::null());
            earlier.unwrap_or_else(create)
        }
    }

    /// Replaces the record that the request may have.
    unsafe fn create<'a>(
        r: *mut ffi::request_rec,
        kind: Kind,
        farm: *const Farm,
        balancer: *mut ffi::proxy_balancer,
        raw_path: *const c_char,
    ) -> &'a Record {
        // SAFETY: the caller's promise; the pool gives aligned memory (8 bytes, enough for every field) or
        // aborts.
        unsafe {
            const { assert!(align_of::<Record>() <= 8) };
            let size = size_of::<Record>() + size_of::<[MemberId; FIRST_TRIED]>();
            let record: *mut Record = ffi::apr_palloc((*r).pool, size).cast();
            record.write(Record {
                kind,
                farm: Cell::new(farm),
                named: farm,
                balancer: Cell::new(balancer),
                raw_path,
                walked: Cell::new(ptr::null()),
                nested: Cell::new(false),
                member: Cell::new(ptr::null()),
                open: Cell::new(false),
                registered: Cell::new(false),
                class: Cell::new(ClassId::default()),
                counted: Cell::new(false),
                reason: Cell::new(Reason::Method),
                claims: Cell::new(ptr::null()),
                preference: Cell::new(0),
                queued: Cell::new(0),
                full: Cell::new(false),
                session: Cell::new(None),
                began: Cell::new(0),
                waits: Cell::new(0),
                first_byte: Cell::new(0),
                answer: Cell::new(Answer::Awaited),
                filter: Cell::new(ptr::null_mut()),
                connection: Cell::new(Traces::default()),
                pinned_to: Cell::new(ptr::null()),
                came_by: Cell::new(ptr::null()),
                forward: Cell::new(ptr::null()),
                successor: Cell::new(None),
                keepalives: Cell::new(None),
                not_pooled: Cell::new(ptr::null()),
                prefetched: Cell::new(ptr::null_mut()),
                unread: Cell::new(None),
                asked_for_body: Cell::new(false),
                replayed: Cell::new(false),
                served: Cell::new(None),
                refreshed: Cell::new(false),
                waits_until: Cell::new(0),
                forgiven: Cell::new(0),
                tried: Cell::new(record.add(1).cast()),
                attempts: Cell::new(0),
                elsewhere: Cell::new(0),
                handovers: Cell::new(0),
                head: Cell::new(None),
            });
            ffi::ath_shim_set_config((*r).request_config, athena_module_ptr(), record.cast());
            &*record
        }
    }

    /// The request is none of ours after all. For one that no farm has begun to serve.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn forget(r: *mut ffi::request_rec) {
        // SAFETY: the caller's promise; the slot is our module's own.
        unsafe {
            ffi::ath_shim_set_config((*r).request_config, athena_module_ptr(), ptr::null_mut());
        }
    }

    /// The farm that serves the request.
    pub fn farm<'a>(&self) -> Option<&'a Farm> {
        // SAFETY: farms live as long as the configuration, which outlives its requests.
        unsafe { self.farm.get().as_ref() }
    }

    /// The farm that the request's target names.
    pub fn named<'a>(&self) -> Option<&'a Farm> {
        // SAFETY: as above.
        unsafe { self.named.as_ref() }
    }

    /// The farm's balancer in the request's own server.
    pub fn balancer(&self) -> *mut ffi::proxy_balancer {
        self.balancer.get()
    }

    /// See the field.
    pub fn pinned_to<'a>(&self) -> Option<&'a Member> {
        // SAFETY: as for farms.
        unsafe { self.pinned_to.get().as_ref() }
    }

    /// See the field.
    pub fn came_by<'a>(&self) -> Option<&'a Farm> {
        // SAFETY: as for farms.
        unsafe { self.came_by.get().as_ref() }
    }

    /// Another farm serves the request from here on: what was found out for the former one is
    /// forgotten, where the request has been is not. False when it has moved too often.
    pub fn hand_over(&self, farm: FarmRef) -> bool {
        let handovers = self.handovers.get() + 1;
        if handovers > HANDOVERS_MAX {
            return false;
        }
        self.handovers.set(handovers);
        if let Some(former) = self.farm().filter(|farm| farm.fallback().is_some()) {
            self.came_by.set(former);
        }
        self.farm.set(farm.farm);
        self.balancer.set(farm.balancer);
        self.walked.set(ptr::null());
        self.member.set(ptr::null());
        self.session.set(None);
        self.class.set(ClassId::default());
        self.full.set(false);
        self.pinned_to.set(ptr::null());
        self.successor.set(None);
        self.counted.set(false);
        self.elsewhere.set(self.attempts());
        self.waits_until.set(0);
        true
    }

    /// The current attempt's member.
    pub fn member<'a>(&self) -> Option<&'a Member> {
        // SAFETY: as for farms.
        unsafe { self.member.get().as_ref() }
    }

    /// What its signed cookie says.
    pub fn claims(&self) -> Option<&Claims> {
        // SAFETY: null, or in the pool of the request whose record holds it.
        unsafe { self.claims.get().as_ref() }
    }

    /// Its cookie names farms that have not had their turn.
    pub fn prefers_more(&self) -> bool {
        self.claims()
            .is_some_and(|claims| self.preference.get() < claims.farms.len())
    }

    /// Members that this request has been given and is not to be given again.
    pub fn tried(&self) -> &[MemberId] {
        let forgiven = self.forgiven.get();
        // SAFETY: `note_tried` has written so many, which never change, in a pool that outlives the record.
        unsafe {
            let first = self.tried.get().add(forgiven);
            slice::from_raw_parts(first, self.attempts().saturating_sub(forgiven))
        }
    }

    /// Members that the request has been to so far can be had again.
    pub fn forgive(&self) {
        self.forgiven.set(self.attempts());
    }

    /// How many members this request has been given.
    pub fn attempts(&self) -> usize {
        self.attempts.get()
    }

    /// How many of them belong to the farm that serves the request.
    pub fn attempts_here(&self) -> usize {
        self.attempts.get().saturating_sub(self.elsewhere.get())
    }

    /// Notes a member as tried.
    ///
    /// # Safety
    /// `r` is live and the record its own.
    pub unsafe fn note_tried(&self, r: *mut ffi::request_rec, id: MemberId) {
        let attempts = self.attempts();
        // SAFETY: the caller's promise; there is room for `attempts` and at least one more: see the field. The
        // former places stay as they are, for whoever still reads them.
        unsafe {
            if attempts >= FIRST_TRIED && attempts.is_power_of_two() {
                let size = 2 * attempts * size_of::<MemberId>();
                let places: *mut MemberId = ffi::apr_palloc((*r).pool, size).cast();
                places.copy_from_nonoverlapping(self.tried.get(), attempts);
                self.tried.set(places);
            }
            self.tried.get().add(attempts).write(id);
        }
        self.attempts.set(attempts + 1);
    }

    /// Gives back the attempt's place in the counts: true for the one caller who has to do it.
    pub fn close(&self) -> bool {
        let open = self.open.replace(false);
        // A signal may end a child of prefork here, pools and all. Rather no place given back, which httpd's
        // parent makes good, than one twice.
        compiler_fence(Ordering::SeqCst);
        open
    }
}
