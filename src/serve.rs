//! A request to a farm: elect a member, make the attempt, see what follows.
//!
//! mod_proxy's own loop around `pre_request` and the scheme handlers knows only "this worker is
//! unusable now". The attempts are therefore made here, inside one call of our scheme handler:
//! mod_proxy is handed the farm's [front](crate::farm::Farm::front) worker and sees one call and
//! one result.

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::Ordering;

use athena_engine::attempt::{self, Next, Outcome};
use athena_engine::budget;

use crate::farm::{Farm, Member};
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::outcome;
use crate::proxy::Proxy;
use crate::record::{Answer, Kind, Record};
use crate::remote::Remote;
use crate::unusable;
use crate::{
    access, account, canon, clock, connection, cookie, elect, environment, filter, forward, judge,
    memory, prefetched, proxy, reverse,
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
        // SAFETY: mod_proxy calls with a live request and valid places for its results.
        unsafe {
            let Some(record) = Record::of(r).or_else(|| canon::taken_over(r)) else {
                return DECLINED;
            };
            let Some(farm) = record.farm().filter(|_| record.kind == Kind::Farm) else {
                return DECLINED;
            };
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
        // SAFETY: as above.
        let Some(record) = (unsafe { Record::of(r) }) else {
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
        if let Some(status) = record.served.get() {
            // mod_proxy would go on to the next `ProxyRemote`, with a request that is served.
            return status;
        }
        if record.farm().is_none_or(|farm| farm.front != worker) {
            return ffi::HTTP_INTERNAL_SERVER_ERROR;
        }
        let call = Call {
            r,
            conf,
            remote: None,
        };
        // SAFETY: as above.
        let status = unsafe { serve(&call, record, url) };
        // SAFETY: as above.
        unsafe { environment::settled(r, record) };
        record.served.set(Some(status));
        status
    })
}

