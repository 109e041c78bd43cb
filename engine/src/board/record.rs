//! What one farm and one member look like on the board. This layout is a file format: a change of
//! size or order is a new [`super::layout::VERSION`].
//!
//! Every field is an integer atomic or a byte, so that any bit pattern another process may have
//! written is a valid value. Who writes what:
//!
//! | part | written by | how often |
//! |---|---|---|
//! | `hot`, `answers` | every child | each request |
//! | `health` | the child that saw a failure or a recovery | rarely |
//! | `admin` | the parent at a start, people at run time, under the farm's lock | very rarely |
//! | `stats` | whoever pushes; a new name under the farm's lock | each update |
//! | `identity` | the parent at a start; whoever takes a spare or a seat, under the farm's lock | once a member |
//!
//! Hot counters of different members lie on different cache lines (128 bytes: two lines of the
//! adjacent-line prefetcher of `x86_64`).

use super::changed::{ChangedNumber, ChangedText};
use super::inflight::InFlight;
use super::text::blank;
use crate::histogram::Histogram;
use crate::sync::{AtomicI64, AtomicU8, AtomicU32, AtomicU64};

/// Longest server, farm and route name kept on the board, in bytes.
pub const NAME_MAX: usize = 96;
/// Longest member URL kept on the board, in bytes (httpd: `PROXY_WORKER_EXT_NAME_SIZE` 384).
pub const URL_MAX: usize = 384;
/// Longest line of parameters of a member that is added at run time, in bytes.
pub const LINE_MAX: usize = 512;
/// Most statistics a member has.
pub const STATS_MAX: usize = 16;
/// Longest name of a statistic, in bytes.
pub const STAT_NAME_MAX: usize = 32;
/// Longest `forward` and `fallback` that people can set, in bytes.
pub const TARGET_MAX: usize = 208;
/// Room for a route that people set, in bytes.
pub const ROUTE_SET_MAX: usize = 80;
/// Room for a method that people set, in bytes.
pub const METHOD_SET_MAX: usize = 48;

/// Counters that every request moves. Those that members are compared by fill the first cache line.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct MemberHot {
    /// Requests under way, all children together: the figure choices are made by, and places are
    /// given out by. The truth it is repaired from is the sum of the child slots' own cells
    /// ([`super::slots`]).
    pub inflight: InFlight,
    /// Times a method (or stickiness, or a probe) gave this member to a request's attempt.
    pub elected: AtomicU64,
    /// Attempts that ended with an answer, whatever its status.
    pub served: AtomicU64,
    /// Requests that wait for their answer, and since when ([`crate::waiting`]).
    pub waiting: AtomicU64,
    /// Response body bytes received from it.
    pub bytes_out: AtomicU64,
    /// Moving average of the time to first byte ([`crate::ewma`]): the bits of an `f64`, in
    /// microseconds; 0 is unknown.
    pub ewma: AtomicU64,
    /// When `ewma` was last moved ([`crate::Micros`]).
    pub ewma_at: AtomicU64,
    /// When the slow answers so far are forgiven ([`crate::peak`], [`crate::Micros`]).
    pub slow_until: AtomicU64,
    /// Attempts that ended without an answer.
    pub failed: AtomicU64,
    /// Stock httpd's running balance of a weighted rotation (`bybusyness` breaks ties by it).
    pub lbstatus: AtomicI64,
    /// Recent traffic ([`crate::traffic`]): the bits of an `f64`, in bytes.
    pub traffic: AtomicU64,
    /// When `traffic` was last moved ([`crate::Micros`]).
    pub traffic_at: AtomicU64,
    /// Request body bytes sent to the member.
    pub bytes_in: AtomicU64,
    /// Room for later versions.
    pub spare: [AtomicU64; 3],
}

