//! The table of our own parameters: one line and one field each.

use super::forward::Forward;
use super::value::{self, Must};
use crate::agent::Address;
use crate::board::values::{DRAIN_TIMEOUT_MAX, MAX_CONN_MAX, SLOW_START_MAX};
use crate::hashkey::HashKey;
use crate::stats::score::Score;
use crate::sticky::{Attributes, RouteRegex};
use std::time::Duration;
use thiserror::Error;

/// Whose parameter it is, and so on which lines it may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A farm's: `ProxySet`, `<Proxy … k=v>`, `ProxyPass`, `AthFarm`.
    Farm,
    /// A member's: `BalancerMember`.
    Member,
    /// A member's; on a farm's line the default of its members.
    Both,
}

/// One parameter that a user may write.
#[derive(Debug)]
pub struct Param {
    /// Its key, lower case.
    pub key: &'static str,
    /// Its form, as in the manual.
    pub syntax: &'static str,
    /// What holds without it, as in the manual.
    pub default: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    farm: Option<Set<FarmParams>>,
    member: Option<Set<MemberParams>>,
    /// On a farm's line it is the default of its members: takes it over from there.
    inherit: Option<Inherit>,
}

type Set<P> = fn(&mut P, &str) -> Result<(), Must>;
type Inherit = fn(&mut MemberParams, &MemberParams);

