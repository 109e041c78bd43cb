//! Counting: an attempt opens on the board when it begins and is settled there once, whatever
//! becomes of it; what it came to moves the member's estimate, and its health ([`judge`]).

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

use athena_engine::attempt::Outcome;
use athena_engine::board::inflight;
use athena_engine::board::limit::Limit;
use athena_engine::dispatch::Reason;
use athena_engine::{Micros, ewma, room, waiting};

use crate::farm::{Farm, Member};
use crate::ffi::{self, APR_SUCCESS, DECLINED};
use crate::guard::guard;
use crate::record::Record;
use crate::remote::Remote;
use crate::rule::Asked;
use crate::serve::Call;
use crate::{clock, connection, filter, judge, outcome, proxy, queue, runtime};

/// Opens an attempt of the record's at a member on the board ([`inflight::open`]). False when the
/// member has as many as it may, or as its election holds for.
///
/// # Safety
/// `r` is live and `record` its own; `member` belongs to `farm`.
pub unsafe fn open(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    member: &Member,
    limit: Limit,
) -> bool {
    let leaves = farm.leaves(record.class.get());
    let limit = limit.and(room::limit_for(leaves, member.record(), clock::now));
    let counted = |cell| inflight::open(cell, member.totals(Some(farm)), limit);
    // Without a slot, nothing is counted: nobody could take it back.
    if !cell(member).is_none_or(counted) {
        return false;
    }
    record.open.set(true);
    if !record.counted.replace(true) {
        farm.seat.record.hot.elected.fetch_add(1, Ordering::Relaxed);
    }
    if !record.registered.get() {
        record.registered.set(true);
        // SAFETY: the caller's promise; the record lives in the same pool, and cleanups run before
        // the pool's memory goes.
        unsafe {
            ffi::apr_pool_cleanup_register(
                (*r).pool,
                std::ptr::from_ref(record).cast_mut().cast(),
                Some(pool_cleanup),
                Some(ffi::apr_pool_cleanup_null),
            );
        }
    }
    true
}

/// The attempt begins: its answer is awaited.
///
/// # Safety
/// As [`open`].
pub unsafe fn begin(r: *mut ffi::request_rec, record: &Record, farm: &Farm, member: &Member) {
    // SAFETY: the caller's promise; the balancer is the record's own, and so the farm's.
    unsafe {
        // When a tunnel begins nobody tells, and then it lasts. As in flight: not without a slot.
        let waits = cell(member).is_some()
            && Asked::by(r, farm, record.balancer()).method().wants_ages()
            && ffi::apr_table_get((*r).headers_in, c"Upgrade".as_ptr()).is_null();
        if waits {
            let word = &member.record().hot.waiting;
            record.waits.set(waiting::begin(word, record.began.get()));
        }
    }
}

/// The answer has come, or none will.
pub fn answered(record: &Record) {
    let waits = record.waits.replace(0);
    if waits != 0
        && let Some(member) = record.member()
    {
        waiting::end(&member.record().hot.waiting, waits);
    }
}

/// The net under everything: the request's pool goes while an attempt is still open.
unsafe extern "C" fn pool_cleanup(data: *mut c_void) -> ffi::apr_status_t {
    guard!("pool cleanup", APR_SUCCESS, {
        // SAFETY: registered with the record by `open`.
        if let Some(record) = unsafe { data.cast::<Record>().as_ref() } {
            abandon(record);
        }
        APR_SUCCESS
    })
}

