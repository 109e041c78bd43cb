//! A member as this process knows it: its seat on the board, and what its line says. What mod_proxy
//! and others see of it is in [`super::shared`].

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

use athena_engine::Micros;
use athena_engine::board::inflight::Totals;
use athena_engine::board::record::MemberRecord;
use athena_engine::board::{MemberExtras, MemberSeat, MemberSpec, Settings};
use athena_engine::change::MemberState;
use athena_engine::check::Check;
use athena_engine::config::forward::Forward;
use athena_engine::config::param::MemberParams;
use athena_engine::reverse::Origin;

use super::Farm;
use crate::connection::Protocol;
use crate::{agent, ffi, naming, warm};

/// One member. What each request reads comes first, and lies together.
#[repr(C, align(64))]
pub struct Member {
    /// mod_proxy's worker: address, connection pool, protocol.
    pub worker: *mut ffi::proxy_worker,
    /// Its shared part, which mod_proxy has moved to where it stays before members are made.
    pub(super) shared: *mut ffi::proxy_worker_shared,
    pub seat: MemberSeat,
    /// Which of its seat's members it is; 0: one that nobody added at run time.
    pub tenure: u32,
    pub protocol: Protocol,
    /// This child's own in-flight cell on the board; null in the parent and without a slot.
    pub cell: AtomicPtr<AtomicU32>,
    /// Where its latest connection in this child lies.
    pub warm: warm::Places,
    /// Its name for people: `host:port`, or what `name=` says.
    pub name: String,
    pub c_name: CString,
    /// Where it is, for who asks: `host[:port]`, or its socket.
    pub address: String,
    /// What its line says, or its farm's for it.
    pub params: MemberParams,
    /// What the configuration says of it and people can replace.
    pub extras: MemberExtras,
    /// Where its URLs begin, to be told in answers.
    pub origin: Option<Origin>,
    /// Its agent, if there is one to be asked.
    pub agent: Option<agent::Asked>,
    /// How it is checked: one that was added, which mod_proxy_hcheck does not see.
    pub check: Option<Check>,
    /// mod_proxy had it in error when last looked at (engine off).
    pub(super) seen_error: AtomicBool,
}

impl Member {
    /// A member over its worker and its seat on the board.
    pub fn new(
        worker: *mut ffi::proxy_worker,
        seat: MemberSeat,
        name: String,
        params: MemberParams,
        extras: MemberExtras,
    ) -> Self {
        // SAFETY: workers and their shared parts live as long as the configuration.
        let scheme = naming::read(unsafe { &(*(*worker).s).scheme });
        let mut member = Self {
            worker,
            // SAFETY: the caller's worker, which lives as long as the configuration.
            shared: unsafe { (*worker).s },
            protocol: Protocol::of(scheme),
            seat,
            tenure: 0,
            c_name: CString::new(name.as_str()).unwrap_or_default(),
            name,
            // SAFETY: the caller's worker, which lives as long as the configuration.
            address: unsafe { naming::shortest_address(worker) },
            agent: params.agent.as_ref().map(|_| agent::Asked::default()),
            check: None,
            params,
            extras,
            origin: None,
            cell: AtomicPtr::default(),
            warm: warm::Places::default(),
            seen_error: AtomicBool::new(false),
        };
        member.origin = Origin::of(member.url().to_bytes());
        member
    }

    /// The member's record.
    pub fn record(&self) -> &'static MemberRecord {
        self.seat.record
    }

    /// Whether it is still there: members that were added can be removed.
    pub fn is_current(&self) -> bool {
        self.tenure == 0 || self.record().admin.tenure.load(Ordering::Relaxed) == self.tenure
    }

    /// As [`Self::is_current`], for a request that it was just given: if so, its seat is not another's
    /// before the request has ended.
    pub fn keeps(&self) -> bool {
        self.tenure == 0 || self.seat.is_still(self.tenure)
    }

    /// What its requests count in, as a member of that farm.
    pub fn totals(&self, farm: Option<&Farm>) -> Totals<'static> {
        let farm = farm.filter(|farm| farm.has_total());
        Totals {
            member: &self.record().hot.inflight,
            farm: farm.map(|farm| &farm.seat.record.hot.inflight),
        }
    }

    /// `forward` in force.
    pub fn forward(&self) -> Option<Forward> {
        match self.record().changed.forward.get() {
            None => self.params.forward.clone(),
            Some(text) => Forward::read(&text).ok(),
        }
    }

    /// Whatever is in force of what people can change.
    pub fn state(&self) -> MemberState {
        let mut state = MemberState::of(self.record(), &self.extras);
        // Sessions go by these, whoever wrote them: mod_proxy's balancer-manager tells nobody.
        // SAFETY: shared parts live as long as the configuration.
        let (route, redirect) = unsafe { (&(*self.shared).route, &(*self.shared).redirect) };
        state.extras.route = naming::read_text(route);
        state.extras.redirect = naming::read_text(redirect);
        state
    }

    /// Puts it in force: on the board, and in mod_proxy's shared part. The caller holds the farm's
    /// lock.
    pub fn put(&self, state: &MemberState) {
        state.store(self.record(), &self.extras);
        self.show(state.settings);
        let extras = &state.extras;
        self.show_routes(Some(&extras.route), Some(&extras.redirect));
    }

    /// `slowstart`, in microseconds; 0 for none.
    pub fn slow_start(&self) -> Micros {
        let changed = self.record().changed.slow_start.get();
        let seconds = changed.unwrap_or(self.extras.slow_start).unwrap_or(0);
        u64::from(seconds) * 1_000_000
    }

    /// `draintimeout`; `None`: for ever.
    pub fn drain_timeout(&self) -> Option<Duration> {
        let changed = self.record().changed.drain_timeout.get();
        let seconds = changed.unwrap_or(self.extras.drain_timeout)?;
        Some(Duration::from_secs(seconds.into()))
    }
}

/// What a member's line says and people can replace.
///
/// # Safety
/// `worker` is live.
pub unsafe fn extras(worker: *mut ffi::proxy_worker, params: &MemberParams) -> MemberExtras {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    // SAFETY: the caller's promise.
    let shared = unsafe { &*(*worker).s };
    MemberExtras {
        route: naming::text(shared.route.as_ptr()),
        redirect: naming::text(shared.redirect.as_ptr()),
        slow_start: params.slow_start.map(seconds),
        drain_timeout: params.drain_timeout.map(seconds),
        forward: params
            .forward
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// What the board is told of a member: what its line says, mod_proxy's part of it being `configured`,
/// and what had been set already.
///
/// # Safety
/// `worker` is live.
pub unsafe fn spec(
    worker: *mut ffi::proxy_worker,
    name: String,
    extras: MemberExtras,
    params: &MemberParams,
    configured: Settings,
    stored: Option<Settings>,
) -> MemberSpec {
    MemberSpec {
        // SAFETY: the caller's promise.
        url: naming::text(unsafe { (*(*worker).s).name_ex.as_ptr() }),
        name,
        extras,
        settings: Settings {
            max_conn: params.max_conn.unwrap_or(0),
            ..configured
        },
        stored,
    }
}