/// The parameters that work.
#[rustfmt::skip]
pub const PARAMS: &[Param] = &[
    farms("ejectafter", "ejectafter=N|off", "off",
        "failures after which a member is ejected",
        |farm, text| put(&mut farm.eject_after, value::or("off", text, |text| value::number(text, 1..=1000)))),
    farms("ejecttime", "ejecttime=SECONDS", "30",
        "how long a member's first ejection lasts",
        |farm, text| put(&mut farm.eject_time, value::seconds(text, 1..=86_400))),
    farms("maxeject", "maxeject=PERCENT", "50",
        "share of the members that may be ejected at a time, but at least one member",
        |farm, text| put(&mut farm.max_eject, value::percent(text, 1..=100))),
    farms("retrybudget", "retrybudget=PERCENT", "20",
        "share of the farm's requests that may be replayed, but at least 3 a second",
        |farm, text| put(&mut farm.retry_budget, value::percent(text, 0..=100))),
    farms("retryon", "retryon=CODE[,CODE...]|none", "none",
        "answers that are replayed on another member: 500, 502, 503, 504",
        |farm, text| put(&mut farm.retry_on, value::or("none", text, |text| value::list(text, &[500, 502, 503, 504]))
            .map(Option::unwrap_or_default))),
    farms("trytimeout", "trytimeout=MILLISECONDS|off", "off",
        "bound of each wait of an attempt",
        |farm, text| put(&mut farm.try_timeout, value::or("off", text, |text| value::millis(text, 1..=3_600_000)))),
    farms("fallback", "fallback=[redirect:]URL|none", "none",
        "what answers when no member is usable",
        |farm, text| put(&mut farm.fallback, value::or("none", text, Fallback::read))),
    both("forward", "forward=FARM|URL|none", "none",
        "where requests go that the farm, or the member of their session, cannot serve",
        |farm, text| put(&mut farm.forward, value::or("none", text, Forward::read)),
        |member, text| put(&mut member.forward, value::or("none", text, Forward::read))),
    farms("queue", "queue=N|off", "off",
        "most requests that wait for a place while each member is full",
        |farm, text| put(&mut farm.queue, value::or("off", text, |text| value::number(text, 1..=60_000)))),
    farms("queuetimeout", "queuetimeout=MILLISECONDS", "10000",
        "how long a request waits for a place",
        |farm, text| put(&mut farm.queue_timeout, value::millis(text, 1..=3_600_000))),
    farms("stickyissue", "stickyissue=On|Off", "Off",
        "the module sets the session's cookie itself",
        |farm, text| put(&mut farm.sticky_issue, value::on_off(text))),
    farms("stickyattrs", "stickyattrs=ATTRIBUTE[;ATTRIBUTE...]", "Path=/; HttpOnly",
        "attributes of the cookie that `stickyissue` sets",
        |farm, text| put(&mut farm.sticky_attrs, Attributes::read(text).map(Some))),
    farms("routeregex", "routeregex=REGEX|none", "none",
        "reads the route off the session's value: the first group of a match",
        |farm, text| put(&mut farm.route_regex, value::unless("none", text, RouteRegex::read))),
    farms("hashkey", "hashkey=ip|uri|path|query:NAME|header:NAME|cookie:NAME", "ip",
        "what `lbmethod=hash` knows a request by",
        |farm, text| put(&mut farm.hash_key, HashKey::read(text))),
    farms("hashbalance", "hashbalance=FACTOR|off", "1.25",
        "how far above the mean `lbmethod=hash` may load a member",
        |farm, text| put(&mut farm.hash_balance, value::or("off", text, |text| value::hundredths(text, 101..=1000)))),
    farms("halflife", "halflife=SECONDS", "10",
        "time after which a measured response time, and traffic, counts half",
        |farm, text| put(&mut farm.half_life, value::seconds(text, 1..=3600))),
    farms("score", "score=FORMULA|unset", "unset",
        "what `lbmethod=stats` compares: the lowest wins",
        |farm, text| put(&mut farm.score, value::unless("unset", text, Score::read))),
    members("name", "name=NAME", "host:port of the URL",
        "the member's name in reports and queries",
        |member, text| put(&mut member.name, value::name(text, MEMBER_NAME_MAX).map(Some))),
    inherited("maxconn", "maxconn=N|off", "off",
        "most requests under way at the member, all children together",
        |member, text| put(&mut member.max_conn, value::or("off", text, |text| value::number(text, 1..=MAX_CONN_MAX))),
        |member, farms| member.max_conn = farms.max_conn),
    inherited("slowstart", "slowstart=SECONDS|off", "off",
        "time in which a new or recovered member comes up to its whole share",
        |member, text| put(&mut member.slow_start, value::or("off", text, |text| value::seconds(text, 1..=SLOW_START_MAX))),
        |member, farms| member.slow_start = farms.slow_start),
    inherited("draintimeout", "draintimeout=SECONDS|off", "off",
        "how long a draining member goes on serving its sessions",
        |member, text| put(&mut member.drain_timeout, value::or("off", text, |text| value::seconds(text, 1..=DRAIN_TIMEOUT_MAX))),
        |member, farms| member.drain_timeout = farms.drain_timeout),
    inherited("expectupdate", "expectupdate=SECONDS|off", "off",
        "time within which statistics are expected of a member, or it is out",
        |member, text| put(&mut member.expect_update, value::or("off", text, |text| value::seconds(text, 1..=86_400))),
        |member, farms| member.expect_update = farms.expect_update),
    inherited("agent", "agent=[HOST]:PORT|off", "off",
        "where the member's agent is asked how it is",
        |member, text| put(&mut member.agent, value::or("off", text, Address::read)),
        |member, farms| member.agent.clone_from(&farms.agent)),
];

/// Longest `name=`, in bytes.
const MEMBER_NAME_MAX: usize = 64;

const fn farms(
    key: &'static str,
    syntax: &'static str,
    default: &'static str,
    about: &'static str,
    set: Set<FarmParams>,
) -> Param {
    Param {
        key,
        syntax,
        default,
        about,
        farm: Some(set),
        member: None,
        inherit: None,
    }
}

const fn members(
    key: &'static str,
    syntax: &'static str,
    default: &'static str,
    about: &'static str,
    set: Set<MemberParams>,
) -> Param {
    Param {
        key,
        syntax,
        default,
        about,
        farm: None,
        member: Some(set),
        inherit: None,
    }
}

const fn both(
    key: &'static str,
    syntax: &'static str,
    default: &'static str,
    about: &'static str,
    farm: Set<FarmParams>,
    member: Set<MemberParams>,
) -> Param {
    Param {
        member: Some(member),
        ..farms(key, syntax, default, about, farm)
    }
}

