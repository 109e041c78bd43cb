//! A change of a farm.

use super::{Key, Kind, difference, on_off, or_none, set, switch, target, word, written};
use crate::board::FarmExtras;
use crate::board::record::FarmRecord;
use crate::config::forward::Forward;
use crate::config::param::{Fallback, ParamError};
use crate::config::value;
use crate::method::Anew;
use crate::sync::Ordering;

/// Longest name of a method, in bytes (httpd: `PROXY_MAX_PROVIDER_NAME_SIZE` and its NUL).
const METHOD_MAX: usize = 15;

/// What becomes different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FarmChange {
    /// In service.
    pub on: Option<bool>,
    /// `lbmethod`. Whether there is one of this name is the edge's to know.
    pub method: Option<String>,
    /// `forward`.
    pub forward: Option<Option<Forward>>,
    /// `fallback`.
    pub fallback: Option<Option<Fallback>>,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarmState {
    /// In service.
    pub on: bool,
    /// The rest.
    pub extras: FarmExtras,
}

impl FarmChange {
    /// What can be changed of a farm.
    #[rustfmt::skip]
    pub const KEYS: &[Key<Self>] = &[
        Key { name: "on", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|on| change.on = Some(on)) },
        Key { name: "method", kind: Kind::Text, clears: false,
            read: |change, text| value::name(text, METHOD_MAX).map(|name| change.method = Some(name)) },
        Key { name: "forward", kind: Kind::Text, clears: true,
            read: |change, text| or_none(text, |text| target(text, Forward::read)).map(|to| change.forward = Some(to)) },
        Key { name: "fallback", kind: Kind::Text, clears: true,
            read: |change, text| or_none(text, |text| target(text, Fallback::read)).map(|to| change.fallback = Some(to)) },
    ];

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
        let had = &before.extras;
        FarmState {
            on: self.on.unwrap_or(before.on),
            extras: FarmExtras {
                method: self.method.as_ref().unwrap_or(&had.method).clone(),
                forward: written(self.forward.as_ref(), &had.forward),
                fallback: written(self.fallback.as_ref(), &had.fallback),
            },
        }
    }
}

impl FarmState {
    /// What is in force on the board, where the configuration says `configured`.
    pub fn of(record: &FarmRecord, configured: &FarmExtras) -> Self {
        Self {
            on: record.cold.off.load(Ordering::Relaxed) == 0,
            extras: configured.in_force(&record.changed),
        }
    }

    /// Puts it in force on the board. The caller holds the farm's lock.
    pub fn store(&self, record: &FarmRecord, configured: &FarmExtras) {
        record
            .cold
            .off
            .store(u32::from(!self.on), Ordering::Relaxed);
        self.extras.store(&record.changed, configured);
    }

    /// Which running figures of stock httpd's rules start anew.
    pub fn starts_anew(&self, before: &Self) -> Option<Anew> {
        (self.extras.method != before.extras.method).then_some(Anew::Method)
    }

    /// What became different, in words; `None`: nothing.
    pub fn difference(&self, before: &Self) -> Option<String> {
        difference(&before.words(), &self.words())
    }

    /// Every setting, as it would be written in a change.
    pub fn words(&self) -> [(&'static str, String); 4] {
        [
            ("on", on_off(self.on)),
            ("method", self.extras.method.clone()),
            ("forward", word(&self.extras.forward)),
            ("fallback", word(&self.extras.fallback)),
        ]
    }
}
