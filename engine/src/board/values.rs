//! Values as they may be used: the board's bytes can be anything, these cannot.

use super::record::{MemberAdmin, MemberHot, flags};
use crate::agent::Said;
use crate::sync::Ordering;

/// Smallest weight, in hundredths.
pub const WEIGHT_MIN: u32 = 1;
/// Largest weight, in hundredths.
pub const WEIGHT_MAX: u32 = 10_000;
/// Largest set number.
pub const LBSET_MAX: u32 = 99;
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
        let out = match self.out.load(Ordering::Relaxed) {
            0 => 0,
            _ => flags::OUT,
        };
        self.flags() | Said::of(self).flags() | out
    }

    /// The weight in force as far as the member's agent grants it, in range.
    pub fn weight_now(&self) -> u32 {
        (self.weight() * Said::of(self).percent / 100).max(WEIGHT_MIN)
    }

    /// The set in force, in range.
    pub fn lbset(&self) -> u32 {
        self.lbset.load(Ordering::Relaxed).min(LBSET_MAX)
    }
}

impl MemberHot {
    /// Requests under way by the shared total; a total that is too low by repairs counts as none.
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.inflight.load(Ordering::Relaxed)).unwrap_or(0)
    }
}
