//! Farms and members as documents.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use athena_engine::agent::Said;
use athena_engine::board::record::{MemberRecord, flags};
use athena_engine::config::addition;
use athena_engine::{ewma, health};

use athena_engine::board::record::CookieCounts;
use serde::Serialize;

use crate::added::{self, Unused};
use crate::farm::{Farm, Member};
use crate::{clock, drain, growth, method, queue, runtime, stats};

/// All farms.
#[derive(Serialize)]
pub struct Document<'a> {
    pub farms: &'a [FarmView<'a>],
}

/// One farm.
#[derive(Serialize)]
pub struct FarmView<'a> {
    pub name: String,
    pub server: String,
    pub method: String,
    pub on: bool,
    pub forward: Option<String>,
    pub fallback: Option<String>,
    /// Members that can be chosen now.
    pub usable: usize,
    pub elected: u64,
    /// Requests for which nothing was usable.
    pub refused: u64,
    /// Requests that wait for a place.
    pub queued: usize,
    pub cookies: CookiesView,
    pub members: Vec<MemberView<'a>>,
    /// Members that were added and are not used.
    pub unused: Vec<Unused>,
}

/// Signed cookies of a farm's requests, by what they came to.
#[derive(Serialize)]
pub struct CookiesView {
    pub accepted: u64,
    pub expired: u64,
    pub forged: u64,
    pub malformed: u64,
    pub foreign: u64,
}

/// One member.
#[derive(Serialize)]
pub struct MemberView<'a> {
    /// Whose this is.
    #[serde(skip)]
    pub of: &'a Member,
    pub name: String,
    pub url: String,
    pub route: String,
    /// The route that takes over its sessions while it cannot serve them.
    pub redirect: Option<String>,
    pub weight: f64,
    pub lbset: u32,
    pub on: bool,
    pub up: bool,
    #[serde(rename = "in")]
    pub reporting: bool,
    pub drain: bool,
    pub standby: bool,
    pub spare: bool,
    pub stopped: bool,
    pub ignore_errors: bool,
    pub maxconn: Option<u32>,
    pub slowstart: Option<u32>,
    pub draintimeout: Option<u32>,
    pub forward: Option<String>,
    /// It was added at run time, and can be removed.
    pub added: bool,
    /// What it was added with.
    pub parameters: Option<BTreeMap<String, String>>,
    /// All state letters, for the manager's page.
    #[serde(skip)]
    pub flags: u32,
    pub usable: bool,
    /// Why it is in error, or that a health check failed; `null` otherwise.
    pub error: Option<&'static str>,
    pub inflight: u64,
    pub elected: u64,
    pub served: u64,
    pub failed: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub ttfb_ewma_ms: Option<f64>,
    /// What its agent says; `null`: nothing.
    pub agent: Option<String>,
    /// How many updates with statistics came for it.
    pub pushes: u64,
    /// What it pushed about itself.
    pub stats: BTreeMap<String, f64>,
}

impl<'a> FarmView<'a> {
    /// The farm as it is now.
    pub fn of(farm: &'a Farm) -> Self {
        // This child may have served no request since a member was added.
        growth::look(farm);
        stats::follow(farm);
        method::follow(farm);
        let members: Vec<_> = farm
            .members
            .iter()
            .map(|member| MemberView::of(farm, member))
            .collect();
        let hot = &farm.seat.record.hot;
        let state = farm.state();
        Self {
            name: farm.name.clone(),
            server: farm.server.clone(),
            method: farm.method_name(),
            on: state.on,
            forward: written(state.extras.forward),
            fallback: written(state.extras.fallback),
            usable: members.iter().filter(|member| member.usable).count(),
            elected: hot.elected.load(Ordering::Relaxed),
            refused: hot.refused.load(Ordering::Relaxed),
            queued: queue::length(farm),
            cookies: CookiesView::of(&hot.cookies),
            members,
            unused: added::unused(farm),
        }
    }

    /// Without its members' times, which fade from one moment to the next.
    pub fn stop_times(&mut self) {
        for member in &mut self.members {
            member.ttfb_ewma_ms = None;
        }
    }
}

