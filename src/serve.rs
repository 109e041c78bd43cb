//! A request to a farm: elect a member, make the attempt, see what follows.
//!
//! mod_proxy's own loop around `pre_request` and the scheme handlers knows only "this worker is
//! unusable now". The attempts are therefore made here, inside one call of our scheme handler:
//! mod_proxy is handed the farm's [front](crate::farm::Farm::front) worker and sees one call and
//! one result.

use std::ffi::{c_char, c_int};
use std::sync::atomic::Ordering;

use athena_engine::MemberId;
use athena_engine::attempt::{self, Next, Outcome};
use athena_engine::budget;
use athena_engine::dispatch::{Elected, Election, Nobody, Reason};

use crate::farm::{Farm, Member};
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::outcome;
use crate::proxy::Proxy;
use crate::queue::Line;
use crate::record::{Answer, Kind, Record};
use crate::rule::Asked;
use crate::sticky::{self, Choice};
use crate::unusable;
use crate::waiting;
use crate::{
    access, account, affinity, canon, class, clock, connection, cookie, environment, filter,
    foreign, forward, growth, method, proxy, random, refresh, reverse, stats,
};

/// The `pre_request` hook: elects the first member.
pub unsafe extern "C" fn pre_request(
    worker: *mut *mut ffi::proxy_worker,
    balancer: *mut *mut ffi::proxy_balancer,
    r: *mut ffi::request_rec,
    _conf: *mut ffi::proxy_server_conf,
    url: *mut *mut c_char,
) -> c_int {
    guard!("pre_request", ffi::HTTP_SERVICE_UNAVAILABLE, {
        let Some(record) = Record::of(r).filter(|record| record.kind == Kind::Farm) else {
            return DECLINED;
        };
        let Some(farm) = record.farm() else {
            return DECLINED;
        };
        // SAFETY: mod_proxy calls with a live request and valid places for its results.
        unsafe {
            let refused = access::late(r, record, farm);
            if refused != OK {
                return refused;
            }
            if let Err(refused) = cookie::follow(r, record, farm) {
                return refused;
            }
            let found = match forward::find(r, record) {
                Ok(found) => found,
                Err(refused) => return refused,
            };
            let farm = record.farm().unwrap_or(farm);
            *worker = farm.front;
            *balancer = record.balancer();
            if !found {
                return unusable::before(r, record, farm, url);
            }
            match current_url(r, record) {
                // What a ProxyRemote line is compared with.
                Ok(member_url) => *url = member_url,
                Err(status) => return status,
            }
            OK
        }
    })
}

/// The `scheme_handler` hook: makes the attempts.
pub unsafe extern "C" fn scheme_handler(
    r: *mut ffi::request_rec,
    worker: *mut ffi::proxy_worker,
    conf: *mut ffi::proxy_server_conf,
    url: *mut c_char,
    proxy_name: *const c_char,
    proxy_port: ffi::apr_port_t,
) -> c_int {
    guard!("scheme_handler", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        // SAFETY: mod_proxy calls with live structures.
        let observe = || unsafe { account::observe(r, worker, conf, url, proxy_name, proxy_port) };
        let Some(record) = Record::of(r) else {
            // SAFETY: as above.
            unsafe { reverse::watch(r) };
            return observe();
        };
        if record.nested.get() {
            return DECLINED;
        }
        if record.kind != Kind::Farm {
            return observe();
        }
        if record.farm().is_none_or(|farm| farm.front != worker) {
            return DECLINED;
        }
        let call = Call {
            r,
            conf,
            proxy_name,
            proxy_port,
        };
        // SAFETY: as above.
        unsafe { serve(&call, record, url) }
    })
}

/// The `post_request` hook: nothing is left to settle but an attempt that a panic left open. `OK`
/// keeps mod_proxy_balancer's own bookkeeping away from the front worker.
pub unsafe extern "C" fn post_request(
    _worker: *mut ffi::proxy_worker,
    _balancer: *mut ffi::proxy_balancer,
    r: *mut ffi::request_rec,
    _conf: *mut ffi::proxy_server_conf,
) -> c_int {
    guard!("post_request", DECLINED, {
        let Some(record) = Record::of(r).filter(|record| record.kind == Kind::Farm) else {
            return DECLINED;
        };
        account::abandon(record);
        OK
    })
}

