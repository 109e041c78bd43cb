//! The farms document, `GET /athena/api/v1/farms`.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int};
use std::sync::atomic::Ordering;

use athena_engine::board::record::{MemberRecord, flags};
use athena_engine::dispatch::Lineup;
use athena_engine::{ewma, health};

use athena_engine::board::record::CookieCounts;
use serde::Serialize;

use crate::farm::{Farm, Member};
use crate::ffi::{self, OK};
use crate::{clock, drain, growth, metrics, runtime, stats};

/// All farms.
#[derive(Serialize)]
struct Document {
    farms: Vec<FarmView>,
}

/// One farm.
#[derive(Serialize)]
pub struct FarmView {
    pub name: String,
    pub server: String,
    pub method: String,
    pub on: bool,
    /// Members that can be chosen now.
    pub usable: usize,
    pub elected: u64,
    /// Requests for which nothing was usable.
    pub refused: u64,
    pub cookies: CookiesView,
    pub members: Vec<MemberView>,
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
pub struct MemberView {
    pub name: String,
    pub url: String,
    pub route: String,
    pub weight: f64,
    pub lbset: u32,
    pub on: bool,
    pub up: bool,
    #[serde(rename = "in")]
    pub reporting: bool,
    pub drain: bool,
    pub standby: bool,
    /// All state letters, for the manager's page.
    #[serde(skip)]
    pub flags: u32,
    pub usable: bool,
    /// Why it is in error; `null` while it is not.
    pub error: Option<&'static str>,
    pub inflight: u64,
    pub elected: u64,
    pub served: u64,
    pub failed: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub ttfb_ewma_ms: Option<f64>,
    /// What it pushed about itself.
    pub stats: BTreeMap<String, f64>,
}

/// Answers a request below the engine's path.
///
/// # Safety
/// `r` is live.
pub unsafe fn answer(r: *mut ffi::request_rec, path: &[u8]) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if (*r).method_number != ffi::M_GET as c_int {
            ffi::apr_table_setn(
                (*r).err_headers_out,
                c"Allow".as_ptr(),
                c"GET, HEAD".as_ptr(),
            );
            return ffi::HTTP_METHOD_NOT_ALLOWED;
        }
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path == b"/metrics" {
            return metrics::answer(r);
        }
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
        let text = match parts.as_slice() {
            [b"api", b"v1", b"farms"] => serde_json::to_string(&Document {
                farms: farms().map(FarmView::of).collect(),
            }),
            [b"api", b"v1", b"farms", name] => match named(name) {
                Named::One(farm) => serde_json::to_string(&FarmView::of(farm)),
                Named::None => return ffi::HTTP_NOT_FOUND,
                Named::Several(list) => return conflict(r, &list),
            },
            [b"api", b"v1", b"farms", name, b"members", member] => match named(name) {
                Named::One(farm) => match member_named(farm, member) {
                    Some(member) => serde_json::to_string(&MemberView::of(farm, member)),
                    None => return ffi::HTTP_NOT_FOUND,
                },
                Named::None => return ffi::HTTP_NOT_FOUND,
                Named::Several(list) => return conflict(r, &list),
            },
            _ => return ffi::HTTP_NOT_FOUND,
        };
        match text {
            Ok(text) => send(r, c"application/json", (text + "\n").as_bytes()),
            Err(_) => ffi::HTTP_INTERNAL_SERVER_ERROR,
        }
    }
}

/// Answers with a text of that type.
///
/// # Safety
/// `r` is live, `content_type` static.
pub unsafe fn send(r: *mut ffi::request_rec, content_type: &CStr, text: &[u8]) -> c_int {
    // SAFETY: the caller's promise; httpd copies or sends the bytes before it returns.
    unsafe {
        ffi::ap_set_content_type(r, content_type.as_ptr());
        let headers = (*r).headers_out;
        ffi::apr_table_setn(headers, c"Cache-Control".as_ptr(), c"no-store".as_ptr());
        ffi::apr_table_setn(
            headers,
            c"X-Content-Type-Options".as_ptr(),
            c"nosniff".as_ptr(),
        );
        let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        ffi::ap_rwrite(text.as_ptr().cast(), length, r);
    }
    OK
}