const fn inherited(
    key: &'static str,
    syntax: &'static str,
    default: &'static str,
    about: &'static str,
    set: Set<MemberParams>,
    inherit: Inherit,
) -> Param {
    Param {
        inherit: Some(inherit),
        ..members(key, syntax, default, about, set)
    }
}

impl Param {
    /// Whose it is: whoever has a field for it.
    pub fn whose(&self) -> Whose {
        match (
            self.farm.is_some() || self.inherit.is_some(),
            self.member.is_some(),
        ) {
            (true, true) => Whose::Both,
            (false, _) => Whose::Member,
            (true, false) => Whose::Farm,
        }
    }
}

/// Whose parameter of ours `key` is, compared without case; `None`: not ours.
pub fn whose(key: &str) -> Option<Whose> {
    find(key).map(Param::whose)
}

/// The parameter of that key, compared without case.
pub(super) fn find(key: &str) -> Option<&'static Param> {
    PARAMS
        .iter()
        .find(|param| param.key.eq_ignore_ascii_case(key))
}

/// Why a parameter is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParamError {
    /// The value is not one of those allowed.
    #[error("{key}={value}: {must}")]
    Value {
        /// The key as written.
        key: String,
        /// The value as written.
        value: String,
        /// What is allowed.
        must: Must,
    },
    /// Set on a member, but a farm's.
    #[error("{0}: belongs to the farm, not to a member")]
    Farms(String),
    /// Set on a farm, but a member's.
    #[error("{0}: belongs to a member, not to the farm")]
    Members(String),
    /// Nobody would see it.
    #[error("{0}: not for a member that is added at run time")]
    NotAtRunTime(String),
    /// Two keys about the same.
    #[error("{0} and {1} say the same thing: one of them, not both")]
    Both(String, String),
    /// Not a parameter of ours.
    #[error("{0}: unknown parameter")]
    Unknown(String),
}

impl ParamError {
    /// A value that is not one of those allowed.
    pub fn value(key: &str, value: &str, must: Must) -> Self {
        Self::Value {
            key: key.to_owned(),
            value: shown(key, value).to_owned(),
            must,
        }
    }
}

/// A value as an error may tell it.
pub fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if key.eq_ignore_ascii_case("secret") {
        "…"
    } else {
        value
    }
}

/// What holds for a farm: the defaults and what a user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarmParams {
    /// How many failures are too many ([`crate::ejection`]); `None`: no ejection.
    pub eject_after: Option<u32>,
    /// The first ejection's length, in whole seconds.
    pub eject_time: Duration,
    /// Most members ejected at a time, percent, but at least one member.
    pub max_eject: u8,
    /// Replays per requests, percent; 0 leaves the reserve of [`crate::budget`].
    pub retry_budget: u32,
    /// Status codes of answers that are replayed; empty: none.
    pub retry_on: Vec<u16>,
    /// Bound of each wait of an attempt, in whole milliseconds; `None`: none of ours.
    pub try_timeout: Option<Duration>,
    /// What answers when no member is usable.
    pub fallback: Option<Fallback>,
    /// Where requests go when no member is usable.
    pub forward: Option<Forward>,
    /// Most requests that wait for a place; `None`: none does.
    pub queue: Option<u32>,
    /// How long a request waits for a place, in whole milliseconds.
    pub queue_timeout: Duration,
    /// The module sets the session's cookie itself.
    pub sticky_issue: bool,
    /// That cookie's attributes; `None`: the default ones.
    pub sticky_attrs: Option<Attributes>,
    /// What reads the route off a session's value; `None`: the separator does.
    pub route_regex: Option<RouteRegex>,
    /// What `lbmethod=hash` knows a request by.
    pub hash_key: HashKey,
    /// How far above the mean it may load a member, in hundredths; `None`: without a bound.
    pub hash_balance: Option<u32>,
    /// Half-life of the response time average, in whole seconds.
    pub half_life: Duration,
    /// What `lbmethod=stats` compares.
    pub score: Option<Score>,
    /// What holds for members without a word of their own.
    pub members: MemberParams,
}