/// What stays the same over the attempts of one request.
pub struct Call {
    pub r: *mut ffi::request_rec,
    pub conf: *mut ffi::proxy_server_conf,
    pub proxy_name: *const c_char,
    pub proxy_port: ffi::apr_port_t,
}

impl Call {
    /// Runs the scheme handlers over a worker, ours not again.
    ///
    /// # Safety
    /// The call is live, and `record` its request's; `worker` and `url` are what mod_proxy could hand to
    /// them.
    pub unsafe fn hand_on(
        &self,
        proxy: &Proxy,
        record: &Record,
        worker: *mut ffi::proxy_worker,
        url: *mut c_char,
    ) -> c_int {
        record.nested.set(true);
        // SAFETY: the caller's promise.
        let status = unsafe {
            (proxy.run_scheme_handler)(
                self.r,
                worker,
                self.conf,
                url,
                self.proxy_name,
                self.proxy_port,
            )
        };
        record.nested.set(false);
        status
    }
}

unsafe fn serve(call: &Call, record: &Record, first: *mut c_char) -> c_int {
    let r = call.r;
    let mut url = first;
    // Each attempt may be at another farm.
    while let Some(farm) = record.farm() {
        let Some(member) = record.member() else {
            // SAFETY: the caller's promise.
            return unsafe { unusable::during(call, record, farm) };
        };
        // SAFETY: the caller's promise; the member belongs to the request's farm.
        let (status, outcome) = unsafe { attempt(call, record, farm, member, url) };
        let rules = outcome::rules(farm);
        let mut next = attempt::next(outcome, outcome::request(r, record), rules);
        if next == Next::Replay && !replay_allowed(record, farm) {
            next = Next::Finish;
        }
        if next != Next::Again {
            // SAFETY: as above. The same member on another connection goes on in its place.
            unsafe { account::settle(r, record, farm, member, outcome) };
        }
        explain(r, farm, member, record, outcome, next);
        match next {
            Next::Finish => {
                environment::settled(r, record);
                return outcome::for_client(record, outcome, status);
            }
            Next::Again => record.refreshed.set(true),
            Next::Replay => {
                record.replays.set(record.replays.get() + 1);
                let found = match record.successor.take() {
                    Some((successor, elected)) => take(r, record, farm, successor, elected).is_ok(),
                    None => false,
                };
                // SAFETY: as above.
                if !found && !unsafe { next_member(r, record, farm) } {
                    if record.answer.get() == Answer::Discarded {
                        // SAFETY: as above.
                        return unsafe { unusable::during(call, record, farm) };
                    }
                    environment::settled(r, record);
                    return outcome::for_client(record, outcome, status);
                }
            }
            // SAFETY: as above.
            Next::Failover => match unsafe { forward::find(r, record) } {
                Ok(true) => {}
                Ok(false) => {
                    let farm = record.farm().unwrap_or(farm);
                    // SAFETY: as above.
                    return unsafe { unusable::during(call, record, farm) };
                }
                Err(refused) => return refused,
            },
        }
        // SAFETY: as above.
        unsafe {
            filter::take_back(r, record);
            match current_url(r, record) {
                Ok(next_url) => url = next_url,
                Err(status) => return status,
            }
        }
    }
    ffi::HTTP_SERVICE_UNAVAILABLE
}

/// A replay needs the farm's retry budget; a discarded answer has paid already.
fn replay_allowed(record: &Record, farm: &Farm) -> bool {
    record.successor.get().is_some()
        || budget::allow(farm.seat.record, farm.retry_budget(), clock::now())
}

