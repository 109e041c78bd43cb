//! Reads the figures out of a board file at a full start. Children of the last run could write all
//! of it, so it is read (not mapped), checked from end to end, and refused as a whole if anything
//! is out of its range. What survives is plain values by key; the new board is a new file.
//!
//! Times are of a clock that may have started anew since (`CLOCK_MONOTONIC`), so none is taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read, Seek};
use std::mem::offset_of;

use super::added::LoadedAdded;
use super::changed::{ChangedNumber, ChangedText, Kept, STORED_MAX};
use super::events::{Event, EventRecord, THROUGH_MAX, WHAT_MAX};
use super::layout::{Extent, Kind};
use super::reading::{Bytes, Refusal, ensure, extents};
use super::record::{
    FarmRecord, LINE_MAX, METHOD_SET_MAX, MemberRecord, NAME_MAX, ROUTE_SET_MAX, STAT_NAME_MAX,
    STATS_MAX, Stat, TARGET_MAX, URL_MAX,
};
use super::settings::Settings;
use crate::stats::Name;

/// What a full start takes from the last run.
#[derive(Debug, Default)]
pub struct Loaded {
    /// By `(server, farm)`.
    pub farms: HashMap<(String, String), LoadedFarm>,
    /// By `(server, farm, url)`.
    pub members: HashMap<(String, String, String), LoadedMember>,
    /// The last changes, in any order.
    pub events: Vec<Event>,
}

/// A farm's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedFarm {
    /// It was configured last.
    pub used: bool,
    /// Requests given a member.
    pub elected: u64,
    /// Requests given none.
    pub refused: u64,
    /// 1: taken from service by people.
    pub off: u32,
    /// `lbmethod`, as people set it.
    pub method: Kept<Option<String>>,
    /// `forward`, as people set it.
    pub forward: Kept<Option<String>>,
    /// `fallback`, as people set it.
    pub fallback: Kept<Option<String>>,
}

/// A member's figures.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedMember {
    /// Times chosen.
    pub elected: u64,
    /// Attempts answered.
    pub served: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Bytes sent to it.
    pub bytes_in: u64,
    /// Bytes received from it.
    pub bytes_out: u64,
    /// Bits of a finite `f64` of at least 0.
    pub ewma: u64,
    /// Ejections in a row.
    pub ejections: u32,
    /// Pushed statistics: names, each once, and finite values.
    pub stats: Vec<(Name, f64)>,
    /// What it was added with at run time; `None`: it was configured, or it is gone.
    pub added: Option<LoadedAdded>,
    /// What was in force.
    pub in_force: Settings,
    /// What the configuration said.
    pub configured: Settings,
    /// Since when it drains, in microseconds since 1970; 0: it does not.
    pub draining_since: u64,
    /// `slowstart`, as people set it.
    pub slow_start: Kept<u64>,
    /// The route, as people set it.
    pub route: Kept<Option<String>>,
    /// `forward`, as people set it.
    pub forward: Kept<Option<String>>,
    /// `redirect`, as people set it.
    pub redirect: Kept<Option<String>>,
    /// `draintimeout`, as people set it.
    pub drain_timeout: Kept<u64>,
}

/// Reads and checks a whole board.
///
/// # Errors
///
/// Anything but a complete board of this version whose every field is in range.
pub fn load(mut file: impl Read + Seek) -> Result<Loaded, Refusal> {
    let mut records = Records::default();
    for extent in extents(&mut file)? {
        records.read(&mut file, &extent)?;
    }
    records.join()
}

/// Records as they come, by index; None where free.
#[derive(Default)]
struct Records {
    farms: Vec<Option<(String, String, LoadedFarm)>>,
    members: Vec<Option<RawMember>>,
    plans: Vec<u32>,
    events: Vec<Event>,
}

struct RawMember {
    /// Configured or joined in the last generation, not retired by it.
    used: bool,
    server: String,
    farm: String,
    farm_index: u32,
    url: String,
    figures: LoadedMember,
}

impl Records {
    fn read(&mut self, file: &mut (impl Read + Seek), extent: &Extent) -> Result<(), Refusal> {
        let (there, size) = match extent.kind {
            Kind::Farms => (self.farms.len(), size_of::<FarmRecord>()),
            Kind::Members => (self.members.len(), size_of::<MemberRecord>()),
            Kind::Waiters => return Ok(()),
            Kind::Events => (0, size_of::<EventRecord>()),
            Kind::Plan | Kind::Table => {
                self.plans.push(extent.first);
                return Ok(());
            }
        };
        let end = there + extent.count as usize;
        ensure(
            extent.first as usize == there,
            "records are not numbered one after another",
        )?;
        ensure(end <= extent.kind.most() as usize, "too many records")?;
        for index in 0..u64::from(extent.count) {
            let bytes = Bytes::read(file, extent.records() + index * size as u64, size)?;
            match extent.kind {
                Kind::Farms => self.farms.push(farm(&bytes)?),
                Kind::Events => self.events.extend(event(&bytes)),
                _ => self.members.push(member(&bytes)?),
            }
        }
        Ok(())
    }