/// The `post_request` hook: the place of an attempt that a panic left open is given back. `OK` keeps
/// mod_proxy_balancer's own bookkeeping away from the front worker.
pub unsafe extern "C" fn post_request(
    _worker: *mut ffi::proxy_worker,
    _balancer: *mut ffi::proxy_balancer,
    r: *mut ffi::request_rec,
    _conf: *mut ffi::proxy_server_conf,
) -> c_int {
    guard!("post_request", DECLINED, {
        // SAFETY: mod_proxy calls with a live request.
        let record = unsafe { Record::of(r) };
        let Some(record) = record.filter(|record| record.kind == Kind::Farm) else {
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
    /// The forward proxy that mod_proxy chose, where mod_proxy_balancer steers; `None`: each attempt has that
    /// of its own member.
    pub remote: Option<Remote>,
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
            let remote = self
                .remote
                .unwrap_or_else(|| Remote::of(self.r, self.conf, url));
            prefetched::read_again(self.r, record, url, || {
                let (name, port) = (remote.name, remote.port);
                (proxy.run_scheme_handler)(self.r, worker, self.conf, url, name, port)
            })
        };
        record.nested.set(false);
        status
    }
}

// Apart from the hook, which every proxied request runs through, and each attempt again.
#[inline(never)]
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
        // SAFETY: as above.
        let request = unsafe { outcome::request(r, record) };
        let mut next = attempt::next(outcome, request, rules);
        if next == Next::Replay && !replay_allowed(record, farm) {
            next = Next::Finish;
        }
        if next != Next::Again {
            // SAFETY: as above. The same member on another connection goes on in its place.
            unsafe { account::settle(r, record, farm, member, outcome) };
        }
        explain(r, farm, member, record, outcome, next);
        match next {
            Next::Again => {
                // Its next wait is another one.
                account::answered(record);
                record.began.set(clock::now());
                record.refreshed.set(true);
            }
            // SAFETY: as above.
            Next::Replay if unsafe { replay(r, record, farm) } => {}
            // The other member's place went to another request, and there is no answer left.
            Next::Replay if record.answer.get() == Answer::Discarded => {
                // SAFETY: as above.
                return unsafe { unusable::during(call, record, farm) };
            }
            Next::Finish | Next::Replay
                if !attempt::gives_way(outcome, request, rules)
                    // SAFETY: as above.
                    || unsafe { elect::is_anybody_left(r, record, farm) } =>
            {
                return outcome::for_client(record, outcome, status);
            }
            Next::Failover | Next::Finish | Next::Replay => {
                // SAFETY: as above.
                let found = unsafe {
                    if next == Next::Failover {
                        forward::find(r, record)
                    } else {
                        record.replayed.set(true);
                        forward::find_elsewhere(r, record, farm)
                    }
                };
                match found {
                    Ok(true) => {}
                    // SAFETY: as above.
                    Ok(false) => unsafe {
                        let farm = record.farm().unwrap_or(farm);
                        return unusable::during(call, record, farm);
                    },
                    // SAFETY: as above.
                    Err(refused) => unsafe {
                        filter::take_back(r, record);
                        return refused;
                    },
                }
            }
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

/// Gives the request to another member: the one that was chosen before an answer was thrown away, or who is
/// elected now. False: nobody.
unsafe fn replay(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> bool {
    record.replayed.set(true);
    if let Some(mut successor) = record.successor.take() {
        successor.at = clock::now();
        // SAFETY: the caller's promise.
        if unsafe { elect::take(r, record, farm, successor) }.is_ok() {
            return true;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { elect::next_member(r, record, farm) }
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
            memory::initialise(proxy, member.worker, (*r).server, (*call.conf).pool);
        }
        if status & ffi::PROXY_WORKER_IN_ERROR.unsigned_abs() != 0 {
            // mod_proxy refuses connections of a worker in error; who may try is decided here.
            member.mirror_error(false);
        }
        // mod_proxy_ftp would connect to the host of an absolute request target instead.
        (*r).parsed_uri.hostname = std::ptr::null_mut();
        filter::begin(r, record, farm, member);
        account::begin(r, record, farm, member);
        let status = connection::watch(r, record, member, || {
            call.hand_on(proxy, record, member.worker, url)
        });
        filter::end(r, record);
        if status == DECLINED {
            untaken(r, farm, url);
            return (ffi::HTTP_SERVICE_UNAVAILABLE, Outcome::NotConnected);
        }
        let outcome = outcome::classify(r, record, member, status);
        if matches!(outcome, Outcome::BrokenInBody(_)) {
            outcome::cut_off(r);
        }
        (status, outcome)
    }
}

/// No protocol module took a URL. To decline as well would have mod_proxy offer the front worker to them.
///
/// # Safety
/// `r` is live, `url` NUL-terminated.
#[cold]
pub unsafe fn untaken(r: *mut ffi::request_rec, farm: &Farm, url: *const c_char) {
    // SAFETY: the caller's promise.
    let url = unsafe { CStr::from_ptr(url) }.to_string_lossy();
    let scheme = url.split(':').next().unwrap_or_default();
    let text = format!(
        "ATH0114: farm {}: no module that is loaded takes {url}: load mod_proxy_{} for {scheme}://{}",
        farm.name,
        match scheme {
            "https" => "http",
            "h2" | "h2c" => "http2",
            "ws" | "wss" => "wstunnel",
            other => other,
        },
        if matches!(scheme, "https" | "h2" | "wss") {
            ", and mod_ssl"
        } else {
            ""
        }
    );
    log::request(Level::Error, r, &text);
}

/// The URL of the record's member for this request. `Err`: mod_proxy refused to make one, which is
/// not the member's fault.
unsafe fn current_url(r: *mut ffi::request_rec, record: &Record) -> Result<*mut c_char, c_int> {
    let (Some(farm), Some(member)) = (record.farm(), record.member()) else {
        return Err(ffi::HTTP_SERVICE_UNAVAILABLE);
    };
    // SAFETY: the caller's promise.
    unsafe { canon::member_url(r, record, member) }.inspect_err(|_| {
        account::withdraw(record);
        judge::not_asked(farm, member, record.reason.get(), record.began.get());
    })
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
