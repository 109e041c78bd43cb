//! `GET /athena/api/v1/events` of a client that accepts `text/event-stream`: the events as they happen
//! (WHATWG HTML, "Server-sent events"). A stream keeps its worker, so there are few of them, and it
//! ends with the child's configuration: browsers come again by themselves, with `Last-Event-ID`.

use std::ffi::c_int;
use std::time::Duration;

use athena_engine::Micros;
use athena_engine::board::watchers::WATCHERS;

use super::events::Document;
use super::send;
use crate::change::Refusal;
use crate::ffi::{self, OK};
use crate::{client, clock, runtime};

/// How often the board is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// A comment after so much silence, in microseconds, shows a client that has gone without a word.
const SILENCE: Micros = 5_000_000;
const COMMENT: &[u8] = b":\n\n";

/// Answers with what happens after an event, or from now on.
///
/// # Safety
/// `r` is live.
pub unsafe fn answer(r: *mut ffi::request_rec, after: Option<u64>) -> Result<c_int, Refusal> {
    let refuse = |reason: String| Refusal::new(ffi::HTTP_SERVICE_UNAVAILABLE, reason);
    let Some(board) = runtime::board() else {
        return Err(refuse("there is no board".to_owned()));
    };
    let Some(mut watcher) = board.watch(clock::now()) else {
        return Err(refuse(format!(
            "{WATCHERS} clients follow the events already"
        )));
    };
    let mut settled = board.last_event();
    // A number that is still to come is another board's.
    let mut told = after.map_or(settled, |after| if after > settled { 0 } else { after });
    let mut spoke = clock::now();
    // SAFETY: the caller's promise.
    unsafe {
        send(r, c"text/event-stream", COMMENT);
        ffi::ap_rflush(r);
    }
    loop {
        // SAFETY: as above.
        if unsafe { client::is_gone(r) } {
            break;
        }
        // Who comes to a child that ends is still told what has happened.
        let last = is_ending() || !board.is_current();
        std::thread::sleep(EVERY);
        let now = clock::now();
        if !watcher.renew(now) {
            break;
        }
        let mut text = Document::between(told, settled).stream();
        // What has a number by now is whole at the next look.
        (told, settled) = (settled, board.last_event());
        if text.is_empty() && now.saturating_sub(spoke) >= SILENCE {
            text.extend_from_slice(COMMENT);
        }
        if !text.is_empty() {
            let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
            // SAFETY: as above; httpd sends the bytes before it returns.
            unsafe {
                ffi::ap_rwrite(text.as_ptr().cast(), length, r);
                ffi::ap_rflush(r);
            }
            spoke = now;
        }
        if last {
            break;
        }
    }
    Ok(OK)
}

/// Whether the child takes no more requests.
fn is_ending() -> bool {
    let mut state = 0;
    // SAFETY: a query into an integer.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_MPM_STATE, &raw mut state) };
    state == ffi::AP_MPMQ_STOPPING
}