    /// Checks what points from one record to another, and keys them.
    fn join(self) -> Result<Loaded, Refusal> {
        for farm in &self.plans {
            ensure((*farm as usize) < self.farms.len(), "a plan of no farm")?;
        }
        let mut loaded = Loaded {
            events: self.events,
            ..Loaded::default()
        };
        let (used, retired): (Vec<_>, Vec<_>) =
            self.members.into_iter().flatten().partition(|raw| raw.used);
        for raw in used.into_iter().chain(retired) {
            let farm = self
                .farms
                .get(raw.farm_index as usize)
                .and_then(Option::as_ref);
            let same =
                farm.is_some_and(|(server, name, _)| (server, name) == (&raw.server, &raw.farm));
            ensure(same, "a member of no farm")?;
            match loaded.members.entry((raw.server, raw.farm, raw.url)) {
                Entry::Vacant(place) => drop(place.insert(raw.figures)),
                // A member that went with a restart and joined again at run time.
                Entry::Occupied(_) => ensure(!raw.used, "one member twice")?,
            }
        }
        for (server, name, figures) in self.farms.into_iter().flatten() {
            let twice = loaded.farms.insert((server, name), figures);
            ensure(twice.is_none(), "one farm twice")?;
        }
        Ok(loaded)
    }
}

fn farm(bytes: &Bytes) -> Result<Option<(String, String, LoadedFarm)>, Refusal> {
    let lifecycle = bytes.u32(offset_of!(FarmRecord, cold.lifecycle));
    if lifecycle == 0 {
        return Ok(None);
    }
    let server = bytes.key(offset_of!(FarmRecord, identity.server), NAME_MAX)?;
    let name = bytes.key(offset_of!(FarmRecord, identity.name), NAME_MAX)?;
    let figures = LoadedFarm {
        used: lifecycle == 1,
        elected: bytes.u64(offset_of!(FarmRecord, hot.elected)),
        refused: bytes.u64(offset_of!(FarmRecord, hot.refused)),
        off: bytes.u32(offset_of!(FarmRecord, cold.off)),
        method: bytes.changed_text::<METHOD_SET_MAX>(offset_of!(FarmRecord, changed.method))?,
        forward: bytes.changed_text::<TARGET_MAX>(offset_of!(FarmRecord, changed.forward))?,
        fallback: bytes.changed_text::<TARGET_MAX>(offset_of!(FarmRecord, changed.fallback))?,
    };
    ensure(figures.off <= 1, "a farm's switch is out of range")?;
    Ok(Some((server, name, figures)))
}

fn member(bytes: &Bytes) -> Result<Option<RawMember>, Refusal> {
    let lifecycle = bytes.u32(offset_of!(MemberRecord, admin.lifecycle));
    if lifecycle == 0 {
        return Ok(None);
    }
    let mut figures = LoadedMember {
        added: None,
        elected: bytes.u64(offset_of!(MemberRecord, hot.elected)),
        served: bytes.u64(offset_of!(MemberRecord, hot.served)),
        failed: bytes.u64(offset_of!(MemberRecord, hot.failed)),
        bytes_in: bytes.u64(offset_of!(MemberRecord, hot.bytes_in)),
        bytes_out: bytes.u64(offset_of!(MemberRecord, hot.bytes_out)),
        ewma: bytes.u64(offset_of!(MemberRecord, hot.ewma)),
        ejections: bytes.u32(offset_of!(MemberRecord, health.ejections)),
        stats: stats(bytes)?,
        slow_start: bytes.changed_number(offset_of!(MemberRecord, changed.slow_start))?,
        route: bytes.changed_text::<ROUTE_SET_MAX>(offset_of!(MemberRecord, changed.route))?,
        forward: bytes.changed_text::<TARGET_MAX>(offset_of!(MemberRecord, changed.forward))?,
        redirect: bytes
            .changed_text::<ROUTE_SET_MAX>(offset_of!(MemberRecord, changed.redirect))?,
        drain_timeout: bytes.changed_number(offset_of!(MemberRecord, changed.drain_timeout))?,
        in_force: Settings {
            weight: bytes.u32(offset_of!(MemberRecord, admin.weight)),
            flags: bytes.u32(offset_of!(MemberRecord, admin.flags)),
            lbset: bytes.u32(offset_of!(MemberRecord, admin.lbset)),
            max_conn: bytes.u32(offset_of!(MemberRecord, admin.max_conn)),
        },
        configured: Settings {
            weight: bytes.u32(offset_of!(MemberRecord, admin.configured_weight)),
            flags: bytes.u32(offset_of!(MemberRecord, admin.configured_flags)),
            lbset: bytes.u32(offset_of!(MemberRecord, admin.configured_lbset)),
            max_conn: bytes.u32(offset_of!(MemberRecord, admin.configured_max_conn)),
        },
        draining_since: bytes.u64(offset_of!(MemberRecord, admin.draining_since)),
    };
    let name = bytes.text(offset_of!(MemberRecord, identity.name), NAME_MAX)?;
    let route = bytes.text(offset_of!(MemberRecord, identity.route), NAME_MAX)?;
    let line = bytes.text(offset_of!(MemberRecord, identity.line), LINE_MAX)?;
    let tenure = bytes.u32(offset_of!(MemberRecord, admin.tenure));
    if lifecycle == 1 && !tenure.is_multiple_of(2) {
        figures.added = Some(LoadedAdded {
            name,
            route,
            line,
            position: bytes.u32(offset_of!(MemberRecord, admin.position)),
            leaving: bytes.u32(offset_of!(MemberRecord, admin.leaving)),
        });
    }
    let in_range = |settings: Settings| settings == settings.in_range();
    ensure(
        in_range(figures.in_force) && in_range(figures.configured),
        "a setting is out of range",
    )?;
    let ewma = f64::from_bits(figures.ewma);
    ensure(
        ewma.is_finite() && ewma.is_sign_positive(),
        "a response time is out of range",
    )?;
    Ok(Some(RawMember {
        used: lifecycle == 1,
        server: bytes.key(offset_of!(MemberRecord, identity.server), NAME_MAX)?,
        farm: bytes.key(offset_of!(MemberRecord, identity.farm), NAME_MAX)?,
        farm_index: bytes.u32(offset_of!(MemberRecord, admin.farm)),
        url: bytes.key(offset_of!(MemberRecord, identity.url), URL_MAX)?,
        figures,
    }))
}

