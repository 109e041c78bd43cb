//! A farm and its members as this process knows them: mod_proxy's structures on one side, the
//! board's records on the other.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use athena_engine::board::inflight::Totals;
use athena_engine::board::record::{MemberRecord, flags};
use athena_engine::board::{FarmExtras, FarmSeat, FarmSpec, MemberExtras, MemberSeat, Settings};
use athena_engine::change::{FarmState, MemberState};
use athena_engine::config::forward::Forward;
use athena_engine::config::param::{Fallback, FarmParams, MemberParams};
use athena_engine::config::qos::{ClassId, Classes};
use athena_engine::dispatch::Lineup;
use athena_engine::health::{self, Cause};
use athena_engine::method;
use athena_engine::plan::PlanMember;
use athena_engine::reverse::Origin;
use athena_engine::{MemberId, Micros, ejection};

use crate::added::Seats;
use crate::connection::Protocol;
use crate::growth::Growth;
use crate::members::Members;
use crate::rule::Rule;
use crate::{agent, clock, drain, ffi, naming};

/// Status bits of mod_proxy that keep a worker from being used, our own error state left out.
const NOT_SERVING: u32 = (ffi::PROXY_WORKER_DISABLED
    | ffi::PROXY_WORKER_STOPPED
    | ffi::PROXY_WORKER_IN_SHUTDOWN
    | ffi::PROXY_WORKER_HC_FAIL) as u32;

/// mod_proxy's status bits and the flags they are on the board.
const LETTERS: [(i32, u32); 7] = [
    (ffi::PROXY_WORKER_DISABLED, flags::DISABLED),
    (ffi::PROXY_WORKER_STOPPED, flags::STOPPED),
    (ffi::PROXY_WORKER_IGNORE_ERRORS, flags::IGNORE_ERRORS),
    (ffi::PROXY_WORKER_HOT_STANDBY, flags::STANDBY),
    (ffi::PROXY_WORKER_HOT_SPARE, flags::SPARE),
    (ffi::PROXY_WORKER_DRAIN, flags::DRAIN),
    (ffi::PROXY_WORKER_HC_FAIL, flags::CHECK_FAILED),
];

/// One member.
pub struct Member {
    /// mod_proxy's worker: address, connection pool, protocol.
    pub worker: *mut ffi::proxy_worker,
    pub protocol: Protocol,
    pub seat: MemberSeat,
    /// Which of its seat's members it is; 0: one that nobody added at run time.
    pub tenure: u32,
    /// Its name for people: `host:port`, or what `name=` says.
    pub name: String,
    pub c_name: CString,
    /// Where it is, for who asks: `host[:port]`, or its socket.
    pub address: String,
    /// What its line says, or its farm's for it.
    pub params: MemberParams,
    /// What the configuration says of it and people can replace.
    extras: MemberExtras,
    /// Where its URLs begin, to be told in answers.
    pub origin: Option<Origin>,
    /// Where its agent is asked.
    pub agent: Option<SocketAddr>,
    /// This child's own in-flight cell on the board; null in the parent and without a slot.
    pub cell: AtomicPtr<AtomicU32>,
    /// mod_proxy had it in error when last looked at (engine off).
    seen_error: AtomicBool,
}

/// One farm.
pub struct Farm {
    /// Its name, lower case.
    pub name: String,
    pub c_name: CString,
    /// The engine is off: mod_proxy_balancer steers, and asks our method.
    pub observed: bool,
    /// The server that defines it: `main`, or the virtual host's name.
    pub server: String,
    /// That server, for log lines.
    pub server_rec: *mut ffi::server_rec,
    pub seat: FarmSeat,
    pub members: Members,
    pub growth: Growth,
    pub added: Seats,
    pub params: FarmParams,
    /// What the configuration says of it and people can replace.
    pub extras: FarmExtras,
    pub classes: Classes,
    /// `failonstatus` and `failontimeout`, as mod_proxy parsed them.
    pub fail_on_status: Vec<u16>,
    pub fail_on_timeout: bool,
    /// The balancer of the server that defines the farm.
    pub balancer: *mut ffi::proxy_balancer,
    /// The version of the board's method that this process follows ([`crate::method`]).
    pub method_seen: AtomicU32,
    /// The provider the configuration named, and the rule it stands for.
    pub provider: (*const ffi::proxy_balancer_method, Rule),
    /// What mod_proxy is handed as the worker of a request to this farm: never in error, so that
    /// its own retry loop stays out of the way; the attempts go to the members' workers.
    pub front: *mut ffi::proxy_worker,
    /// The members by their places on the board.
    pub roll: Roll,
}

