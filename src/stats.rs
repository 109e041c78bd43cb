//! Statistics that members push: whoever brings them, they come in here; and members that should push
//! and do not.

use std::time::Duration;

use athena_engine::Micros;
use athena_engine::dispatch::Lineup;
use athena_engine::lookout::{self, Look};
use athena_engine::method::Anew;
use athena_engine::stats::{Refused, Report, expect};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::{clock, events, refresh, runtime};

/// A new name waits so long for the farm's lock, which is held for milliseconds at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// The start: scores what was pushed before it, and begins to expect reports.
pub fn begin(farm: &Farm) {
    for member in &farm.members {
        let record = member.record();
        if let Some(score) = &farm.params.score {
            score.keep(&record.stats);
        }
        expect::begin(record, farm.expected(member), clock::now());
    }
    expect::begin_farm(farm.seat.record, expects(farm));
}

/// Whether reports are expected of any member of a farm, or would be of one that joins.
pub fn expects(farm: &Farm) -> bool {
    let mut members = farm.members.iter().map(|member| &member.params);
    !farm.observed
        && (farm.params.members.expect_update.is_some()
            || members.any(|params| params.expect_update.is_some()))
}

/// Takes in what a member says of itself. The next choice, in whatever child, goes by it.
pub fn push(farm: &Farm, member: &Member, report: &Report) -> Result<(), Refused> {
    let (record, now) = (member.record(), clock::now());
    report.push(&record.stats, now, || {
        let board = runtime::board()?;
        board.lock(farm.seat.id, PATIENCE).ok()
    })?;
    if let Some(score) = &farm.params.score {
        score.keep(&record.stats);
    }
    heard_from(farm, member, now);
    Ok(())
}

/// Something came from a member: if it was out, it is in again.
pub fn heard_from(farm: &Farm, member: &Member, now: Micros) {
    if expect::reported(farm.seat.record, member.record(), now) {
        let text = format!(
            "ATH0302: farm {}: member {} is in again: it has reported",
            farm.name, member.name
        );
        log::server(Level::Notice, farm.server_rec, &text);
        events::note(
            farm,
            Some(member),
            "in=on (was off)",
            "a report",
            "statistics",
        );
        refresh::request(farm);
        farm.start_anew(Anew::Return);
    }
}

/// Takes members out that have not reported in time. Costs a load and a branch where nothing is
/// expected.
pub fn follow(farm: &Farm) {
    let next = &farm.seat.record.hot.next_out_at;
    // An older generation goes by what was configured then.
    if let Some(look) = lookout::claim(next, clock::now, || farm.is_whole()) {
        expire(farm, look);
    }
}

#[cold]
fn expire(farm: &Farm, mut look: Look<'_>) {
    let mut changed = false;
    for member in &farm.members {
        let Some(within) = member.params.expect_update else {
            continue;
        };
        if expect::expire(&mut look, member.record(), farm.expected(member)) {
            changed = true;
            let text = format!(
                "ATH0301: farm {}: member {} is out: it has not reported for {} s",
                farm.name,
                member.name,
                within.as_secs()
            );
            log::server(Level::Warning, farm.server_rec, &text);
            events::note(
                farm,
                Some(member),
                "in=off (was on)",
                "no report",
                "statistics",
            );
        }
    }
    look.end();
    if changed {
        refresh::request(farm);
    }
}