/// Whether the member can be used, and since when.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct MemberHealth {
    /// 0: healthy. Otherwise in error, and the time from which one probing request may be sent.
    /// Whoever moves it forward by compare-and-swap is the prober ([`crate::health`]).
    pub retry_at: AtomicU64,
    /// Why: a [`crate::health::Cause`] as number.
    pub cause: AtomicU32,
    /// Failures in a row, as `ejectafter` counts them.
    pub streak: AtomicU32,
    /// Ejections in a row: the exponent of the ejection time.
    pub ejections: AtomicU32,
    /// 1: it was in service when the last plan was made ([`crate::slow_start`]).
    pub in_service: AtomicU32,
    /// When the member last came back from an error; 0 never.
    pub recovered_at: AtomicU64,
    /// When it last went into error; 0 never.
    pub failed_at: AtomicU64,
    /// When its last slow start began; 0 never.
    pub warm_from: AtomicU64,
    /// How long that takes, in microseconds.
    pub warm_for: AtomicU64,
    /// Good answers it owes since it came back from an ejection ([`crate::ejection`]).
    pub probation: AtomicU32,
    /// Failures in the window.
    pub window_failures: AtomicU32,
    /// When the window began; 0: none has.
    pub window_at: AtomicU64,
    /// Answers and failed attempts before it.
    pub window_from: AtomicU64,
    /// When its next check is due, or until when somebody may be at one ([`crate::check`]).
    pub check_at: AtomicU64,
    /// How many checks in a row passed, or, below 0, failed.
    pub check_run: AtomicI64,
    /// Room for later versions.
    pub spare: [AtomicU64; 4],
}

/// What the member's answers were.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct MemberAnswers {
    /// How many had a status of each hundred: 1xx to 5xx.
    pub classes: [AtomicU64; 5],
    /// Room for later versions.
    pub spare: [AtomicU64; 11],
    /// How long their first bytes took.
    pub first_byte: Histogram,
}

/// What people and the configuration say about the member.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct MemberAdmin {
    /// Weight in hundredths (httpd's `lbfactor`): 1 to 10,000.
    pub weight: AtomicU32,
    /// The weight that the configuration named when `weight` was last taken from it.
    pub configured_weight: AtomicU32,
    /// [`flags`] in force.
    pub flags: AtomicU32,
    /// The flags that the configuration named when `flags` was last taken from it.
    pub configured_flags: AtomicU32,
    /// The set tried in order, 0 to 99.
    pub lbset: AtomicU32,
    /// The set that the configuration named when `lbset` was last taken from it.
    pub configured_lbset: AtomicU32,
    /// The farm this record belongs to, as index of its record.
    pub farm: AtomicU32,
    /// 0: free. 1: in use. Otherwise the generation in which it was last configured, kept for the
    /// children of older generations (`directory.rs`).
    pub lifecycle: AtomicU32,
    /// Position in the configuration: ties and `first` follow it.
    pub position: AtomicU32,
    /// 1: out, no statistics came in time ([`crate::stats::expect`]).
    pub out: AtomicU32,
    /// Most requests under way ([`crate::room`]); 0: any number.
    pub max_conn: AtomicU32,
    /// The limit that the configuration named when `max_conn` was last taken from it.
    pub configured_max_conn: AtomicU32,
    /// Where `bytes_in` stood when `bytraffic` began to count.
    pub bytes_in_from: AtomicU64,
    /// Where `bytes_out` stood when `bytraffic` began to count.
    pub bytes_out_from: AtomicU64,
    /// What the member's agent says ([`crate::agent`]); 0: nothing.
    pub agent: AtomicU32,
    /// The `maxconn` that its agent says; 0: none.
    pub agent_max_conn: AtomicU32,
    /// Since when it drains, in microseconds since 1970 ([`crate::drain`]); 0: it does not.
    pub draining_since: AtomicU64,
    /// The beginning of the draining whose end has been told.
    pub drain_told: AtomicU64,
    /// Who was added at run time and has this seat, counted with who left it: odd while somebody has
    /// it ([`super::added`]).
    pub tenure: AtomicU32,
    /// 1: it is removed when it has drained.
    pub leaving: AtomicU32,
    /// 1: its agent is asked ([`crate::agent::begin`]).
    pub agent_asked: AtomicU32,
    /// Room to keep the next field aligned.
    pub pad: AtomicU32,
    /// What the rotation owed it when its farm's plan was published ([`crate::plan::carry`]).
    pub owed: AtomicI64,
    /// Where `elected` stood when `bytraffic` began to count.
    pub elected_from: AtomicU64,
    /// Room for later versions.
    pub spare: [AtomicU64; 1],
}

/// What people set at run time beside [`MemberAdmin`], in place of what the configuration says.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct MemberChanged {
    /// `slowstart`, in seconds.
    pub slow_start: ChangedNumber,
    /// The session route.
    pub route: ChangedText<ROUTE_SET_MAX>,
    /// `forward`.
    pub forward: ChangedText<TARGET_MAX>,
    /// `redirect`, a route.
    pub redirect: ChangedText<ROUTE_SET_MAX>,
    /// `draintimeout`, in seconds.
    pub drain_timeout: ChangedNumber,
    /// Room for later versions.
    pub spare: [AtomicU64; 8],
}

