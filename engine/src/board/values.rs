//! Values as they may be used: the board's bytes can be anything, these cannot.

use super::record::{MemberAdmin, MemberHot, flags};
use crate::sync::Ordering;

/// Smallest weight, in hundredths.
pub const WEIGHT_MIN: u32 = 1;
/// Largest weight, in hundredths.
pub const WEIGHT_MAX: u32 = 10_000;
/// Largest set number.
pub const LBSET_MAX: u32 = 99;
/// All state letters.
pub const FLAGS_ALL: u32 =
    flags::NOT_ELIGIBLE | flags::IGNORE_ERRORS | flags::STANDBY | flags::SPARE;

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
