//! What an attempt says about its member's health: out of service, ejected, back. And what people and the
//! configuration say.

use std::ffi::c_int;
use std::sync::atomic::Ordering;
use std::time::Duration;

use athena_engine::attempt::{Outcome, Verdict, verdict};
use athena_engine::board::record::{MemberHealth, flags};
use athena_engine::dispatch::{Lineup, Reason};
use athena_engine::health::{self, Cause};
use athena_engine::plan::stale;
use athena_engine::{Micros, ejection, ewma, probe};

use crate::farm::{Farm, Member};
use crate::ffi;
use crate::log::{self, Level};
use crate::record::Record;
use crate::{clock, events, outcome, refresh, runtime};

/// The farm's lock is held for moments; an ejection is worth no longer a wait.
const PATIENCE: Duration = Duration::from_millis(10);

/// The attempt is a probe that has not shown how the member is.
pub fn still_probes(record: &Record, health: &MemberHealth) -> bool {
    is_probe(record.reason.get(), record.began.get(), health)
}

fn is_probe(reason: Reason, began: Micros, health: &MemberHealth) -> bool {
    reason.is_probe() && began >= health.recovered_at.load(Ordering::Relaxed)
}

/// A member was chosen for this reason then, and has not been asked: if it was for a probe, the next request is
/// to find out.
pub fn not_asked(farm: &Farm, member: &Member, reason: Reason, chosen: Micros) {
    let health = &member.record().health;
    if is_probe(reason, chosen, health) && member.is_current() {
        let now = clock::now();
        health::give_probe_back(health, now);
        probe::note(&farm.seat.record.hot, now);
    }
}

/// An answer begins. If the attempt is a probe, that brings the member back, however long the rest takes.
pub fn probed(record: &Record, status: c_int) {
    if !record.reason.get().is_probe() {
        return;
    }
    let (Some(farm), Some(member)) = (record.farm(), record.member()) else {
        return;
    };
    let health = &member.record().health;
    if farm.observed || !still_probes(record, health) || !member.is_current() {
        return;
    }
    let outcome = Outcome::Answered(u16::try_from(status).unwrap_or(0));
    let good = match verdict(outcome, outcome::rules(farm)) {
        Verdict::Good => true,
        Verdict::Failure => answers_again(health, outcome),
        Verdict::Silent | Verdict::Out(_) => false,
    };
    if good {
        ewma::forget(&member.record().hot);
        recovered(farm, member, clock::now());
    }
}

/// Moves the member's health by what the attempt says about it.
pub fn attempt(record: &Record, farm: &Farm, member: &Member, outcome: Outcome, now: Micros) {
    let health = &member.record().health;
    let ignore = member.record().admin.flags.load(Ordering::Relaxed) & flags::IGNORE_ERRORS != 0;
    let probe = still_probes(record, health);
    match verdict(outcome, outcome::rules(farm)) {
        // A probe that timed out did reach the member, and so is not given back.
        Verdict::Silent if matches!(outcome, Outcome::NotTheMember(_) | Outcome::TurnedAway) => {
            not_asked(farm, member, record.reason.get(), record.began.get());
        }
        Verdict::Silent => {}
        Verdict::Good => {
            health::success(health);
            ejection::good(health);
            if probe {
                recovered(farm, member, now);
            }
        }
        Verdict::Out(_) if ignore => {}
        // An attempt from before the member came back says nothing new.
        Verdict::Out(_) if record.began.get() < health.recovered_at.load(Ordering::Relaxed) => {}
        Verdict::Out(cause) => out(farm, member, cause, member.retry(), now),
        Verdict::Failure => {
            let streak = health::failure(health);
            if probe && answers_again(health, outcome) {
                recovered(farm, member, now);
            } else if probe {
                stays_out(farm, member, now);
            } else if let Some(after) = farm.params.eject_after
                && ejection::fails(member.record(), streak, after, now)
                && !ignore
            {
                eject(farm, member, now);
            }
        }
    }
}

/// A member that went out because nobody could connect to it is back when it answers at all; one
/// that was ejected for its answers has to give a good one.
fn answers_again(health: &MemberHealth, outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Answered(_))
        && matches!(
            health::cause(health),
            Cause::Connect | Cause::Timeout | Cause::Configured
        )
}