/// State letters of a member, as `mod_proxy` names them.
pub mod flags {
    /// `D`: takes no new request.
    pub const DISABLED: u32 = 1;
    /// `S`: takes no request at all.
    pub const STOPPED: u32 = 1 << 1;
    /// `I`: errors do not take it out.
    pub const IGNORE_ERRORS: u32 = 1 << 2;
    /// `H`: used when no other member of the sets so far is usable.
    pub const STANDBY: u32 = 1 << 3;
    /// `R`: replaces unusable members one for one.
    pub const SPARE: u32 = 1 << 4;
    /// `N`: serves its own sessions only.
    pub const DRAIN: u32 = 1 << 5;
    /// `C`: a health check failed.
    pub const CHECK_FAILED: u32 = 1 << 6;
    /// Down, as people say: health checks and probes do not bring it back.
    pub const DOWN: u32 = 1 << 7;
    /// Out: kept in a word of its own, since it is neither people's nor the configuration's.
    pub const OUT: u32 = 1 << 31;
    /// Any of these and the member is not chosen by a method.
    pub const NOT_ELIGIBLE: u32 = DISABLED | STOPPED | DRAIN | CHECK_FAILED | DOWN | OUT;
    /// Any of these keeps a member from its sessions as well.
    pub const NOT_FOR_SESSIONS: u32 = NOT_ELIGIBLE & !DRAIN;
}

/// What the member pushes about itself ([`crate::stats`]).
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct MemberStats {
    /// How many of `table` have a name: raised after the name is written.
    pub known: AtomicU32,
    /// Room to keep the next field aligned.
    pub pad: AtomicU32,
    /// When any of them was last pushed ([`crate::Micros`]); 0 never.
    pub reported_at: AtomicU64,
    /// Since when reports are expected; 0: they are not.
    pub expected_from: AtomicU64,
    /// How many updates there were.
    pub pushes: AtomicU64,
    /// What the farm's `score=` makes of them: the bits of an `f64`, 0 for none
    /// ([`crate::stats::score`]).
    pub score: AtomicU64,
    /// Room for later versions.
    pub spare: [AtomicU64; 11],
    /// The statistics, in the order in which they first came.
    pub table: [Stat; STATS_MAX],
}

/// One statistic.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Stat {
    /// Its name, plain bytes padded with NUL; written once.
    pub name: [AtomicU64; STAT_NAME_MAX / 8],
    /// The bits of an `f64`.
    pub value: AtomicU64,
    /// When it was last pushed ([`crate::Micros`]).
    pub pushed_at: AtomicU64,
}

/// Whose record this is, in plain bytes, each padded with NUL.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct MemberIdentity {
    /// The server (vhost) that owns the farm.
    pub server: [AtomicU8; NAME_MAX],
    /// The farm's name, lower case.
    pub farm: [AtomicU8; NAME_MAX],
    /// The member's URL as `mod_proxy` keeps it (`name_ex`).
    pub url: [AtomicU8; URL_MAX],
    /// The member's name as users see it.
    pub name: [AtomicU8; NAME_MAX],
    /// The session route; empty for none.
    pub route: [AtomicU8; NAME_MAX],
    /// Of a member that was added at run time, its parameters as a `BalancerMember` line has them.
    pub line: [AtomicU8; LINE_MAX],
}

impl Default for MemberIdentity {
    fn default() -> Self {
        Self {
            server: blank(),
            farm: blank(),
            url: blank(),
            name: blank(),
            route: blank(),
            line: blank(),
        }
    }
}

/// One member.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct MemberRecord {
    /// Counters.
    pub hot: MemberHot,
    /// Answers.
    pub answers: MemberAnswers,
    /// Health.
    pub health: MemberHealth,
    /// Administration.
    pub admin: MemberAdmin,
    /// More of it.
    pub changed: MemberChanged,
    /// Pushed statistics.
    pub stats: MemberStats,
    /// Identity.
    pub identity: MemberIdentity,
}

