//! Keeps a farm's published plan true: whoever changes what it is made of marks it stale, and a
//! child of the current generation compiles it anew under the farm's lock.

use std::sync::atomic::Ordering;
use std::time::Duration;

use athena_engine::board::{Board, FarmLock, LockError};
use athena_engine::drain;
use athena_engine::plan::{Count, Plan, PlanMember, carry, compile, index, stale};
use athena_engine::probe;
use athena_engine::slow_start;

use crate::farm::Farm;
use crate::log::{self, Level};
use crate::{added, clock, growth, method, runtime};

/// A compilation takes milliseconds at most; a holder that takes longer is stopped or hostile.
const PATIENCE: Duration = Duration::from_millis(500);

/// Marks the plan stale and compiles it.
pub fn request(farm: &Farm) {
    stale::mark(&farm.seat.record.cold);
    if !renew(farm, PATIENCE) {
        log::server(
            Level::Warning,
            farm.server_rec,
            &format!(
                "ATH0120: farm {}: the board's lock was not to be had; its members' change takes \
                 effect with the next request that gets it",
                farm.name
            ),
        );
    }
}

/// Compiles the plan when somebody marked it stale. No request waits for another that is at it: it
/// goes by the plan there is.
pub fn if_stale(farm: &Farm) {
    if stale::is_marked(&farm.seat.record.cold) {
        renew(farm, Duration::ZERO);
    }
}

/// Compiles a stale plan. False when the farm's lock was not to be had in that time.
#[cold]
fn renew(farm: &Farm, patience: Duration) -> bool {
    let Some(board) = runtime::board() else {
        return true;
    };
    match board.lock_to_change(farm.seat.id, patience) {
        Ok(lock) => {
            current(farm, &lock);
            true
        }
        // An older generation knows other members; it leaves the mark for the current one.
        Err(error) => matches!(error, LockError::Over),
    }
}

/// The plan in force, compiled anew if it is stale, unless that is another process's to do.
pub fn current<'a>(farm: &'a Farm, held: &FarmLock<'_>) -> Plan<'a> {
    let newest = runtime::board().is_some_and(Board::is_current);
    // Who has yet to seat a member leaves it to those who know it, and to its own next request.
    if newest && !growth::lacks_any(farm) && stale::begin(&farm.seat.record.cold) {
        // Whoever marked it may know members that this process does not.
        added::catch_up(farm, held);
        publish(farm);
        stale::end(&farm.seat.record.cold);
    }
    let plan = farm.seat.plan.read(farm.seat.record);
    plan.unwrap_or_default()
}

/// Makes good what a child that was killed left undone between a member's change and what follows from
/// it: its place in the plan, the time of its probe.
pub fn repair(farm: &Farm) {
    let listed: Vec<PlanMember> = farm
        .members
        .iter()
        .map(|member| farm.listed(member))
        .collect();
    let plan = farm.seat.plan.read(farm.seat.record);
    if plan.is_some_and(|plan| plan.misses(Count::of(&listed))) {
        stale::mark(&farm.seat.record.cold);
    }
    note_probes(farm);
}

/// Notes when the first member in error is due.
fn note_probes(farm: &Farm) {
    let in_error = farm.members.iter().map(|member| &member.record().health);
    let due = in_error.map(|health| health.retry_at.load(Ordering::SeqCst));
    if let Some(at) = due.filter(|at| *at != 0).min() {
        probe::note(&farm.seat.record.hot, at);
    }
}

/// Compiles and publishes; the caller holds the lock, or is the parent before there are children.
pub fn publish(farm: &Farm) {
    let now = clock::now();
    method::follow(farm);
    let mut members: Vec<PlanMember> = farm
        .members
        .iter()
        .map(|member| {
            let record = member.record();
            drain::keep(&record.admin, clock::wall());
            let listed = PlanMember {
                name: index::of_name(member.name.as_bytes()),
                route: index::of_route(member.route().to_bytes()),
                ..farm.listed(member)
            };
            let usable = listed.usable();
            slow_start::note(farm.seat.record, record, usable, now, member.slow_start());
            listed
        })
        .collect();
    // People may have put one back in service that was due while it was not.
    note_probes(farm);
    let before = farm.seat.plan.read(farm.seat.record);
    carry::settle(&mut members, before.as_ref(), farm.seat.record);
    let compiled = compile(&members, farm.seat.plan.capacity());
    // A plan that says the same stays in force: nobody has to read another.
    if before.is_none_or(|plan| !plan.says(&compiled)) {
        farm.seat.plan.publish(farm.seat.record, &compiled);
        for (member, listed) in farm.members.iter().zip(&members) {
            carry::keep(member.record(), listed);
        }
    }
}
