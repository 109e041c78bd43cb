//! A change of a farm.

use super::{Key, Kind, difference, on_off, set, switch};
use crate::board::record::FarmCold;
use crate::config::param::ParamError;
use crate::sync::Ordering;

/// What becomes different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FarmChange {
    /// In service.
    pub on: Option<bool>,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarmState {
    /// In service.
    pub on: bool,
}

impl FarmChange {
    /// What can be changed of a farm.
    pub const KEYS: &[Key<Self>] = &[Key {
        name: "on",
        kind: Kind::Switch,
        read: |change, text| switch(text).map(|on| change.on = Some(on)),
    }];

    /// Reads one key; of a repeated one the last holds.
    ///
    /// # Errors
    /// There is no such key, or the value is not allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ParamError> {
        set(Self::KEYS, self, key, value)
    }

    /// What is in force after the change.
    #[must_use]
    pub fn after(&self, before: &FarmState) -> FarmState {
        FarmState {
            on: self.on.unwrap_or(before.on),
        }
    }
}

impl FarmState {
    /// What is in force on the board.
    pub fn of(cold: &FarmCold) -> Self {
        Self {
            on: cold.off.load(Ordering::Relaxed) == 0,
        }
    }

    /// Puts it in force on the board. The caller holds the farm's lock.
    pub fn store(&self, cold: &FarmCold) {
        cold.off.store(u32::from(!self.on), Ordering::Relaxed);
    }

    /// What became different, in words; `None`: nothing.
    pub fn difference(&self, before: &Self) -> Option<String> {
        difference(&before.words(), &self.words())
    }

    fn words(&self) -> [(&'static str, String); 1] {
        [("on", on_off(self.on))]
    }
}