#[cold]
fn recovered(farm: &Farm, member: &Member, now: Micros) {
    let health = &member.record().health;
    let was_ejected = health::cause(health) == Cause::Ejected;
    if health::recover(health, now) {
        if let Some(after) = farm.params.eject_after.filter(|_| was_ejected) {
            ejection::on_probation(health, after);
        }
        log::server(
            Level::Notice,
            farm.server_rec,
            &format!(
                "ATH0111: farm {}: member {} is back in service",
                farm.name, member.name
            ),
        );
        events::note(farm, Some(member), "up=on (was off)", "an answer", "health");
    }
    member.mirror_error(false);
    refresh::request(farm);
}

/// A member configured with `status=+E` begins in error; one that was in error before a restart still is, no
/// longer than the settings say now, and mod_proxy's new shared part does not know yet.
pub fn begin_in_error(farm: &Farm, member: &Member) {
    let (health, now) = (&member.record().health, clock::now());
    if farm.observed {
        // Errors are mod_proxy's own: one of a run with the engine on would never end.
        health::recover(health, now);
        return;
    }
    if farm.params.eject_after.is_none() && health::cause(health) == Cause::Ejected {
        health::recover(health, now);
    }
    if member.status() & ffi::PROXY_WORKER_IN_ERROR.unsigned_abs() != 0 {
        health::fail(health, Cause::Configured, now, member.retry());
    }
    if !health::healthy(health) {
        // By what it is out for by now.
        let longest = farm.retry(member.seat.id);
        health::bound(health, now, longest);
        probe::note(&farm.seat.record.hot, now.saturating_add(longest));
        member.mirror_error(true);
    }
}

/// Ends an error because people say so. True when there was one.
pub fn end_error(member: &Member) -> bool {
    let ended = health::recover(&member.record().health, clock::now());
    member.mirror_error(false);
    ended
}

/// Puts the member in error for `time`; the first to find out says so.
#[cold]
fn out(farm: &Farm, member: &Member, cause: Cause, time: Micros, now: Micros) {
    let health = &member.record().health;
    let before = health::cause(health);
    if health::fail(health, cause, now, time) {
        taken_out(farm, member, cause, time, now);
    } else if time > 0 {
        probe::note(&farm.seat.record.hot, now.saturating_add(time));
        member.mirror_error(true);
        if health::cause(health) != before {
            // The plan counts those that are ejected.
            refresh::request(farm);
        }
    }
}

fn taken_out(farm: &Farm, member: &Member, cause: Cause, time: Micros, now: Micros) {
    probe::note(&farm.seat.record.hot, now.saturating_add(time));
    member.mirror_error(true);
    log::server(
        Level::Warning,
        farm.server_rec,
        &format!(
            "ATH0110: farm {}: member {} is out of service for {} s: {}. One request will probe \
             it then",
            farm.name,
            member.name,
            time / 1_000_000,
            cause.word()
        ),
    );
    events::note(
        farm,
        Some(member),
        "up=off (was on)",
        cause.word(),
        "health",
    );
    refresh::request(farm);
}

/// The probe of a member failed: out again, an ejected one for longer.
#[cold]
fn stays_out(farm: &Farm, member: &Member, now: Micros) {
    let health = &member.record().health;
    let cause = health::cause(health);
    if cause == Cause::Ejected {
        let before = health.ejections.fetch_add(1, Ordering::Relaxed);
        let time = ejection::ejection_time(farm.eject_base(), before);
        out(farm, member, cause, time, now);
    }
}

/// Outlier ejection, while `maxeject` allows it and another member is there to take over. Under the
/// farm's lock: two children must not each eject the one that the other one counts on.
#[cold]
fn eject(farm: &Farm, member: &Member, now: Micros) {
    let health = &member.record().health;
    if !health::healthy(health) {
        return;
    }
    let lock = runtime::board().and_then(|board| board.lock(farm.seat.id, PATIENCE).ok());
    // Without the lock, the next failure tries again.
    let Some(lock) = lock else { return };
    let count = refresh::current(farm, &lock).count;
    // Nor by a plan that only another process can bring up to date.
    if stale::is_marked(&farm.seat.record.cold) {
        return;
    }
    let allowed = ejection::allowed(count.members as usize, farm.params.max_eject);
    let others = count
        .usable
        .saturating_sub(farm.listed(member).usable().into());
    let done = (count.ejected as usize) < allowed
        && others > 0
        && ejection::eject(health, now, farm.eject_base());
    if done {
        // Whoever has the lock next counts anew.
        stale::mark(&farm.seat.record.cold);
    }
    drop(lock);
    if done {
        let time = farm.retry(member.seat.id);
        taken_out(farm, member, Cause::Ejected, time, now);
    }
}
