//! `GET /athena/api/v1/events`: the last changes, the oldest first; or those after one.

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
    /// What the board's log holds now, of the numbers after one to another.
    pub fn between(after: u64, last: u64) -> Self {
        let events = runtime::board().map(|board| board.events());
        let events = events.into_iter().flatten();
        let wanted = events.filter(|event| event.number > after && event.number <= last);
        Self {
            events: wanted.map(View::of).collect(),
        }
    }

    /// As server-sent events.
    pub fn stream(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for event in &self.events {
            if let Ok(json) = serde_json::to_string(event) {
                let one = format!("id: {}\ndata: {json}\n\n", event.number);
                text.extend_from_slice(one.as_bytes());
            }
        }
        text
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
