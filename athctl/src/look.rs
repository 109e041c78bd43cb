//! Where `status` and `top` take farms from: the engine, or the board's file, which tells while
//! httpd hangs or is stopped.

use std::fs::File;
use std::path::Path;

use athena_engine::board::glance::{self, SeenFarm, SeenMember};
use athena_engine::board::record::flags;
use athena_engine::config;
use athena_engine::health::Cause;

use crate::api::Api;
use crate::documents::{Farm, Member};
use crate::error::Error;

/// All farms, or the one of that name; from the board's file if one is given.
pub fn farms(api: &Api, board: Option<&Path>, name: Option<&str>) -> Result<Vec<Farm>, Error> {
    let Some(path) = board else {
        return api.farms(name);
    };
    let path = path.to_owned();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return Err(Error::File { path, error }),
    };
    let farms = match glance::farms(file) {
        Ok(farms) => farms.into_iter(),
        Err(error) => return Err(Error::Board { path, error }),
    };
    let Some(name) = name else {
        return Ok(farms.map(farm).collect());
    };
    let named = config::named::farms(farms, name, |farm| (&farm.name, &farm.server));
    if named.is_empty() {
        let said = format!("{}: there is no farm {name}", path.display());
        return Err(Error::Wrong(said));
    }
    Ok(named.into_iter().map(farm).collect())
}

fn farm(seen: SeenFarm) -> Farm {
    let members: Vec<_> = seen.members.into_iter().map(member).collect();
    Farm {
        name: seen.name,
        server: seen.server,
        method: seen.method.unwrap_or_else(|| "as configured".to_owned()),
        on: seen.on,
        usable: members.iter().filter(|member| member.usable).count(),
        elected: seen.elected,
        refused: seen.refused,
        queued: 0,
        members,
    }
}

fn member(seen: SeenMember) -> Member {
    let has = |flag| seen.state & flag != 0;
    let up = seen.cause.is_none() && !has(flags::CHECK_FAILED | flags::DOWN);
    let checked = seen.check_failed.then_some("check");
    Member {
        name: seen.name,
        route: seen.route,
        weight: f64::from(seen.weight) / 100.0,
        lbset: seen.lbset,
        on: !has(flags::DISABLED | flags::STOPPED),
        up,
        reporting: !has(flags::OUT),
        drain: has(flags::DRAIN),
        standby: has(flags::STANDBY),
        usable: up && !has(flags::NOT_ELIGIBLE),
        error: seen.cause.map(Cause::word).or(checked).map(str::to_owned),
        agent: seen.agent,
        inflight: seen.inflight,
        elected: seen.elected,
        served: seen.served,
        failed: seen.failed,
        ttfb_ewma_ms: seen.first_byte.map(|micros| micros / 1000.0),
    }
}
