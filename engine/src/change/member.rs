//! A change of a member.

use super::{Key, Kind, difference, number, on_off, or_none, set, switch, target, word, written};
use crate::board::record::{MemberRecord, flags};
use crate::board::values::{
    DRAIN_TIMEOUT_MAX, LBSET_MAX, MAX_CONN_MAX, ROUTE_MAX, SLOW_START_MAX, WEIGHT_MAX, WEIGHT_MIN,
};
use crate::board::{MemberExtras, Settings};
use crate::config::forward::Forward;
use crate::config::param::ParamError;
use crate::config::value::{self, Must};
use crate::method::Anew;
use crate::sync::Ordering;

/// What becomes different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChange {
    /// The weight, in hundredths.
    pub weight: Option<u32>,
    /// The set.
    pub lbset: Option<u32>,
    /// Most requests under way; 0 for any number.
    pub max_conn: Option<u32>,
    /// [`flags`] to set.
    pub set: u32,
    /// [`flags`] to clear.
    pub clear: u32,
    /// The session route; empty for none.
    pub route: Option<String>,
    /// `slowstart`, in seconds.
    pub slow_start: Option<Option<u32>>,
    /// `forward`.
    pub forward: Option<Option<Forward>>,
    /// The route that takes over its sessions; empty for none.
    pub redirect: Option<String>,
    /// `draintimeout`, in seconds.
    pub drain_timeout: Option<Option<u32>>,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberState {
    /// Weight, flags, set and most requests under way.
    pub settings: Settings,
    /// The rest.
    pub extras: MemberExtras,
}

impl MemberChange {
    /// What can be changed of a member.
    #[rustfmt::skip]
    pub const KEYS: &[Key<Self>] = &[
        Key { name: "weight", kind: Kind::Number, clears: false,
            read: |change, text| value::hundredths(text, WEIGHT_MIN..=WEIGHT_MAX)
                .map(|weight| change.weight = Some(weight)) },
        Key { name: "lbset", kind: Kind::Number, clears: false,
            read: |change, text| value::number(text, 0..=LBSET_MAX).map(|set| change.lbset = Some(set)) },
        Key { name: "maxconn", kind: Kind::Number, clears: true,
            read: |change, text| or_none(text, |text| value::number(text, 1..=MAX_CONN_MAX))
                .map(|most| change.max_conn = Some(most.unwrap_or(0))) },
        Key { name: "on", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|on| change.turn_on(on)) },
        Key { name: "up", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|up| change.flag(flags::DOWN, !up)) },
        Key { name: "drain", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|on| change.flag(flags::DRAIN, on)) },
        Key { name: "standby", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|on| change.flag(flags::STANDBY, on)) },
        Key { name: "spare", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|on| change.flag(flags::SPARE, on)) },
        Key { name: "stopped", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|on| change.flag(flags::STOPPED, on)) },
        Key { name: "ignore_errors", kind: Kind::Switch, clears: false,
            read: |change, text| switch(text).map(|on| change.flag(flags::IGNORE_ERRORS, on)) },
        Key { name: "route", kind: Kind::Text, clears: true,
            read: |change, text| or_none(text, route).map(|route| change.route = Some(route.unwrap_or_default())) },
        Key { name: "redirect", kind: Kind::Text, clears: true,
            read: |change, text| or_none(text, route).map(|route| change.redirect = Some(route.unwrap_or_default())) },
        Key { name: "slowstart", kind: Kind::Number, clears: true,
            read: |change, text| or_none(text, |text| seconds(text, SLOW_START_MAX)).map(|time| change.slow_start = Some(time)) },
        Key { name: "draintimeout", kind: Kind::Number, clears: true,
            read: |change, text| or_none(text, |text| seconds(text, DRAIN_TIMEOUT_MAX)).map(|time| change.drain_timeout = Some(time)) },
        Key { name: "forward", kind: Kind::Text, clears: true,
            read: |change, text| or_none(text, |text| target(text, Forward::read)).map(|forward| change.forward = Some(forward)) },
    ];

    /// Reads one key; of a repeated one the last holds.
    ///
    /// # Errors
    /// There is no such key, or the value is not allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ParamError> {
        set(Self::KEYS, self, key, value)
    }

    /// Sets or clears flags.
    pub fn flag(&mut self, flag: u32, on: bool) {
        let (to, from) = if on {
            (&mut self.set, &mut self.clear)
        } else {
            (&mut self.clear, &mut self.set)
        };
        *to |= flag;
        *from &= !flag;
    }

    /// A stopped member is off, too; `on` ends both.
    fn turn_on(&mut self, on: bool) {
        if on {
            self.flag(flags::DISABLED | flags::STOPPED, false);
        } else {
            self.flag(flags::DISABLED, true);
        }
    }

    /// People say that the member is up: an error that it is in ends, too.
    pub const fn ends_error(&self) -> bool {
        self.clear & flags::DOWN != 0
    }

    /// What is in force after the change.
    #[must_use]
    pub fn after(&self, before: &MemberState) -> MemberState {
        let (was, had) = (before.settings, &before.extras);
        MemberState {
            settings: Settings {
                weight: self.weight.unwrap_or(was.weight),
                flags: was.flags & !self.clear | self.set,
                lbset: self.lbset.unwrap_or(was.lbset),
                max_conn: self.max_conn.unwrap_or(was.max_conn),
            },
            extras: MemberExtras {
                route: self.route.as_ref().unwrap_or(&had.route).clone(),
                slow_start: self.slow_start.unwrap_or(had.slow_start),
                forward: written(self.forward.as_ref(), &had.forward),
                redirect: self.redirect.as_ref().unwrap_or(&had.redirect).clone(),
                drain_timeout: self.drain_timeout.unwrap_or(had.drain_timeout),
            },
        }
    }
}