/// Positions of members by board index: from the lowest index of the farm on, `u32::MAX` where a
/// record is another farm's.
pub struct Roll {
    first: u32,
    positions: Vec<u32>,
}

// SAFETY: the raw pointers are mod_proxy's own structures, which httpd's threads share by design;
// everything else is atomic or never written after the start.
unsafe impl Sync for Farm {}
// SAFETY: as above; nothing is bound to a thread.
unsafe impl Send for Farm {}

impl Member {
    /// A member over its worker and its seat on the board.
    pub fn new(
        worker: *mut ffi::proxy_worker,
        seat: MemberSeat,
        name: String,
        params: MemberParams,
        extras: MemberExtras,
    ) -> Self {
        // SAFETY: workers and their shared parts live as long as the configuration; the scheme is
        // NUL-terminated within the part and written at configuration time only.
        let scheme = unsafe { CStr::from_ptr((*(*worker).s).scheme.as_ptr()) };
        let mut member = Self {
            worker,
            protocol: Protocol::of(scheme),
            seat,
            tenure: 0,
            c_name: CString::new(name.as_str()).unwrap_or_default(),
            name,
            // SAFETY: the caller's worker, which lives as long as the configuration.
            address: unsafe { naming::shortest_address(worker) },
            params,
            extras,
            origin: None,
            agent: None,
            cell: AtomicPtr::default(),
            seen_error: AtomicBool::new(false),
        };
        member.origin = Origin::of(member.url().to_bytes());
        member.agent = agent::address_of(&member);
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

    /// mod_proxy's shared part of the worker.
    pub fn shared(&self) -> *mut ffi::proxy_worker_shared {
        // SAFETY: workers and their shared parts live as long as the configuration.
        unsafe { (*self.worker).s }
    }

    /// What its requests count in, as a member of that farm.
    pub fn totals(&self, farm: Option<&Farm>) -> Totals<'static> {
        let farm = farm.filter(|farm| farm.has_total());
        Totals {
            member: &self.record().hot.inflight,
            farm: farm.map(|farm| &farm.seat.record.hot.inflight),
        }
    }

    /// The URL as mod_proxy keeps it.
    pub fn url(&self) -> &CStr {
        // SAFETY: name_ex is NUL-terminated within the shared part (mod_proxy writes it by
        // ap_proxy_strncpy) and is written at configuration time only.
        unsafe { CStr::from_ptr((*self.shared()).name_ex.as_ptr()) }
    }

    /// The host of its URL.
    pub fn host(&self) -> &str {
        // SAFETY: as `url`; mod_proxy keeps the host in its own array.
        let host = unsafe { CStr::from_ptr((*self.shared()).hostname_ex.as_ptr()) };
        host.to_str().unwrap_or_default()
    }

    /// The session route; empty for none.
    pub fn route(&self) -> &CStr {
        // SAFETY: as `url`; balancer-manager writes the route by ap_proxy_strncpy, which never
        // leaves the array without a NUL.
        unsafe { CStr::from_ptr((*self.shared()).route.as_ptr()) }
    }

    /// `redirect`: the route of the member that takes over its sessions; empty for none.
    pub fn redirect(&self) -> &CStr {
        // SAFETY: as `route`.
        unsafe { CStr::from_ptr((*self.shared()).redirect.as_ptr()) }
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
        MemberState::of(self.record(), &self.extras)
    }

    /// Puts it in force: on the board, and in mod_proxy's shared part. The caller holds the farm's
    /// lock.
    pub fn put(&self, state: &MemberState) {
        state.store(self.record(), &self.extras);
        self.show(state.settings);
        self.show_route(&state.extras.route);
    }

    /// mod_proxy's status bits now.
    pub fn status(&self) -> u32 {
        // SAFETY: an aligned integer that other threads may write: read as the atomic it is used
        // as by every process.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.shared()).status) }.load(Ordering::Relaxed)
    }