/// The farm's counters.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct FarmHot {
    /// Next turn of the weighted rotation, over all children.
    pub ticket: AtomicU64,
    /// Requests that were given a member by this farm.
    pub elected: AtomicU64,
    /// Requests for which nothing was usable.
    pub refused: AtomicU64,
    /// Earliest time at which a member in error may be probed; `u64::MAX`: none is in error.
    pub next_probe_at: AtomicU64,
    /// When `forcerecovery` last sent a request to a member in error.
    pub forced_at: AtomicU64,
    /// Requests under way at all members together; counted with `lbmethod=hash` only.
    pub inflight: InFlight,
    /// Cookies that came with requests for the farm.
    pub cookies: CookieCounts,
    /// When to look for members that have not reported in time; `u64::MAX`: never.
    pub next_out_at: AtomicU64,
    /// Requests that ever waited for a place ([`super::queue`]).
    pub arrivals: AtomicU64,
    /// Of those that wait for a place. Not 0: somebody may be waiting now.
    pub gate: AtomicU32,
    /// Room to keep the next field aligned.
    pub pad: AtomicU32,
    /// Room for later versions.
    pub spare: [AtomicU64; 2],
}

/// Signed cookies (`crate::cookie`), by what they came to.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CookieCounts {
    /// Used.
    pub accepted: AtomicU64,
    /// Their time was over.
    pub expired: AtomicU64,
    /// Not signed by a key in force.
    pub forged: AtomicU64,
    /// Not of the format.
    pub malformed: AtomicU64,
    /// For other farms.
    pub foreign: AtomicU64,
}

/// The farm's rarely written part.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct FarmCold {
    /// The published plan: its version, the low bit names the buffer ([`super::plan_area`]).
    pub published: AtomicU64,
    /// Replays ([`crate::budget`]): when the window began; a new record is given the time.
    pub budget_since: AtomicU64,
    /// Requests elected when the window began.
    pub budget_elected: AtomicU64,
    /// Requests, in hundredths, that replays so far have used up.
    pub budget_spent: AtomicU64,
    /// The second (of `Micros`) and the replays in it: `second << 8 | count`.
    pub budget_reserve: AtomicU64,
    /// 1: taken from service by people.
    pub off: AtomicU32,
    /// As [`MemberAdmin::lifecycle`].
    pub lifecycle: AtomicU32,
    /// Not 0: the plan may be out of date ([`crate::plan::stale`]).
    pub stale: AtomicU32,
    /// Room to keep the next field aligned.
    pub pad: AtomicU32,
    /// Until when members are in their slow start; later, nobody has to look.
    pub warm_until: AtomicU64,
    /// Counts members that were added and removed at run time.
    pub roster: AtomicU64,
    /// Room for later versions.
    pub spare: [AtomicU64; 7],
}

/// What people set at run time for the farm, in place of what the configuration says.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct FarmChanged {
    /// `lbmethod`.
    pub method: ChangedText<METHOD_SET_MAX>,
    /// `forward`.
    pub forward: ChangedText<TARGET_MAX>,
    /// `fallback`.
    pub fallback: ChangedText<TARGET_MAX>,
}

/// Whose farm this is.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct FarmIdentity {
    /// The server (vhost) that owns the farm.
    pub server: [AtomicU8; NAME_MAX],
    /// The farm's name, lower case.
    pub name: [AtomicU8; NAME_MAX],
    /// Room for later versions.
    pub spare: [AtomicU8; 64],
}

impl Default for FarmIdentity {
    fn default() -> Self {
        Self {
            server: blank(),
            name: blank(),
            spare: blank(),
        }
    }
}

/// One farm.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct FarmRecord {
    /// Counters.
    pub hot: FarmHot,
    /// How long requests waited in its queue, whatever became of them.
    pub queue_wait: Histogram,
    /// Administration and plan.
    pub cold: FarmCold,
    /// More administration.
    pub changed: FarmChanged,
    /// Identity.
    pub identity: FarmIdentity,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<MemberHot>() == 128);
    assert!(size_of::<MemberAnswers>() == 256);
    assert!(size_of::<MemberHealth>() == 128);
    assert!(size_of::<MemberAdmin>() == 128);
    assert!(size_of::<MemberChanged>() == 512);
    assert!(size_of::<MemberStats>() == 896);
    assert!(size_of::<MemberIdentity>() == 1280);
    assert!(size_of::<MemberRecord>() == 3328);
    assert!(size_of::<FarmHot>() == 128);
    assert!(size_of::<FarmCold>() == 128);
    assert!(size_of::<FarmChanged>() == 512);
    assert!(size_of::<FarmRecord>() == 1152);
};
