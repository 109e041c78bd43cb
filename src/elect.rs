//! Who serves a request: a member is elected ([`athena_engine::dispatch`]) with all that the request
//! says of whom it should be, and its place is taken; or the request waits in line for one.

use std::sync::atomic::Ordering;

use athena_engine::dispatch::{Elected, Election, Nobody, Reason};
use athena_engine::{MemberId, Micros};

use crate::farm::{Farm, Member};
use crate::ffi;
use crate::queue::Line;
use crate::record::Record;
use crate::rule::Asked;
use crate::sticky::{self, Choice, Session};
use crate::{
    account, affinity, class, clock, cookie, environment, foreign, growth, judge, method, outcome,
    patience, random, refresh, runtime, stats,
};

/// Who is to have a request.
#[derive(Clone, Copy)]
pub struct Chosen {
    member: *const Member,
    elected: Elected,
    /// When it was chosen.
    pub at: Micros,
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
    let mut its_turn = record.attempts_here() > 0 || line.as_ref().is_none_or(Line::is_its_turn);
    loop {
        let chosen = if its_turn {
            // SAFETY: the caller's promise.
            unsafe { choose(r, record, farm) }
        } else {
            Err(Nobody::Full)
        };
        its_turn = true;
        // SAFETY: as above.
        match chosen.and_then(|chosen| unsafe { take(r, record, farm, chosen) }) {
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
) -> Result<Chosen, Nobody> {
    // SAFETY: the caller's promise; the balancer is the record's own.
    unsafe { catch_up(r, record.balancer(), farm) };
    if outcome::is_exhausted(record, farm) || farm.seat.record.cold.off.load(Ordering::Relaxed) != 0
    {
        return Err(Nobody::Usable);
    }
    // SAFETY: as above.
    let asked = unsafe { Asked::by(r, farm, record.balancer()) };
    // A fallback comes first, and so does the next farm of its cookie: nobody has to wait for a member
    // that may still be down.
    let force = || {
        forces_recovery(asked.balancer, farm)
            && !record.prefers_more()
            && patience::is_over(record, clock::now())
    };
    let mut election = election(farm, &asked, record.tried(), &force);
    election.leaves = farm.leaves(record.class.get());
    if let Some(elected) = cookie::member(record, farm, &election) {
        return seated(farm, elected, election.now);
    }
    match record.session.get() {
        Some(session) => by_session(r, record, farm, &session, &election),
        None => seated(farm, by_method(r, &election)?, election.now),
    }
}

fn by_method(r: *mut ffi::request_rec, election: &Election<'_>) -> Result<Elected, Nobody> {
    election.run(&mut random::of(r, election.now))
}

#[inline(never)]
fn by_session(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    session: &Session,
    election: &Election<'_>,
) -> Result<Chosen, Nobody> {
    let choice = sticky::choose(session, record, farm, election);
    if !matches!(choice, Choice::Its(_))
        && let Some(member) = sticky::forwarder(session, farm)
    {
        record.pinned_to.set(member);
        return Err(Nobody::Usable);
    }
    let elected = match choice {
        Choice::Its(elected) => Ok(elected),
        Choice::Any => by_method(r, election),
        Choice::Nobody(why) => Err(why),
    };
    let chosen = elected.and_then(|elected| seated(farm, elected, election.now));
    // SAFETY: members live as long as the configuration.
    let member = chosen
        .ok()
        .and_then(|chosen| unsafe { chosen.member.as_ref() });
    sticky::explain(r, session, record, farm, &choice, member);
    chosen
}

/// Whether a member could have the request, if it came anew: one that is usable, if perhaps full; for a
/// session that `nofailover` keeps, one of its own.
///
/// # Safety
/// `r` is live and `record` its own, of `farm`.
pub unsafe fn is_anybody_left(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> bool {
    let mut its_own = false;
    let is_its_own = |member: &Member| its_own |= farm.listed(member).usable();
    if let Some(session) = record.session.get()
        && sticky::homes(&session, record, farm, is_its_own)
    {
        return its_own;
    }
    // SAFETY: the caller's promise; the balancer is the record's own.
    unsafe { is_anybody_usable(r, record.balancer(), farm) }
}

/// As [`is_anybody_left`], for any request.
///
/// # Safety
/// `r` is live; `balancer` is null or one of its server's.
pub unsafe fn is_anybody_usable(
    r: *mut ffi::request_rec,
    balancer: *mut ffi::proxy_balancer,
    farm: &Farm,
) -> bool {
    // SAFETY: the caller's promise.
    let asked = unsafe { Asked::by(r, farm, balancer) };
    farm.seat.record.cold.off.load(Ordering::Relaxed) == 0
        && election(farm, &asked, &[], &|| false).is_anybody_left()
}

/// Whether the next request of that kind has a member at once: as [`is_anybody_left`], or one that serves
/// though it is in error.
///
/// # Safety
/// `r` is live and `record` its own, of `farm`.
pub unsafe fn is_next_served(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> bool {
    // SAFETY: the caller's promise; the balancer is the record's own.
    let (left, asked) = unsafe {
        let asked = Asked::by(r, farm, record.balancer());
        (is_anybody_left(r, record, farm), asked)
    };
    let mut its = Vec::new();
    let is_its_own = |member: &Member| its.push(member.seat.id);
    let session = record.session.get();
    let is_kept = session.is_some_and(|session| sticky::homes(&session, record, farm, is_its_own));
    let force = || forces_recovery(asked.balancer, farm);
    left || farm.seat.record.cold.off.load(Ordering::Relaxed) == 0
        && election(farm, &asked, &[], &force)
            .is_anybody_answering(|id| !is_kept || its.contains(&id))
}

/// `forcerecovery`, where nobody answers in the farm's place.
fn forces_recovery(balancer: *mut ffi::proxy_balancer, farm: &Farm) -> bool {
    outcome::force_recovery(balancer) && !farm.has_substitute()
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
#[inline]
pub fn election<'a>(
    farm: &'a Farm,
    asked: &'a Asked<'a>,
    tried: &'a [MemberId],
    force: &'a dyn Fn() -> bool,
) -> Election<'a> {
    Election {
        farm: farm.seat.record,
        plan: farm.seat.plan.read(farm.seat.record),
        process: runtime::process(),
        lineup: farm,
        method: asked.method(),
        tried,
        probes: true,
        leaves: farm.gives_places().then_some(0),
        force,
        half_life: farm.half_life(),
        affinity: affinity::of(asked),
        score: farm.params.score.as_ref(),
        now: clock::now(),
    }
}

fn seated(farm: &Farm, elected: Elected, at: Micros) -> Result<Chosen, Nobody> {
    let member = farm.elected(elected.id).ok_or(Nobody::Usable)?;
    Ok(Chosen {
        member,
        elected,
        at,
    })
}

/// Whoever was chosen does not get the request.
pub fn decline(farm: &Farm, chosen: Chosen) {
    // SAFETY: members live as long as the configuration.
    if let Some(member) = unsafe { chosen.member.as_ref() } {
        judge::not_asked(farm, member, chosen.elected.reason, chosen.at);
    }
}

/// Makes a member the record's, with a place there. `Err`: it has none left.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn take(
    r: *mut ffi::request_rec,
    record: &Record,
    farm: &Farm,
    chosen: Chosen,
) -> Result<(), Nobody> {
    let elected = chosen.elected;
    // SAFETY: members live as long as the configuration.
    let member = unsafe { chosen.member.as_ref() }.ok_or(Nobody::Usable)?;
    member.warm.fetch();
    // At once, so that the next choice, in whatever child, sees this one.
    // SAFETY: the caller's promise.
    if !unsafe { account::open(r, record, farm, member, elected.limit) } {
        judge::not_asked(farm, member, elected.reason, chosen.at);
        return Err(Nobody::Full);
    }
    if !member.keeps() {
        // Removed in between: its seat may be another's.
        record.member.set(chosen.member);
        account::withdraw(record);
        record.member.set(std::ptr::null());
        return Err(Nobody::Full);
    }
    // SAFETY: as above.
    unsafe { record.note_tried(r, member.seat.id) };
    record.member.set(chosen.member);
    record.began.set(chosen.at);
    record.reason.set(elected.reason);
    if elected.reason != Reason::Method {
        // SAFETY: the caller's promise.
        unsafe { Asked::by(r, farm, record.balancer()) }.passed_over(member);
    }
    member.record().hot.elected.fetch_add(1, Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { environment::elected(r, record) };
    Ok(())
}