/// One attempt at one member: its result for the client and what it came to.
unsafe fn attempt(
    call: &Call,
    record: &Record,
    farm: &Farm,
    member: &Member,
    url: *mut c_char,
) -> (c_int, Outcome) {
    let r = call.r;
    let Some(proxy) = proxy::get() else {
        return (DECLINED, Outcome::NotTheMember(500));
    };
    // SAFETY: the caller's promise: live request, worker and configuration.
    unsafe {
        let status = member.status();
        // Both: another thread that is at it marks its own part before the shared one.
        let ready = (*member.worker).local_status & status;
        if ready & ffi::PROXY_WORKER_INITIALIZED.unsigned_abs() == 0 {
            (proxy.initialize_worker)(member.worker, (*r).server, (*call.conf).pool);
        }
        if status & ffi::PROXY_WORKER_IN_ERROR.unsigned_abs() != 0 {
            // mod_proxy refuses connections of a worker in error; who may try is decided here.
            member.mirror_error(false);
        }
        // mod_proxy_ftp would connect to the host of an absolute request target instead.
        (*r).parsed_uri.hostname = std::ptr::null_mut();
        filter::begin(r, record, farm);
        account::begin(r, record, farm, member);
        let status = connection::watch(r, record, member, || {
            call.hand_on(proxy, record, member.worker, url)
        });
        filter::end(r, record);
        let outcome = outcome::classify(r, record, member, status);
        if matches!(outcome, Outcome::BrokenInBody(_)) {
            outcome::cut_off(r);
        }
        (status, outcome)
    }
}

/// Elects the next member for the request and makes it the record's. False when there is none.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn next_member(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> bool {
    record.member.set(std::ptr::null());
    record.pinned_to.set(std::ptr::null());
    record.refreshed.set(false);
    if record.attempts_here() == 0 {
        // SAFETY: the caller's promise.
        unsafe {
            class::read(r, record, farm);
            record.session.set(sticky::read(r, record, farm));
        }
    }
    let mut line = Line::of(record, farm);
    let mut its_turn = record.attempts_here() > 0 || !line.as_ref().is_some_and(Line::has_others);
    loop {
        let chosen = if its_turn {
            // SAFETY: the caller's promise.
            unsafe { choose(r, record, farm) }
        } else {
            Err(Nobody::Full)
        };
        its_turn = true;
        match chosen.and_then(|(member, elected)| take(r, record, farm, member, elected)) {
            Ok(()) => return true,
            // Its place went to another request in between: there may be others.
            Err(Nobody::Full) if chosen.is_ok() => {}
            // SAFETY: as above.
            Err(Nobody::Full) if line.as_mut().is_some_and(|line| unsafe { line.wait(r) }) => {}
            Err(why) => {
                record.full.set(why == Nobody::Full);
                return false;
            }
        }
    }
}

/// Elects a member that this request has not been to: its session's, else the method's. `Err`: why
/// there is none.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn choose(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
) -> Result<(*const Member, Elected), Nobody> {
    // SAFETY: the caller's promise; the balancer is the record's own.
    unsafe { catch_up(r, record.balancer(), farm) };
    if record.attempts_here() > outcome::max_attempts(farm, record.balancer())
        || farm.seat.record.cold.off.load(Ordering::Relaxed) != 0
    {
        return Err(Nobody::Usable);
    }
    let tried = record.tried();
    // SAFETY: as above.
    let method = unsafe { Asked::by(r, farm, record.balancer()) };
    let tried = tried.get(record.tried_places()).unwrap_or_default();
    let mut election = election(farm, &method, tried);
    election.leaves = farm.leaves(record.class.get());
    election.force &= waiting::is_over(record, election.now);
    // The next farm of its cookie comes first, as a fallback does.
    election.force &= !record.prefers_more();
    let by_method = || random::with(|random| election.run(random));
    if let Some(elected) = cookie::member(record, farm, &election) {
        return seated(farm, elected);
    }
    let Some(session) = record.session.get() else {
        return seated(farm, by_method()?);
    };
    let choice = sticky::choose(&session, record, farm, &election);
    if !matches!(choice, Choice::Its(_))
        && let Some(member) = sticky::forwarder(&session, farm)
    {
        record.pinned_to.set(member);
        return Err(Nobody::Usable);
    }
    let elected = match choice {
        Choice::Its(elected) => Ok(elected),
        Choice::Any => by_method(),
        Choice::Nobody(why) => Err(why),
    };
    let elected = elected.and_then(|elected| seated(farm, elected));
    // SAFETY: members live as long as the configuration.
    let member = elected
        .ok()
        .and_then(|(member, _)| unsafe { member.as_ref() });
    sticky::explain(r, &session, record, farm, &choice, member);
    elected
}