    /// Shows our error state to mod_proxy, so that its pages and its connection pool agree.
    pub fn mirror_error(&self, in_error: bool) {
        let bit = ffi::PROXY_WORKER_IN_ERROR as u32;
        // SAFETY: as `status`; error_time is only read for display and by mod_proxy's own retry.
        unsafe {
            let status = AtomicU32::from_ptr(&raw mut (*self.shared()).status);
            if in_error {
                (*self.shared()).error_time = self.error_time();
                status.fetch_or(bit, Ordering::Relaxed);
            } else {
                status.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    /// The time that makes mod_proxy's own retry (which finders of other modules run) come due when
    /// our probe does.
    fn error_time(&self) -> i64 {
        let micros = |time: Micros| i64::try_from(time).unwrap_or(0);
        let probe_at = self.record().health.retry_at.load(Ordering::Relaxed);
        let left = micros(probe_at.saturating_sub(clock::now()));
        // SAFETY: reads the clock.
        let now = unsafe { ffi::apr_time_now() };
        now + left - micros(self.retry())
    }

    /// Shows our counts where balancer-manager reads them.
    pub fn show_counts(&self, in_flight: u64) {
        let elected = self.record().hot.elected.load(Ordering::Relaxed);
        // SAFETY: aligned integers of the shared part, stored as atomics: children of two
        // generations may do so at a time.
        unsafe {
            let shared = self.shared();
            AtomicUsize::from_ptr(&raw mut (*shared).elected).store(
                usize::try_from(elected).unwrap_or(usize::MAX),
                Ordering::Relaxed,
            );
            AtomicUsize::from_ptr(&raw mut (*shared).busy).store(
                usize::try_from(in_flight).unwrap_or(usize::MAX),
                Ordering::Relaxed,
            );
        }
    }

    /// `retry`, in microseconds.
    pub fn retry(&self) -> Micros {
        // SAFETY: as `url`.
        let (set, retry) = unsafe { ((*self.shared()).retry_set(), (*self.shared()).retry) };
        if set == 0 {
            return u64::from(ffi::PROXY_WORKER_DEFAULT_RETRY.unsigned_abs()) * 1_000_000;
        }
        u64::try_from(retry).unwrap_or(0)
    }

    /// `slowstart`, in microseconds; 0 for none.
    pub fn slow_start(&self) -> Micros {
        let changed = self.record().changed.slow_start.get();
        let seconds = changed.unwrap_or(self.extras.slow_start).unwrap_or(0);
        u64::from(seconds) * 1_000_000
    }

    /// Flags of the board for mod_proxy's status bits.
    pub fn flags_of(status: u32) -> u32 {
        LETTERS
            .iter()
            .filter(|(bit, _)| status & bit.unsigned_abs() != 0)
            .fold(0, |set, (_, flag)| set | flag)
    }

    /// What mod_proxy's shared part of a worker says, in the board's terms; it knows no limit.
    ///
    /// # Safety
    /// `shared` is live; other processes may write it.
    pub unsafe fn settings_of(shared: *mut ffi::proxy_worker_shared) -> Settings {
        // SAFETY: the caller's promise: aligned integers, read as the atomics that `show` writes.
        let (status, factor, set) = unsafe { places(shared) };
        Settings {
            weight: factor.load(Ordering::Relaxed).unsigned_abs(),
            flags: Self::flags_of(status.load(Ordering::Relaxed)),
            lbset: set.load(Ordering::Relaxed).unsigned_abs(),
            max_conn: 0,
        }
    }

    /// Writes the values in force on the board into mod_proxy's shared part (at a start, before
    /// any child runs), so that both agree after a restart.
    pub fn push(&self) {
        self.show(Settings::in_force(&self.record().admin));
        if let Some(route) = self.record().changed.route.get() {
            self.show_route(&route);
        }
    }

    /// Writes settings into mod_proxy's shared part.
    fn show(&self, settings: Settings) {
        // SAFETY: shared parts live as long as the configuration.
        let (status, factor, set) = unsafe { places(self.shared()) };
        for (bit, flag) in LETTERS {
            if settings.flags & flag != 0 {
                status.fetch_or(bit.unsigned_abs(), Ordering::Relaxed);
            } else {
                status.fetch_and(!bit.unsigned_abs(), Ordering::Relaxed);
            }
        }
        factor.store(settings.weight.cast_signed(), Ordering::Relaxed);
        set.store(settings.lbset.cast_signed(), Ordering::Relaxed);
    }

    /// Writes the route into mod_proxy's shared part.
    fn show_route(&self, route: &str) {
        if self.route().to_bytes() == route.as_bytes() {
            return;
        }
        // SAFETY: shared parts live as long as the configuration; bytes are written in place, as
        // mod_proxy_balancer does.
        unsafe { naming::write(&mut (*self.shared()).route, route) };
    }

    /// Whether mod_proxy's shared part says something else than the board.
    pub fn differs(&self) -> bool {
        // SAFETY: shared parts live as long as the configuration.
        let shown = unsafe { Self::settings_of(self.shared()) };
        let held = Settings::in_force(&self.record().admin);
        // What mod_proxy does not know of is as it is.
        shown
            != Settings {
                flags: held.flags & !flags::DOWN,
                max_conn: shown.max_conn,
                ..held
            }
    }

    /// Takes over what balancer-manager or a health check changed in mod_proxy's shared part. The
    /// caller holds the farm's lock, or is the parent when no child of the generation changes
    /// anything any more.
    pub fn pull(&self) {
        // SAFETY: as above.
        let shown = unsafe { Self::settings_of(self.shared()) };
        let admin = &self.record().admin;
        // mod_proxy has no letter for what people say of a member's health.
        let kept = admin.flags.load(Ordering::Relaxed) & flags::DOWN;
        admin.flags.store(shown.flags | kept, Ordering::Relaxed);
        admin.weight.store(shown.weight, Ordering::Relaxed);
        admin.lbset.store(shown.lbset, Ordering::Relaxed);
    }

    /// mod_proxy put the member in error, or took it back, since the last call (engine off).
    pub fn error_moved(&self) -> bool {
        let in_error = self.status() & ffi::PROXY_WORKER_IN_ERROR.unsigned_abs() != 0;
        self.seen_error.swap(in_error, Ordering::Relaxed) != in_error
    }
}

/// Status bits, factor and set in mod_proxy's shared part of a worker.
///
/// # Safety
/// `shared` is live for as long as the result is used.
unsafe fn places<'a>(
    shared: *mut ffi::proxy_worker_shared,
) -> (&'a AtomicU32, &'a AtomicI32, &'a AtomicI32) {
    // SAFETY: the caller's promise; aligned integers that every process uses as atomics.
    unsafe {
        (
            AtomicU32::from_ptr(&raw mut (*shared).status),
            AtomicI32::from_ptr(&raw mut (*shared).lbfactor),
            AtomicI32::from_ptr(&raw mut (*shared).lbset),
        )
    }
}

impl Farm {
    /// Starts the running figures of stock's rules anew after a change of members: these rules
    /// compare totals, and a member that was away would be flooded.
    pub fn start_anew(&self) {
        for member in &self.members {
            method::start_anew(member.record());
        }
    }

    /// The member as it is to be listed in a plan.
    pub fn listed(&self, member: &Member) -> PlanMember {
        let healthy = member.record().health.retry_at.load(Ordering::SeqCst) == 0;
        let serves = self.serves(member.seat.id);
        PlanMember::of(member.seat.id, member.record(), healthy && serves)
    }

    /// The member behind a board index.
    pub fn member_by_id(&self, id: MemberId) -> Option<&Member> {
        self.members.get(self.roll.position(id)?)
    }

    /// The same, also one that was removed after it had been elected.
    pub fn elected(&self, id: MemberId) -> Option<&Member> {
        self.members.last(self.roll.position(id)?)
    }

    /// The member behind one of mod_proxy's workers.
    pub fn member_of(&self, worker: *const ffi::proxy_worker) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.worker.cast_const() == worker)
    }