/// Gives back the place of an attempt whose end nobody saw.
pub fn abandon(record: &Record) {
    if let Some(member) = record.member()
        && record.close()
    {
        give_back(record, member);
        member.record().hot.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives back the place of an attempt that was not made.
pub fn withdraw(record: &Record) {
    if let Some(member) = record.member()
        && record.close()
    {
        give_back(record, member);
    }
}

fn give_back(record: &Record, member: &Member) {
    answered(record);
    let farm = record.farm();
    if let Some(cell) = cell(member) {
        inflight::close(cell, member.totals(farm));
    }
    if let Some(farm) = farm {
        queue::given_back(farm, member);
    }
}

fn cell(member: &Member) -> Option<&AtomicU32> {
    // SAFETY: null or a cell of the board, which stays mapped for the life of the process.
    unsafe { member.cell.load(Ordering::Relaxed).as_ref() }
}

/// Settles the attempt: counts, estimate, health.
///
/// # Safety
/// As [`open`].
pub unsafe fn settle(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    member: &Member,
    outcome: Outcome,
) {
    if !record.close() {
        return;
    }
    give_back(record, member);
    if !member.is_current() {
        // Removed in the meantime: the figures of its seat may be another's.
        return;
    }
    let now = clock::now();
    // SAFETY: the caller's promise.
    let bytes = unsafe { count(r, member, outcome) };
    estimate(record, farm, member, outcome, now);
    // SAFETY: as above; the balancer is the record's own, and so the farm's.
    let rule = unsafe { Asked::by(r, farm, record.balancer()) };
    rule.settled(member, record, outcome, bytes, now);
    if !farm.observed {
        judge::attempt(record, farm, member, outcome, now);
    }
}

/// Counts the attempt; gives the bytes it moved, in and out.
unsafe fn count(r: *mut ffi::request_rec, member: &Member, outcome: Outcome) -> u64 {
    let hot = &member.record().hot;
    let answered = matches!(
        outcome,
        Outcome::Answered(_) | Outcome::BrokenInBody(_) | Outcome::ClientGone
    );
    if answered {
        hot.served.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        let class = usize::try_from(unsafe { (*r).status } / 100).unwrap_or(0);
        let classes = &member.record().answers.classes;
        if let Some(class) = class.checked_sub(1).and_then(|class| classes.get(class)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        let (sent, received) = unsafe { ((*r).bytes_sent, body_length(r)) };
        let sent = u64::try_from(sent).unwrap_or(0);
        hot.bytes_out.fetch_add(sent, Ordering::Relaxed);
        if received > 0 {
            hot.bytes_in.fetch_add(received, Ordering::Relaxed);
        }
        return sent.saturating_add(received);
    }
    if !matches!(outcome, Outcome::TurnedAway | Outcome::NotTheMember(_)) {
        // Neither of these is the member's doing.
        hot.failed.fetch_add(1, Ordering::Relaxed);
    }
    0
}

/// Body bytes that the request announced or had read.
unsafe fn body_length(r: *mut ffi::request_rec) -> u64 {
    // SAFETY: the caller's promise; header values are NUL-terminated.
    unsafe {
        let announced = ffi::apr_table_get((*r).headers_in, c"Content-Length".as_ptr());
        if announced.is_null() {
            return u64::try_from((*r).read_length).unwrap_or(0);
        }
        length(std::ffi::CStr::from_ptr(announced))
    }
}

#[inline(never)]
fn length(announced: &std::ffi::CStr) -> u64 {
    announced
        .to_str()
        .ok()
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0)
}

/// The time to first byte moves the estimate; a failure moves it as the slowest answer would, so
/// that failing fast is no recommendation.
fn estimate(record: &Record, farm: &Farm, member: &Member, outcome: Outcome, now: Micros) {
    let hot = &member.record().hot;
    let elapsed = match record.first_byte.get() {
        0 => now.saturating_sub(record.began.get()),
        first_byte => {
            let elapsed = first_byte.saturating_sub(record.began.get());
            member.record().answers.first_byte.observe(elapsed);
            elapsed
        }
    };
    match outcome {
        Outcome::Answered(101) | Outcome::ClientGone | Outcome::NotTheMember(_) => {}
        Outcome::TurnedAway | Outcome::Broken { fresh: false } => {}
        Outcome::Answered(status) if status < 500 => {
            if judge::still_probes(record, &member.record().health) {
                ewma::forget(hot);
            } else {
                ewma::observe(hot, elapsed as f64, now, farm.half_life());
            }
        }
        _ => ewma::penalise(hot, elapsed as f64, now, farm.half_life()),
    }
}

/// Engine off: mod_proxy_balancer steers, but when one of our methods chooses for it, the members'
/// counts and estimates must be right. One attempt, passed through.
///
/// # Safety
/// The arguments are those of mod_proxy's scheme handler.
pub unsafe fn observe(
    r: *mut ffi::request_rec,
    worker: *mut ffi::proxy_worker,
    conf: *mut ffi::proxy_server_conf,
    url: *mut c_char,
    proxy_name: *const c_char,
    proxy_port: ffi::apr_port_t,
) -> c_int {
    let Some((farm, member)) = runtime::observed(worker) else {
        return DECLINED;
    };
    let Some(proxy) = proxy::get() else {
        return DECLINED;
    };
    // SAFETY: the caller's promise.
    let record = unsafe { Record::observed(r, farm) };
    let call = Call {
        r,
        conf,
        remote: Some(Remote {
            name: proxy_name,
            port: proxy_port,
        }),
    };
    record.member.set(member);
    record.reason.set(Reason::Method);
    // SAFETY: as above.
    unsafe {
        filter::begin(r, record, farm, member);
        member.record().hot.elected.fetch_add(1, Ordering::Relaxed);
        // Nothing limits it.
        open(r, record, farm, member, Limit::default());
        record.began.set(clock::now());
        begin(r, record, farm, member);
        let status = connection::watch(r, record, member, || {
            call.hand_on(proxy, record, worker, url)
        });
        filter::end(r, record);
        let outcome = outcome::classify(r, record, member, status);
        settle(r, record, farm, member, outcome);
        status
    }
}
