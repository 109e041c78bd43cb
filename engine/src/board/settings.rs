//! A member's weight, state, set and limit, which the configuration and people set; and how both
//! meet: what people set holds until the configured value changes ([`super::MemberExtras`] has the
//! rest).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Setting;
use super::extras::Lost;
use super::record::{MemberAdmin, MemberRecord, flags};
use super::spec::MemberSpec;
use super::values::{FLAGS_ALL, LBSET_MAX, MAX_CONN_MAX, WEIGHT_MAX, WEIGHT_MIN};
use crate::sync::{AtomicU32, Ordering};

/// What people may change at run time. The default is `mod_proxy`'s, for a member without a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Hundredths, from [`WEIGHT_MIN`] to [`WEIGHT_MAX`].
    pub weight: u32,
    /// [`super::record::flags`].
    pub flags: u32,
    /// The set, up to [`LBSET_MAX`].
    pub lbset: u32,
    /// Most requests under way, up to [`MAX_CONN_MAX`]; 0: any number. Not `mod_proxy`'s, which knows
    /// no such limit.
    pub max_conn: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weight: 100,
            flags: 0,
            lbset: 0,
            max_conn: 0,
        }
    }
}

/// As the configuration writes it: `loadfactor=2.00 lbset=0 maxconn=off status=D`.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [weight, lbset, max_conn, flags] = [
            Setting::Weight.show(self.weight),
            Setting::Lbset.show(self.lbset),
            Setting::MaxConn.show(self.max_conn),
            Setting::Flags.show(self.flags),
        ];
        write!(f, "{weight} {lbset} {max_conn} {flags}")
    }
}

impl Settings {
    /// What is in force on the board, in range.
    pub fn in_force(admin: &MemberAdmin) -> Self {
        Self {
            weight: admin.weight(),
            flags: admin.flags(),
            lbset: admin.lbset(),
            max_conn: admin.max_conn(),
        }
    }

    /// The same within their limits.
    pub(super) fn in_range(self) -> Self {
        Self {
            weight: self.weight.clamp(WEIGHT_MIN, WEIGHT_MAX),
            flags: self.flags & FLAGS_ALL,
            lbset: self.lbset.min(LBSET_MAX),
            max_conn: self.max_conn.min(MAX_CONN_MAX),
        }
    }

    /// Puts them in force on the board.
    pub fn store(self, admin: &MemberAdmin) {
        admin.weight.store(self.weight, Ordering::Relaxed);
        admin.flags.store(self.flags, Ordering::Relaxed);
        admin.lbset.store(self.lbset, Ordering::Relaxed);
        admin.max_conn.store(self.max_conn, Ordering::Relaxed);
    }

    /// Notes on the board that the configuration says so.
    pub(super) fn store_configured(self, admin: &MemberAdmin) {
        admin
            .configured_weight
            .store(self.weight, Ordering::Relaxed);
        admin.configured_flags.store(self.flags, Ordering::Relaxed);
        admin.configured_lbset.store(self.lbset, Ordering::Relaxed);
        admin
            .configured_max_conn
            .store(self.max_conn, Ordering::Relaxed);
    }
}

/// Sets the member's values; gives those that people had changed and that changed in the
/// configuration too.
pub(super) fn configure(
    record: &MemberRecord,
    remembered: Option<Settings>,
    spec: &MemberSpec,
) -> Vec<Lost> {
    let wanted = spec.settings.in_range();
    let admin = &record.admin;
    let in_force = Settings::in_force(admin);
    wanted.store_configured(admin);
    let settle = |setting: Setting, place, health, of: fn(Settings) -> u32| {
        let value = Value {
            place,
            in_force: of(in_force),
            health,
        };
        let lost = value.settle(remembered.map(of), of(wanted))?;
        Some((setting.show(lost), setting.show(of(wanted))))
    };
    let checks = flags::CHECK_FAILED;
    let lost = [
        settle(Setting::Weight, &admin.weight, 0, |of| of.weight),
        settle(Setting::Flags, &admin.flags, checks, |of| of.flags),
        settle(Setting::Lbset, &admin.lbset, 0, |of| of.lbset),
        settle(Setting::MaxConn, &admin.max_conn, 0, |of| of.max_conn),
    ]
    .into_iter()
    .flatten()
    .chain(spec.extras.settle(&record.changed))
    .collect();
    if let (None, Some(stored)) = (remembered, spec.stored) {
        let stored = stored.in_range();
        admin.weight.store(stored.weight, Ordering::Relaxed);
        admin.flags.store(stored.flags, Ordering::Relaxed);
        admin.lbset.store(stored.lbset, Ordering::Relaxed);
    }
    lost
}

/// A value that both the configuration and people set.
struct Value<'a> {
    place: &'a AtomicU32,
    in_force: u32,
    /// Bits that belong to neither.
    health: u32,
}

impl Value<'_> {
    /// Takes the configured value unless it is the one that was `remembered`; returns the value
    /// set by people that is lost thereby.
    fn settle(self, remembered: Option<u32>, wanted: u32) -> Option<u32> {
        if remembered == Some(wanted) {
            if self.place.load(Ordering::Relaxed) != self.in_force {
                self.place.store(self.in_force, Ordering::Relaxed);
            }
            return None;
        }
        self.place
            .store(wanted | (self.in_force & self.health), Ordering::Relaxed);
        let by_people = self.in_force & !self.health;
        let changed = remembered.is_some_and(|before| before & !self.health != by_people);
        (changed && by_people != wanted & !self.health).then_some(by_people)
    }
}