impl MemberState {
    /// What is in force on the board, where the configuration says `configured`.
    pub fn of(record: &MemberRecord, configured: &MemberExtras) -> Self {
        Self {
            settings: Settings::in_force(&record.admin),
            extras: configured.in_force(&record.changed),
        }
    }

    /// Puts it in force on the board. The caller holds the farm's lock.
    pub fn store(&self, record: &MemberRecord, configured: &MemberExtras) {
        self.settings.store(&record.admin);
        // Who ends the draining calls the removal behind it off.
        if self.settings.flags & flags::DRAIN == 0 {
            record.admin.leaving.store(0, Ordering::Relaxed);
        }
        self.extras.store(&record.changed, configured);
    }

    /// Which running figures of stock httpd's rules start anew.
    pub fn starts_anew(&self, before: &Self) -> impl Iterator<Item = Anew> + use<> {
        let (was, is) = (before.settings, self.settings);
        let is_out = |settings: Settings| settings.flags & flags::NOT_ELIGIBLE != 0;
        let weight = (was.weight != is.weight).then_some(Anew::Weight);
        let back = (is_out(was) && !is_out(is)).then_some(Anew::Return);
        weight.into_iter().chain(back)
    }

    /// What became different, in words; `None`: nothing.
    pub fn difference(&self, before: &Self) -> Option<String> {
        difference(&before.words(), &self.words())
    }

    /// Every setting, as it would be written in a change.
    pub fn words(&self) -> [(&'static str, String); 15] {
        let Settings {
            weight,
            flags: state,
            lbset,
            max_conn,
        } = self.settings;
        let flag = |flag| on_off(state & flag != 0);
        let extras = &self.extras;
        [
            ("weight", format!("{}.{:02}", weight / 100, weight % 100)),
            ("lbset", lbset.to_string()),
            ("on", on_off(state & flags::DISABLED == 0)),
            ("up", on_off(state & flags::DOWN == 0)),
            ("drain", flag(flags::DRAIN)),
            ("standby", flag(flags::STANDBY)),
            ("spare", flag(flags::SPARE)),
            ("stopped", flag(flags::STOPPED)),
            ("ignore_errors", flag(flags::IGNORE_ERRORS)),
            ("route", word(&extras.route)),
            ("redirect", word(&extras.redirect)),
            ("maxconn", number(Some(max_conn).filter(|most| *most > 0))),
            ("slowstart", number(extras.slow_start)),
            ("draintimeout", number(extras.drain_timeout)),
            ("forward", word(&extras.forward)),
        ]
    }
}

fn route(text: &str) -> Result<String, Must> {
    if (1..=ROUTE_MAX).contains(&text.len()) && text.bytes().all(value::is_cookie_octet) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be 1 to {ROUTE_MAX} visible ASCII characters other than '\"', '\\', ',' and ';'"
        ))
    }
}

/// As `slowstart` and `draintimeout` in the configuration.
fn seconds(text: &str, most: u64) -> Result<u32, Must> {
    let time = value::seconds(text, 1..=most)?;
    Ok(u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
}
