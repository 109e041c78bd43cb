//! `draintimeout`: how long a draining member (`status=+N`) goes on serving its sessions.
//!
//! Since when it drains stands on the board, in the time of the wall clock (microseconds since 1970):
//! it holds over restarts, which [`crate::Micros`] need not.

use std::time::Duration;

use crate::board::record::{MemberAdmin, flags};
use crate::sync::Ordering;

/// Keeps the beginning true, after a change of the member's state; under the farm's lock.
pub fn keep(admin: &MemberAdmin, wall: u64) {
    let since = admin.draining_since.load(Ordering::Relaxed);
    let draining = admin.state() & flags::DRAIN != 0;
    if !draining && since != 0 {
        admin.draining_since.store(0, Ordering::Relaxed);
    }
    // Later than now: the clock was set back.
    if draining && (since == 0 || since > wall) {
        admin.draining_since.store(wall, Ordering::Relaxed);
    }
}

/// Whether a member has drained for its whole `timeout`.
pub fn is_over(admin: &MemberAdmin, timeout: Duration, wall: u64) -> bool {
    let since = admin.draining_since.load(Ordering::Relaxed);
    since != 0
        && admin.state() & flags::DRAIN != 0
        && Duration::from_micros(wall.saturating_sub(since)) >= timeout
}

/// True for the first who finds this draining over, in whatever process.
pub fn is_news(admin: &MemberAdmin) -> bool {
    let since = admin.draining_since.load(Ordering::Relaxed);
    let told = &admin.drain_told;
    told.load(Ordering::Relaxed) != since && told.swap(since, Ordering::Relaxed) != since
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;
    const MINUTE: Duration = Duration::from_mins(1);

    fn draining(admin: &MemberAdmin, on: bool, wall: u64) {
        let letters = if on { flags::DRAIN } else { 0 };
        admin.flags.store(letters, Ordering::Relaxed);
        keep(admin, wall);
    }

    #[test]
    fn it_ends_a_timeout_after_its_beginning_and_is_told_once() {
        let admin = MemberAdmin::default();
        draining(&admin, true, NOW);
        // Other changes do not begin it anew.
        keep(&admin, NOW + 30_000_000);
        assert!(!is_over(&admin, MINUTE, NOW + 59_999_999));
        assert!(is_over(&admin, MINUTE, NOW + 60_000_000));
        assert!(is_news(&admin) && !is_news(&admin));
        draining(&admin, false, NOW + 70_000_000);
        assert!(!is_over(&admin, MINUTE, NOW + 900_000_000));
        draining(&admin, true, NOW + 80_000_000);
        assert!(!is_over(&admin, MINUTE, NOW + 139_000_000));
        assert!(is_over(&admin, MINUTE, NOW + 140_000_000) && is_news(&admin));
    }

    #[test]
    fn a_clock_set_back_begins_it_anew() {
        let admin = MemberAdmin::default();
        draining(&admin, true, u64::MAX);
        assert!(!is_over(&admin, MINUTE, NOW));
        keep(&admin, NOW);
        assert!(is_over(&admin, MINUTE, NOW + 60_000_000));
    }
}
