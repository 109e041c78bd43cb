//! `timeout=` of a farm: nothing is usable, and the request waits so long for a member before it gives
//! up.
//!
//! The request keeps its thread (under prefork its child), and so has an entry among those that wait for a
//! place ([`athena_engine::board::queue`]), of which there are half as many as workers. It looks again
//! twenty times a second, at what all children know: a member that is due is probed, one that another
//! request brought back is taken. A forced recovery is for the end of the wait.

use std::sync::atomic::Ordering;
use std::time::Duration;

use athena_engine::Micros;

use crate::farm::Farm;
use crate::ffi;
use crate::log::{self, Level};
use crate::record::Record;
use crate::{client, clock, elect, outcome, runtime};

/// How often a waiting request looks, in microseconds.
const EVERY: Micros = 50_000;

/// Waits for a member that the request can have. False when the time is over, or the client gone, or
/// when waiting cannot help.
///
/// # Safety
/// `r` is live and `record` its own, of `farm`.
#[cold]
pub unsafe fn for_member(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> bool {
    let Some(time) = outcome::timeout(record.balancer()) else {
        return false;
    };
    if outcome::is_exhausted(record, farm)
        || farm.seat.record.cold.off.load(Ordering::Relaxed) != 0
        || record.pinned_to().is_some()
    {
        return false;
    }
    let began = clock::now();
    let stay = runtime::get().and_then(runtime::Runtime::stay);
    if stay.is_none() {
        explain(r, farm, "too many wait already");
        record.waits_until.set(began);
    } else if record.waits_until.get() == 0 {
        record.waits_until.set(began.saturating_add(time));
    }
    let found = loop {
        let left = record.waits_until.get().saturating_sub(clock::now());
        std::thread::sleep(Duration::from_micros(left.min(EVERY)));
        // Where it has been may be well again meanwhile.
        record.forgive();
        // SAFETY: the caller's promise.
        let found = unsafe { elect::next_member(r, record, farm) };
        // SAFETY: as above.
        if found || left == 0 || unsafe { client::is_gone(r) } {
            break found;
        }
    };
    let member = record.member().map_or("none", |member| &member.name);
    let waited = clock::now().saturating_sub(began) / 1000;
    explain(
        r,
        farm,
        &format!("waited {waited} ms for a member: {member}"),
    );
    found
}

/// Whether a request has waited as long as it may; at once where nobody waits.
pub fn is_over(record: &Record, now: Micros) -> bool {
    let until = record.waits_until.get();
    outcome::timeout(record.balancer()).is_none() || (until != 0 && until <= now)
}

fn explain(r: *mut ffi::request_rec, farm: &Farm, what: &str) {
    if log::debug_wanted(r) {
        let text = format!("ATH0230: farm {}: nothing was usable, {what}", farm.name);
        log::request(Level::Debug, r, &text);
    }
}