/// `None` for an empty place, or one that was left half written: its texts decide nothing.
fn event(bytes: &Bytes) -> Option<Event> {
    let text = |offset, length| bytes.text(offset, length).ok();
    let event = Event {
        number: bytes.u64(offset_of!(EventRecord, number)),
        at: bytes.u64(offset_of!(EventRecord, at)),
        farm: text(offset_of!(EventRecord, farm), NAME_MAX)?,
        member: text(offset_of!(EventRecord, member), NAME_MAX)?,
        what: text(offset_of!(EventRecord, what), WHAT_MAX)?,
        who: text(offset_of!(EventRecord, who), NAME_MAX)?,
        through: text(offset_of!(EventRecord, through), THROUGH_MAX)?,
    };
    (event.number != 0).then_some(event)
}

fn stats(bytes: &Bytes) -> Result<Vec<(Name, f64)>, Refusal> {
    let known = bytes.u32(offset_of!(MemberRecord, stats.known)) as usize;
    ensure(known <= STATS_MAX, "too many statistics")?;
    let mut stats: Vec<(Name, f64)> = Vec::with_capacity(known);
    for place in 0..known {
        let stat = offset_of!(MemberRecord, stats.table) + place * size_of::<Stat>();
        let name = bytes.text(stat + offset_of!(Stat, name), STAT_NAME_MAX)?;
        let name = Name::new(&name).map_err(|_| Refusal::Damaged("a statistic without a name"))?;
        let value = f64::from_bits(bytes.u64(stat + offset_of!(Stat, value)));
        ensure(value.is_finite(), "a statistic is out of range")?;
        ensure(
            stats.iter().all(|(other, _)| *other != name),
            "one statistic twice",
        )?;
        stats.push((name, value));
    }
    Ok(stats)
}

impl Bytes {
    fn changed_number(&self, offset: usize) -> Result<Kept<u64>, Refusal> {
        let value = self.u64(offset + offset_of!(ChangedNumber, value));
        ensure(
            value <= STORED_MAX,
            "a number that people set is out of range",
        )?;
        Ok(Kept {
            value,
            configured: self.u64(offset + offset_of!(ChangedNumber, configured)),
        })
    }

    fn changed_text<const N: usize>(&self, offset: usize) -> Result<Kept<Option<String>>, Refusal> {
        // Its writer died at it.
        let version = self.u32(offset + offset_of!(ChangedText<N>, version));
        if !version.is_multiple_of(2) {
            return Ok(Kept::default());
        }
        let length = self.u32(offset + offset_of!(ChangedText<N>, length)) as usize;
        let text = self.text(offset + offset_of!(ChangedText<N>, bytes), N)?;
        let value = length.checked_sub(1).map(|length| (length, text));
        ensure(
            value
                .as_ref()
                .is_none_or(|(length, text)| *length == text.len()),
            "a text that people set is not as long as it says",
        )?;
        Ok(Kept {
            value: value.map(|(_, text)| text),
            configured: self.u64(offset + offset_of!(ChangedText<N>, configured)),
        })
    }

    fn key(&self, offset: usize, length: usize) -> Result<String, Refusal> {
        let text = self.text(offset, length)?;
        ensure(!text.is_empty(), "a record without its name")?;
        Ok(text)
    }
}