    /// Members that mod_proxy would use now, and one that is used.
    pub fn usable_and(&self, used: &Member) -> impl Iterator<Item = &'static MemberRecord> {
        let unusable = NOT_SERVING | ffi::PROXY_WORKER_IN_ERROR.unsigned_abs();
        self.members
            .iter()
            .filter(move |member| member.seat.id == used.seat.id || member.status() & unusable == 0)
            .map(Member::record)
    }

    /// The farm's rule: what the balancer names now (balancer-manager may change it).
    pub fn rule(&self, balancer: *mut ffi::proxy_balancer) -> Rule {
        // SAFETY: balancers live as long as the configuration; the provider pointer is replaced
        // whole by balancer-manager, and providers are static.
        let provider =
            unsafe { balancer.as_ref() }.map_or(self.provider.0, |b| b.lbmethod.cast_const());
        if provider == self.provider.0 {
            return self.provider.1;
        }
        Rule::of(provider).unwrap_or(self.provider.1)
    }

    /// `lbmethod`, as all children see it.
    pub fn method_name(&self) -> Cow<'_, str> {
        // SAFETY: balancers and their shared parts live as long as the configuration; mod_proxy
        // writes the name by ap_proxy_strncpy, which never leaves it without a NUL.
        let name = unsafe {
            self.balancer
                .as_ref()
                .and_then(|balancer| balancer.s.as_ref())
                .map(|shared| CStr::from_ptr(shared.lbpname.as_ptr()))
        };
        name.map_or_else(|| self.provider.1.name(), CStr::to_string_lossy)
    }

    /// `fallback` in force.
    pub fn fallback(&self) -> Option<Fallback> {
        match self.seat.record.changed.fallback.get() {
            None => self.params.fallback.clone(),
            Some(text) => Fallback::read(&text).ok(),
        }
    }

    /// `forward` in force.
    pub fn forward(&self) -> Option<Forward> {
        match self.seat.record.changed.forward.get() {
            None => self.params.forward.clone(),
            Some(text) => Forward::read(&text).ok(),
        }
    }

    /// Gives up what people set `forward` to.
    pub fn end_forwards(&self) {
        let configured = &self.extras.forward;
        self.seat.record.changed.forward.set(configured, configured);
        for member in &self.members {
            let configured = &member.extras.forward;
            member.record().changed.forward.set(configured, configured);
        }
    }

    /// Its key on the board.
    pub fn key(&self) -> FarmSpec {
        FarmSpec {
            server: self.server.clone(),
            name: self.name.clone(),
            ..FarmSpec::default()
        }
    }

    /// Its name for people, who may know several of one name: `NAME`, or `NAME@server`.
    pub fn label(&self) -> String {
        match self.server.as_str() {
            "main" => self.name.clone(),
            server => format!("{}@{server}", self.name),
        }
    }

    /// Whatever is in force of what people can change.
    pub fn state(&self) -> FarmState {
        FarmState::of(self.seat.record, &self.extras)
    }

    /// Somebody answers in its place when nothing is usable: no request has to be sent to a member
    /// that may still be down.
    pub fn has_substitute(&self) -> bool {
        let changed = &self.seat.record.changed;
        changed.fallback.is(self.params.fallback.is_some())
            || changed.forward.is(self.params.forward.is_some())
    }

    /// Whether the total of what its members have under way is counted: its method is `hash`.
    pub fn has_total(&self) -> bool {
        self.seat.plan.capacity().table != 0
    }

    /// Share of the members' places that requests of a class leave to others, in percent.
    pub fn leaves(&self, class: ClassId) -> u8 {
        self.classes.get(class).map_or(0, |class| class.leaves)
    }

    /// `queuetimeout`.
    pub fn queue_timeout(&self) -> Micros {
        micros(self.params.queue_timeout)
    }

    /// `halflife`.
    pub fn half_life(&self) -> Micros {
        micros(self.params.half_life)
    }

    /// `expectupdate` of a member; with the engine off nobody could report.
    pub fn expected(&self, member: &Member) -> Option<Micros> {
        member
            .params
            .expect_update
            .filter(|_| !self.observed)
            .map(micros)
    }

    /// `retrybudget`, in percent.
    pub fn retry_budget(&self) -> u32 {
        self.params.retry_budget
    }

    /// `ejecttime`.
    pub fn eject_base(&self) -> Micros {
        micros(self.params.eject_time)
    }
}

fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Roll {
    /// The roll of a farm's members, and of seats for more.
    pub fn of(seat: &FarmSeat) -> Self {
        let seats = || seat.members.iter().chain(&seat.spares).chain(&seat.seats);
        let ids = || seats().map(|seat| seat.id.0);
        let first = ids().min().unwrap_or(0);
        let span = ids().max().map_or(0, |last| (last - first) as usize + 1);
        let mut positions = vec![u32::MAX; span];
        for (position, id) in (0u32..).zip(ids()) {
            if let Some(place) = positions.get_mut((id - first) as usize) {
                *place = position;
            }
        }
        Self { first, positions }
    }

    fn position(&self, id: MemberId) -> Option<usize> {
        let offset = id.0.checked_sub(self.first)?;
        self.positions
            .get(offset as usize)
            .map(|position| *position as usize)
    }
}

impl Lineup for Farm {
    fn len(&self) -> usize {
        self.members.places()
    }

    fn at(&self, position: usize) -> Option<(MemberId, &MemberRecord)> {
        let member = self.members.get(position)?;
        Some((member.seat.id, member.record()))
    }

    fn member(&self, id: MemberId) -> Option<&MemberRecord> {
        self.member_by_id(id).map(Member::record)
    }

    fn serves(&self, id: MemberId) -> bool {
        let error = if self.observed {
            ffi::PROXY_WORKER_IN_ERROR.unsigned_abs()
        } else {
            0
        };
        self.member_by_id(id)
            .is_some_and(|member| member.status() & (NOT_SERVING | error) == 0)
    }

    fn drained(&self, id: MemberId) -> bool {
        self.member_by_id(id)
            .is_some_and(|member| drain::is_over(self, member))
    }

    fn retry(&self, id: MemberId) -> Micros {
        let Some(member) = self.member_by_id(id) else {
            return 0;
        };
        let health = &member.record().health;
        if health::cause(health) == Cause::Ejected {
            let ejections = health.ejections.load(Ordering::Relaxed);
            return ejection::ejection_time(self.eject_base(), ejections.saturating_sub(1));
        }
        member.retry()
    }
}
