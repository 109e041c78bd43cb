//! Values as they may be used: the board's bytes can be anything, these cannot.

use super::record::{MemberAdmin, flags};
use crate::agent::Said;
use crate::sync::Ordering;

/// Smallest weight, in hundredths.
pub const WEIGHT_MIN: u32 = 1;
/// Largest weight, in hundredths.
pub const WEIGHT_MAX: u32 = 10_000;
/// Largest set number.
pub const LBSET_MAX: u32 = 99;
/// Most requests that a member can be limited to; 0 is no limit.
pub const MAX_CONN_MAX: u32 = 1_000_000;
/// Longest `slowstart`, in seconds.
pub const SLOW_START_MAX: u64 = 3600;
/// Longest `draintimeout`, in seconds.
pub const DRAIN_TIMEOUT_MAX: u64 = 604_800;
/// Longest route, in bytes (httpd: `PROXY_WORKER_MAX_ROUTE_SIZE` and its NUL).
pub const ROUTE_MAX: usize = 63;
/// All state letters that people and the configuration set.
pub const FLAGS_ALL: u32 =
    (flags::NOT_ELIGIBLE & !flags::OUT) | flags::IGNORE_ERRORS | flags::STANDBY | flags::SPARE;

/// The state letters as `mod_proxy` writes them. Down by people is what `status=+E` begins with.
pub const LETTERS: [(u32, char); 8] = [
    (flags::DISABLED, 'D'),
    (flags::STOPPED, 'S'),
    (flags::IGNORE_ERRORS, 'I'),
    (flags::STANDBY, 'H'),
    (flags::SPARE, 'R'),
    (flags::DRAIN, 'N'),
    (flags::CHECK_FAILED, 'C'),
    (flags::DOWN, 'E'),
];

/// Those that people set by their letters.
pub const SETTABLE: u32 = FLAGS_ALL & !(flags::CHECK_FAILED | flags::DOWN);

/// The letters that are set.
pub fn letters(set: u32) -> impl Iterator<Item = char> {
    let letters = LETTERS.into_iter();
    letters.filter_map(move |(flag, letter)| (set & flag != 0).then_some(letter))
}

impl MemberAdmin {
    /// The weight in force, in range.
    pub fn weight(&self) -> u32 {
        self.weight
            .load(Ordering::Relaxed)
            .clamp(WEIGHT_MIN, WEIGHT_MAX)
    }

    /// The [`flags`] in force, without other bits.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed) & FLAGS_ALL
    }

    /// What decides whether the member can be chosen: the [`flags`] in force, what its agent says, and
    /// [`flags::OUT`].
    pub fn state(&self) -> u32 {
        let mut state = self.flags();
        if self.out.load(Ordering::Relaxed) != 0 {
            state |= flags::OUT;
        }
        if self.has_agent_said() {
            state |= Said::of(self).flags();
        }
        state
    }

    /// Nearly no member has an agent that holds it back.
    fn has_agent_said(&self) -> bool {
        self.agent.load(Ordering::Relaxed) != 0
    }

    /// The weight in force as far as the member's agent grants it, in range.
    pub fn weight_now(&self) -> u32 {
        if !self.has_agent_said() {
            return self.weight();
        }
        (self.weight() * Said::of(self).percent / 100).max(WEIGHT_MIN)
    }

    /// The set in force, in range.
    pub fn lbset(&self) -> u32 {
        self.lbset.load(Ordering::Relaxed).min(LBSET_MAX)
    }

    /// The most requests under way in force, in range; 0: any number.
    pub fn max_conn(&self) -> u32 {
        self.max_conn.load(Ordering::Relaxed).min(MAX_CONN_MAX)
    }
}