impl Default for FarmParams {
    fn default() -> Self {
        Self {
            eject_after: None,
            eject_time: Duration::from_secs(30),
            max_eject: 50,
            retry_budget: 20,
            retry_on: Vec::new(),
            try_timeout: None,
            fallback: None,
            forward: None,
            queue: None,
            queue_timeout: Duration::from_secs(10),
            sticky_issue: false,
            sticky_attrs: None,
            route_regex: None,
            hash_key: HashKey::default(),
            hash_balance: Some(125),
            half_life: Duration::from_secs(10),
            score: None,
            members: MemberParams::default(),
        }
    }
}

/// What a user wrote for a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberParams {
    /// Its name instead of its URL's `host:port`.
    pub name: Option<String>,
    /// Most requests under way at it; `None`: any number.
    pub max_conn: Option<u32>,
    /// How long it takes to come up to its whole share, in whole seconds; `None`: no time.
    pub slow_start: Option<Duration>,
    /// How long it serves its sessions while it drains, in whole seconds; `None`: for ever.
    pub drain_timeout: Option<Duration>,
    /// Within how many whole seconds statistics are expected of it; `None`: never.
    pub expect_update: Option<Duration>,
    /// Where its agent is asked; `None`: nowhere.
    pub agent: Option<Address>,
    /// Where requests of its sessions go while it cannot serve them.
    pub forward: Option<Forward>,
    /// What its own line says: there its farm's does not count.
    own: Vec<&'static str>,
}

/// What answers when no member is usable. The URL is complete: the request's path and query are
/// dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This URL, fetched by the proxy.
    Proxy(String),
    /// A 302 to this URL.
    Redirect(String),
}

/// As it is written.
impl std::fmt::Display for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proxy(url) => f.write_str(url),
            Self::Redirect(url) => write!(f, "redirect:{url}"),
        }
    }
}

impl Fallback {
    /// Reads a value of `fallback=`.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, Must> {
        text.strip_prefix("redirect:").map_or_else(
            || value::proxied_url(text).map(Self::Proxy),
            |target| value::url(target).map(Self::Redirect),
        )
    }
}

impl FarmParams {
    /// Sets one parameter; of a repeated one the last holds.
    ///
    /// # Errors
    /// The key is not a farm's, unknown, or the value is not allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ParamError> {
        let param = known(key)?;
        let read = match (param.farm, param.member) {
            (Some(set), _) => set(self, value),
            (None, Some(set)) if param.inherit.is_some() => set(&mut self.members, value),
            (None, _) => return Err(ParamError::Members(key.to_owned())),
        };
        read.map_err(|must| ParamError::value(key, value, must))
    }
}

impl MemberParams {
    /// Sets one parameter; of a repeated one the last holds.
    ///
    /// # Errors
    /// The key is not a member's, unknown, or the value is not allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ParamError> {
        let param = known(key)?;
        let set = param
            .member
            .ok_or_else(|| ParamError::Farms(key.to_owned()))?;
        set(self, value).map_err(|must| ParamError::value(key, value, must))?;
        self.own.push(param.key);
        Ok(())
    }

    /// What holds for a member: its own words, else those of its farm's line.
    #[must_use]
    pub fn or(mut self, farms: &Self) -> Self {
        let own = std::mem::take(&mut self.own);
        let others = PARAMS.iter().filter(|param| !own.contains(&param.key));
        for inherit in others.filter_map(|param| param.inherit) {
            inherit(&mut self, farms);
        }
        self
    }
}

fn known(key: &str) -> Result<&'static Param, ParamError> {
    find(key).ok_or_else(|| ParamError::Unknown(key.to_owned()))
}

fn put<T>(field: &mut T, read: Result<T, Must>) -> Result<(), Must> {
    *field = read?;
    Ok(())
}

#[cfg(test)]
mod tests;
