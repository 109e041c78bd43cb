//! Statistics that members push: whoever brings them, they come in here.

use std::time::Duration;

use athena_engine::stats::{Refused, Report};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::{clock, runtime};

/// A new name waits so long for the farm's lock, which is held for milliseconds at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// Looks at a farm's method and formula at a start, and scores what was pushed before it.
pub fn begin(farm: &Farm) -> Result<(), String> {
    let score = &farm.params.score;
    match (farm.method_name() == "stats", score) {
        (true, None) => {
            return Err(format!(
                "farm {}: lbmethod=stats needs score=FORMULA",
                farm.name
            ));
        }
        (false, Some(_)) => {
            let text = format!(
                "ATH0300: farm {}: score= has no effect without lbmethod=stats",
                farm.name
            );
            log::server(Level::Warning, farm.server_rec, &text);
        }
        _ => {}
    }
    if let Some(score) = score {
        for member in &farm.members {
            score.keep(&member.record().stats);
        }
    }
    Ok(())
}

#[expect(dead_code, reason = "the update path, which is on its way, calls it")]
/// Takes in what a member says of itself. The next choice, in whatever child, goes by it.
pub fn push(farm: &Farm, member: &Member, report: &Report) -> Result<(), Refused> {
    let stats = &member.record().stats;
    report.push(stats, clock::now(), || {
        let board = runtime::board()?;
        board.lock(farm.seat.id, PATIENCE).ok()
    })?;
    if let Some(score) = &farm.params.score {
        score.keep(stats);
    }
    Ok(())
}