/// Brings this child's view of a farm up to date, before it elects.
///
/// # Safety
/// `r` is live; `balancer` is null or one of its server's.
pub unsafe fn catch_up(r: *mut ffi::request_rec, balancer: *mut ffi::proxy_balancer, farm: &Farm) {
    // SAFETY: the caller's promise.
    unsafe { foreign::follow(r, balancer, farm) };
    growth::follow(farm);
    stats::follow(farm);
    method::follow(farm);
    refresh::if_stale(farm);
}

/// An election among a farm's members now.
pub fn election<'a>(farm: &'a Farm, method: &'a Asked<'a>, tried: &'a [MemberId]) -> Election<'a> {
    Election {
        farm: farm.seat.record,
        plan: farm.seat.plan.read(farm.seat.record),
        lineup: farm,
        method,
        tried,
        probes: true,
        leaves: 0,
        // A fallback comes first: nobody has to wait for a member that may still be down.
        force: outcome::force_recovery(method.balancer) && !farm.has_substitute(),
        half_life: farm.half_life(),
        affinity: affinity::of(method),
        score: farm.params.score.as_ref(),
        now: clock::now(),
    }
}

fn seated(farm: &Farm, elected: Elected) -> Result<(*const Member, Elected), Nobody> {
    farm.elected(elected.id)
        .map(|member| (std::ptr::from_ref(member), elected))
        .ok_or(Nobody::Usable)
}

/// Makes a member the record's, with a place there. `Err`: it has none left, or the request has had
/// its share of attempts.
fn take(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    seat: *const Member,
    elected: Elected,
) -> Result<(), Nobody> {
    // SAFETY: members live as long as the configuration.
    let member = unsafe { seat.as_ref() }.ok_or(Nobody::Usable)?;
    if record.is_spent() {
        return Err(Nobody::Usable);
    }
    // At once, so that the next choice, in whatever child, sees this one.
    // SAFETY: called for a live request and its own record.
    if !unsafe { account::open(r, record, farm, member, elected.limit) } {
        return Err(Nobody::Full);
    }
    if !member.keeps() {
        // Removed in between: its seat may be another's.
        record.member.set(seat);
        account::withdraw(record);
        record.member.set(std::ptr::null());
        return Err(Nobody::Full);
    }
    record.note_tried(member.seat.id);
    record.member.set(seat);
    record.reason.set(elected.reason);
    if elected.reason != Reason::Method {
        // SAFETY: called for a live request and its own record.
        unsafe { Asked::by(r, farm, record.balancer()) }.passed_over(member);
    }
    member.record().hot.elected.fetch_add(1, Ordering::Relaxed);
    environment::elected(r, record);
    Ok(())
}

/// The URL of the record's member for this request. `Err`: mod_proxy refused to make one, which is
/// not the member's fault.
unsafe fn current_url(r: *mut ffi::request_rec, record: &Record) -> Result<*mut c_char, c_int> {
    let Some(member) = record.member() else {
        return Err(ffi::HTTP_SERVICE_UNAVAILABLE);
    };
    // SAFETY: the caller's promise.
    unsafe { canon::member_url(r, record, member) }.inspect_err(|_| account::withdraw(record))
}

/// `LogLevel athena:debug`: one line for every choice and what became of it.
fn explain(
    r: *mut ffi::request_rec,
    farm: &Farm,
    member: &Member,
    record: &Record,
    outcome: Outcome,
    next: Next,
) {
    if !log::debug_wanted(r) {
        return;
    }
    let hot = &member.record().hot;
    log::request(
        Level::Debug,
        r,
        &format!(
            "ATH0100: farm {} method {} attempt {}: member {} ({}), {} in flight, ewma {} us; \
             outcome {outcome:?}, next {next:?}{}",
            farm.name,
            farm.rule(record.balancer()).name(),
            record.attempts(),
            member.name,
            record.reason.get().word(),
            hot.inflight.count(),
            f64::from_bits(hot.ewma.load(Ordering::Relaxed)),
            if record.answer.get() == Answer::Discarded {
                ", answer discarded"
            } else {
                ""
            },
        ),
    );
}
