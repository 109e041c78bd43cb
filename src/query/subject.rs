//! What the letters say of a member, a farm and the engine.

use std::fmt::Write;

use athena_engine::board::values::letters;
use athena_engine::query::{Field, Subject};

use crate::api::{FarmView, MemberView};
use crate::farm::{Farm, Member};
use crate::runtime;

/// A member of a farm.
pub struct OfMember<'a> {
    farm: &'a Farm,
    member: &'a Member,
    view: MemberView<'a>,
}

impl<'a> OfMember<'a> {
    /// The member as it is now.
    pub fn new(farm: &'a Farm, member: &'a Member) -> Self {
        let view = MemberView::of(farm, member);
        Self { farm, member, view }
    }
}

impl Subject for OfMember<'_> {
    fn field(&self, field: Field, to: &mut String) {
        let (farm, view) = (self.farm, &self.view);
        match field {
            Field::Name => to.push_str(&view.name),
            Field::FullName => say(
                to,
                format_args!("{}@{}/{}", farm.name, farm.server, view.name),
            ),
            Field::Address => to.push_str(&self.member.address),
            Field::Url => to.push_str(&view.url),
            Field::Route => to.push_str(&view.route),
            Field::State => to.push_str(match view {
                MemberView { on: false, .. } => "off",
                MemberView { drain: true, .. } => "drain",
                _ => "on",
            }),
            Field::Health => to.push_str(if view.up { "up" } else { "down" }),
            Field::Reporting => to.push_str(if view.reporting { "in" } else { "out" }),
            Field::Flags => to.extend(letters(view.flags)),
            Field::Weight => say(to, format_args!("{}", view.weight)),
            Field::MaxConn => number(self.member.state().settings.max_conn, to),
            Field::SlowStart => number(self.member.state().extras.slow_start.unwrap_or(0), to),
            Field::DrainTimeout => number(view.draintimeout.unwrap_or(0), to),
            Field::Redirect => to.push_str(view.redirect.as_deref().unwrap_or_default()),
            Field::Forward => to.push_str(&self.member.state().extras.forward),
            Field::Lbset => say(to, format_args!("{}", view.lbset)),
            Field::Usable => to.push_str(if view.usable { "1" } else { "0" }),
            Field::Ewma => {
                if let Some(time) = view.ttfb_ewma_ms {
                    say(to, format_args!("{time}"));
                }
            }
            _ => match Counts::of(std::slice::from_ref(view)).get(field) {
                Some(count) => say(to, format_args!("{count}")),
                None => name(farm, field, to),
            },
        }
    }

    fn statistic(&self, name: &str) -> Option<f64> {
        self.view.stats.get(name).copied()
    }
}

/// A farm.
pub struct OfFarm<'a> {
    farm: &'a Farm,
    view: FarmView<'a>,
    counts: Counts,
}

impl<'a> OfFarm<'a> {
    /// The farm as it is now.
    pub fn new(farm: &'a Farm) -> Self {
        let view = FarmView::of(farm);
        let counts = Counts {
            // A request that went to a second member was given to this farm once.
            elected: view.elected,
            ..Counts::of(&view.members)
        };
        Self { farm, view, counts }
    }
}

impl Subject for OfFarm<'_> {
    fn field(&self, field: Field, to: &mut String) {
        match field {
            Field::State => to.push_str(if self.view.on { "on" } else { "off" }),
            Field::Forward => to.push_str(&self.farm.state().extras.forward),
            Field::Fallback => to.push_str(&self.farm.state().extras.fallback),
            _ => match self.counts.get(field) {
                Some(count) => say(to, format_args!("{count}")),
                None => name(self.farm, field, to),
            },
        }
    }

    fn statistic(&self, _name: &str) -> Option<f64> {
        None
    }
}

/// All of it.
pub struct OfEngine {
    farms: usize,
    counts: Counts,
}

impl OfEngine {
    /// Everything as it is now.
    pub fn new() -> Self {
        let farms = runtime::farms();
        let counts = farms.iter().map(|farm| OfFarm::new(farm).counts);
        Self {
            farms: farms.len(),
            counts: counts.fold(Counts::default(), Counts::plus),
        }
    }
}

impl Subject for OfEngine {
    fn field(&self, field: Field, to: &mut String) {
        match field {
            Field::Version => to.push_str(env!("CARGO_PKG_VERSION")),
            Field::Farms => say(to, format_args!("{}", self.farms)),
            _ => {
                if let Some(count) = self.counts.get(field) {
                    say(to, format_args!("{count}"));
                }
            }
        }
    }

    fn statistic(&self, _name: &str) -> Option<f64> {
        None
    }
}

/// What is summed up over members.
#[derive(Default)]
struct Counts {
    members: u64,
    usable: u64,
    in_flight: u64,
    elected: u64,
    served: u64,
    failed: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Counts {
    fn of(members: &[MemberView]) -> Self {
        let each = members.iter().map(|member| Self {
            members: 1,
            usable: u64::from(member.usable),
            in_flight: member.inflight,
            elected: member.elected,
            served: member.served,
            failed: member.failed,
            bytes_in: member.bytes_in,
            bytes_out: member.bytes_out,
        });
        each.fold(Self::default(), Self::plus)
    }

    /// The board's counts can be anything: an overflow wraps.
    fn plus(self, other: Self) -> Self {
        Self {
            members: self.members + other.members,
            usable: self.usable + other.usable,
            in_flight: self.in_flight.wrapping_add(other.in_flight),
            elected: self.elected.wrapping_add(other.elected),
            served: self.served.wrapping_add(other.served),
            failed: self.failed.wrapping_add(other.failed),
            bytes_in: self.bytes_in.wrapping_add(other.bytes_in),
            bytes_out: self.bytes_out.wrapping_add(other.bytes_out),
        }
    }

    fn get(&self, field: Field) -> Option<u64> {
        Some(match field {
            Field::Members => self.members,
            Field::Usable => self.usable,
            Field::InFlight => self.in_flight,
            Field::Elected => self.elected,
            Field::Served => self.served,
            Field::Failed => self.failed,
            Field::BytesIn => self.bytes_in,
            Field::BytesOut => self.bytes_out,
            _ => return None,
        })
    }
}

/// What a farm and its members have in common.
fn name(farm: &Farm, field: Field, to: &mut String) {
    match field {
        Field::Farm => to.push_str(&farm.name),
        Field::Server => to.push_str(&farm.server),
        Field::Method => to.push_str(&farm.method_name()),
        _ => {}
    }
}

/// A setting of which 0 means that there is none.
fn number(setting: u32, to: &mut String) {
    if setting > 0 {
        say(to, format_args!("{setting}"));
    }
}

fn say(to: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = to.write_fmt(what);
}