impl CookiesView {
    fn of(counts: &CookieCounts) -> Self {
        Self {
            accepted: counts.accepted.load(Ordering::Relaxed),
            expired: counts.expired.load(Ordering::Relaxed),
            forged: counts.forged.load(Ordering::Relaxed),
            malformed: counts.malformed.load(Ordering::Relaxed),
            foreign: counts.foreign.load(Ordering::Relaxed),
        }
    }

    /// Each count under its name.
    pub fn by_result(&self) -> [(&'static str, u64); 5] {
        [
            ("accepted", self.accepted),
            ("expired", self.expired),
            ("forged", self.forged),
            ("malformed", self.malformed),
            ("foreign", self.foreign),
        ]
    }
}

impl<'a> MemberView<'a> {
    /// The member as it is now.
    pub fn of(farm: &Farm, member: &'a Member) -> Self {
        let record: &MemberRecord = member.record();
        let state = record.admin.state() | Member::flags_of(member.status());
        let has = |flag: u32| state & flag != 0;
        let cause = health::cause(&record.health);
        let in_error = record.health.retry_at.load(Ordering::Relaxed) != 0;
        let up = !in_error && !has(flags::CHECK_FAILED | flags::DOWN);
        let checked = || (record.admin.flags() & flags::CHECK_FAILED != 0).then_some("check");
        let ordering = Ordering::Relaxed;
        let extras = member.state().extras;
        let first_byte = ewma::estimate(&record.hot, clock::now(), farm.half_life());
        Self {
            of: member,
            name: member.name.clone(),
            url: member.url().to_string_lossy().into_owned(),
            route: member.route().to_string_lossy().into_owned(),
            redirect: written(member.redirect().to_string_lossy().into_owned()),
            weight: f64::from(record.admin.weight()) / 100.0,
            lbset: record.admin.lbset(),
            on: !has(flags::DISABLED | flags::STOPPED) && !drain::is_over(farm, member),
            up,
            reporting: !has(flags::OUT),
            added: member.tenure != 0,
            parameters: added::line(member).map(|line| addition::told(&line).collect()),
            drain: has(flags::DRAIN),
            standby: has(flags::STANDBY),
            spare: has(flags::SPARE),
            stopped: has(flags::STOPPED),
            ignore_errors: has(flags::IGNORE_ERRORS),
            maxconn: Some(record.admin.max_conn()).filter(|most| *most > 0),
            slowstart: extras.slow_start,
            draintimeout: extras.drain_timeout,
            forward: written(extras.forward),
            flags: record.admin.flags() | Member::flags_of(member.status()),
            usable: (!in_error || has(flags::IGNORE_ERRORS))
                && !has(flags::NOT_ELIGIBLE)
                && member.serves(farm.observed),
            error: in_error.then(|| cause.word()).or_else(checked),
            inflight: runtime::board().map_or(0, |board| board.inflight(member.seat.id)),
            elected: record.hot.elected.load(ordering),
            served: record.hot.served.load(ordering),
            failed: record.hot.failed.load(ordering),
            bytes_in: record.hot.bytes_in.load(ordering),
            bytes_out: record.hot.bytes_out.load(ordering),
            ttfb_ewma_ms: ewma::told(&record.hot, first_byte).map(|micros| micros.round() / 1000.0),
            agent: Said::any(&record.admin).map(|said| said.to_string()),
            pushes: record.stats.pushes.load(ordering),
            stats: athena_engine::stats::read(&record.stats)
                .map(|stat| (stat.name.to_string(), stat.value))
                .collect(),
        }
    }
    /// One word for a table.
    pub fn state(&self) -> &'static str {
        match self {
            Self { on: false, .. } => "off",
            Self { up: false, .. } => "down",
            Self {
                reporting: false, ..
            } => "out",
            Self { drain: true, .. } => "drain",
            Self { standby: true, .. } => "standby",
            _ => "ok",
        }
    }
}

/// A text that may be none.
fn written(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