/// 409 with the names that would be plain.
unsafe fn conflict(r: *mut ffi::request_rec, names: &[String]) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        (*r).status = ffi::HTTP_CONFLICT;
        send(
            r,
            c"text/plain",
            format!("several farms have this name: {}\n", names.join(" ")).as_bytes(),
        )
    }
}

fn farms() -> impl Iterator<Item = &'static Farm> {
    runtime::get()
        .into_iter()
        .flat_map(|runtime| runtime.farms.iter())
}

/// What a farm's name in a path says: `NAME`, or `NAME@server`.
pub enum Named {
    One(&'static Farm),
    None,
    Several(Vec<String>),
}

/// Finds the farm of a name.
pub fn named(name: &[u8]) -> Named {
    let name = String::from_utf8_lossy(name);
    let (name, server) = match name.split_once('@') {
        Some((name, server)) => (name, Some(server)),
        None => (name.as_ref(), None),
    };
    let found: Vec<&Farm> = farms()
        .filter(|farm| farm.name.eq_ignore_ascii_case(name))
        .filter(|farm| server.is_none_or(|server| farm.server.eq_ignore_ascii_case(server)))
        .collect();
    match found.as_slice() {
        [] => Named::None,
        [farm] => Named::One(farm),
        several => Named::Several(
            several
                .iter()
                .map(|farm| format!("{}@{}", farm.name, farm.server))
                .collect(),
        ),
    }
}

fn member_named<'a>(farm: &'a Farm, name: &[u8]) -> Option<&'a Member> {
    farm.members
        .iter()
        .find(|member| member.name.as_bytes() == name)
}

impl FarmView {
    /// The farm as it is now.
    pub fn of(farm: &Farm) -> Self {
        // This child may have served no request since a member was added.
        growth::follow(farm);
        stats::follow(farm);
        let members: Vec<_> = farm
            .members
            .iter()
            .map(|member| MemberView::of(farm, member))
            .collect();
        let hot = &farm.seat.record.hot;
        Self {
            name: farm.name.clone(),
            server: farm.server.clone(),
            method: farm.method_name().into_owned(),
            on: farm.seat.record.cold.off.load(Ordering::Relaxed) == 0,
            usable: members.iter().filter(|member| member.usable).count(),
            elected: hot.elected.load(Ordering::Relaxed),
            refused: hot.refused.load(Ordering::Relaxed),
            cookies: CookiesView::of(&hot.cookies),
            members,
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

impl MemberView {
    /// The member as it is now.
    pub fn of(farm: &Farm, member: &Member) -> Self {
        let record: &MemberRecord = member.record();
        let state = record.admin.state() | Member::flags_of(member.status());
        let has = |flag: u32| state & flag != 0;
        let cause = health::cause(&record.health);
        let in_error = record.health.retry_at.load(Ordering::Relaxed) != 0;
        let up = !in_error && !has(flags::CHECK_FAILED | flags::DOWN);
        let ordering = Ordering::Relaxed;
        Self {
            name: member.name.clone(),
            url: member.url().to_string_lossy().into_owned(),
            route: member.route().to_string_lossy().into_owned(),
            weight: f64::from(record.admin.weight.load(ordering).clamp(1, 10_000)) / 100.0,
            lbset: record.admin.lbset.load(ordering).min(99),
            on: !has(flags::DISABLED | flags::STOPPED) && !drain::is_over(farm, member),
            up,
            reporting: !has(flags::OUT),
            drain: has(flags::DRAIN),
            standby: has(flags::STANDBY),
            flags: record.admin.flags() | Member::flags_of(member.status()),
            usable: up && !has(flags::NOT_ELIGIBLE) && farm.serves(member.seat.id),
            error: in_error.then(|| cause.word()),
            inflight: runtime::board().map_or(0, |board| board.inflight(member.seat.id)),
            elected: record.hot.elected.load(ordering),
            served: record.hot.served.load(ordering),
            failed: record.hot.failed.load(ordering),
            bytes_in: record.hot.bytes_in.load(ordering),
            bytes_out: record.hot.bytes_out.load(ordering),
            ttfb_ewma_ms: ewma::estimate(&record.hot, clock::now(), farm.half_life())
                .map(|micros| (micros / 1000.0 * 1000.0).round() / 1000.0),
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
