//! `GET /athena/api/v1/events`: the last changes, the oldest first.

use athena_engine::board::Event;
use serde::Serialize;

use crate::{ffi, runtime};

#[derive(Serialize)]
pub struct Document {
    events: Vec<View>,
}

#[derive(Serialize)]
struct View {
    number: u64,
    /// RFC 3339, in UTC.
    at: String,
    farm: String,
    member: Option<String>,
    what: String,
    who: String,
    through: String,
}

impl Document {
    /// What the board's log holds now.
    pub fn new() -> Self {
        let events = runtime::board().map(|board| board.events());
        Self {
            events: events.into_iter().flatten().map(View::of).collect(),
        }
    }
}

impl View {
    fn of(event: Event) -> Self {
        Self {
            number: event.number,
            at: rfc3339(event.at),
            farm: event.farm,
            member: (!event.member.is_empty()).then_some(event.member),
            what: event.what,
            who: event.who,
            through: event.through,
        }
    }
}

/// Microseconds of Unix time as text, to the millisecond.
fn rfc3339(at: u64) -> String {
    // SAFETY: a structure of plain numbers, which the callee fills in.
    let time = unsafe {
        let mut time: ffi::apr_time_exp_t = std::mem::zeroed();
        ffi::apr_time_exp_gmt(&raw mut time, i64::try_from(at).unwrap_or(0));
        time
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.tm_year + 1900,
        time.tm_mon + 1,
        time.tm_mday,
        time.tm_hour,
        time.tm_min,
        time.tm_sec,
        time.tm_usec / 1000
    )
}
