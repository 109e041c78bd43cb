//! Changes at run time, whoever asks for them: checked together, put in force together or not at
//! all, shown to mod_proxy, and noted once each, with who made them and through what, in the log and
//! among the board's events.

use std::collections::{HashMap, HashSet};
use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use athena_engine::agent::Address;
use athena_engine::board::{Deadline, FarmLock, LockError};
use athena_engine::change::{FarmChange, FarmState, MemberChange, MemberState};
use athena_engine::config::allow::Allowed;
use athena_engine::config::forward::Forward;
use athena_engine::config::param::Fallback;
use athena_engine::config::target::Target;
use athena_engine::method::Anew;

use crate::conf::ServerConf;
use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::naming::text;
use crate::{added, events, ffi, forward, judge, method, refresh, runtime, sticky};

/// How long people wait for other changes of the farms.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// One thing that is asked for.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    pub farm: &'a Farm,
    pub change: Change<'a>,
}

/// What becomes different, and of what.
#[derive(Clone, Copy)]
pub enum Change<'a> {
    Farm(&'a FarmChange),
    Member(&'a Member, &'a MemberChange),
}

/// A wish that was looked at: what is in force, and what will be (of a farm in this order).
enum Step<'a> {
    Farm(&'a Farm, FarmState, FarmState),
    Member {
        farm: &'a Farm,
        member: &'a Member,
        before: MemberState,
        after: MemberState,
        /// People say that the member is up.
        ends_error: bool,
    },
}

/// Who asks.
pub struct Author {
    /// A user from an address.
    who: String,
    through: &'static str,
}

/// Why nothing was changed, and the status to answer with.
pub struct Refusal {
    pub status: c_int,
    pub reason: String,
}

impl Refusal {
    pub fn new(status: c_int, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, reason }
    }

    /// What is asked for cannot be.
    pub fn invalid(reason: impl ToString) -> Self {
        Self::new(ffi::HTTP_UNPROCESSABLE_ENTITY, reason.to_string())
    }

    /// What it is asked for is not there.
    pub fn missing(reason: impl ToString) -> Self {
        Self::new(ffi::HTTP_NOT_FOUND, reason.to_string())
    }

    /// Who asks may not.
    pub fn forbidden(reason: impl ToString) -> Self {
        Self::new(ffi::HTTP_FORBIDDEN, reason.to_string())
    }
}

impl Author {
    /// Whoever sent a request; `through` is what it came by: `api`, `update`, `balancer-manager`.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn of(r: *mut ffi::request_rec, through: &'static str) -> Self {
        // SAFETY: the caller's promise.
        let (user, address) = unsafe { (text((*r).user), text((*r).useragent_ip)) };
        let user = if user.is_empty() { "somebody" } else { &user };
        let who = format!("{user} from {address}");
        Self { who, through }
    }

    /// No person, but what somebody asked for before.
    pub fn unattended(who: &str, through: &'static str) -> Self {
        let who = who.to_owned();
        Self { who, through }
    }
}

/// Puts all wishes in force, or none. What became different, in words, one for each wish; `None` for
/// one that holds already.
pub fn apply(wishes: &[Wish<'_>], author: &Author) -> Result<Vec<Option<String>>, Refusal> {
    apply_if(wishes, author, || Ok(()))
}

/// As [`apply`], if `agreed` says so while nobody else can change anything.
pub fn apply_if(
    wishes: &[Wish<'_>],
    author: &Author,
    agreed: impl FnOnce() -> Result<(), Refusal>,
) -> Result<Vec<Option<String>>, Refusal> {
    let held = lock(wishes)?;
    agreed()?;
    let steps = Steps::of(wishes);
    steps.in_order.iter().try_for_each(Step::check)?;
    check_forwards(&steps)?;
    let said: Vec<_> = steps.in_order.iter().map(Step::put).collect();
    let mut started = HashSet::new();
    for (farm, why) in steps.in_order.iter().flat_map(Step::starts_anew) {
        if started.insert((farm.seat.id, why)) {
            farm.start_anew(why);
        }
    }
    drop(held);
    let mut changed = HashSet::new();
    for (wish, said) in wishes.iter().zip(&said) {
        if let Some(said) = said {
            if changed.insert(wish.farm.seat.id) {
                refresh::request(wish.farm);
            }
            let member = match wish.change {
                Change::Farm(_) => None,
                Change::Member(member, _) => Some(member),
            };
            tell("ATH0252:", wish.farm, member, said, author);
        }
    }
    Ok(said)
}

/// The line in the log, and the event.
pub fn tell(tag: &str, farm: &Farm, member: Option<&Member>, said: &str, author: &Author) {
    let Author { who, through } = author;
    let named = member.map_or_else(String::new, |member| format!(" member {}:", member.name));
    let line = format!(
        "{tag} farm {}:{named} {said}, by {who} through {through}",
        farm.name
    );
    log::server(Level::Notice, farm.server_rec, &line);
    events::note(farm, member, said, who, through);
}

/// Locks one farm.
pub fn hold(farm: &Farm) -> Result<FarmLock<'static>, Refusal> {
    hold_within(farm, PATIENCE)
}

fn hold_within(farm: &Farm, patience: Duration) -> Result<FarmLock<'static>, Refusal> {
    let board = runtime::board().ok_or(LockError::Over);
    board
        .and_then(|board| board.lock_to_change(farm.seat.id, patience))
        .map_err(|error| Refusal::new(ffi::HTTP_SERVICE_UNAVAILABLE, error.to_string()))
}

/// Locks the farms of all wishes, in the order that everybody keeps to, and takes in whom others have
/// added to them.
fn lock(wishes: &[Wish<'_>]) -> Result<Vec<FarmLock<'static>>, Refusal> {
    let mut farms: Vec<&Farm> = wishes.iter().map(|wish| wish.farm).collect();
    farms.sort_unstable_by_key(|farm| farm.seat.id);
    farms.dedup_by_key(|farm| farm.seat.id);
    let end = Deadline::after(PATIENCE);
    let lock = |farm: &&Farm| hold_within(farm, end.left());
    let held = farms.iter().map(lock).collect::<Result<Vec<_>, _>>()?;
    for (farm, held) in farms.iter().zip(&held) {
        added::catch_up(farm, held);
    }
    Ok(held)
}

/// Whether farms forward to farms that exist, and not in a circle, after these steps.
fn check_forwards(steps: &Steps<'_>) -> Result<(), Refusal> {
    let moves = |step: &Step<'_>| match step {
        Step::Farm(_, before, after) => before.extras.forward != after.extras.forward,
        Step::Member { before, after, .. } => before.extras.forward != after.extras.forward,
    };
    if !steps.in_order.iter().any(moves) {
        return Ok(());
    }
    let planned = |farm: &Farm, member: Option<&Member>| {
        let step = steps.last(subject(farm, member))?;
        Some(step.forward())
    };
    forward::check_all(planned).map_err(Refusal::invalid)
}

/// A farm, or one of its members.
type Subject = (*const Farm, *const Member);

fn subject(farm: &Farm, member: Option<&Member>) -> Subject {
    (farm, member.map_or(ptr::null(), ptr::from_ref))
}

/// All steps, and each subject's last one.
struct Steps<'a> {
    in_order: Vec<Step<'a>>,
    last: HashMap<Subject, usize>,
}

impl<'a> Steps<'a> {
    fn of(wishes: &[Wish<'a>]) -> Self {
        let mut steps = Self {
            in_order: Vec::with_capacity(wishes.len()),
            last: HashMap::with_capacity(wishes.len()),
        };
        for wish in wishes {
            let subject = match wish.change {
                Change::Farm(_) => subject(wish.farm, None),
                Change::Member(member, _) => subject(wish.farm, Some(member)),
            };
            let step = Step::of(wish, steps.last(subject));
            steps.last.insert(subject, steps.in_order.len());
            steps.in_order.push(step);
        }
        steps
    }

    fn last(&self, subject: Subject) -> Option<&Step<'a>> {
        self.in_order.get(*self.last.get(&subject)?)
    }
}

impl<'a> Step<'a> {
    /// What a wish comes to, behind the step before it that has the same subject.
    fn of(wish: &Wish<'a>, earlier: Option<&Self>) -> Self {
        let farm = wish.farm;
        match wish.change {
            Change::Farm(change) => {
                let before = match earlier {
                    Some(Self::Farm(_, _, after)) => after.clone(),
                    _ => farm.state(),
                };
                let after = change.after(&before);
                Self::Farm(farm, before, after)
            }
            Change::Member(member, change) => {
                let before = match earlier {
                    Some(Self::Member { after, .. }) => after.clone(),
                    _ => member.state(),
                };
                Self::Member {
                    farm,
                    member,
                    after: change.after(&before),
                    before,
                    ends_error: change.ends_error(),
                }
            }
        }
    }

    /// What the engine cannot know: methods, routes that sessions can carry, and where people may
    /// send requests.
    fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Farm(farm, before, after) => {
                let (was, is) = (&before.extras, &after.extras);
                if was.method != is.method {
                    method::check(farm, &is.method).map_err(Refusal::invalid)?;
                }
                if was.forward != is.forward
                    && let Ok(Forward::Url(url)) = Forward::read(&is.forward)
                {
                    allowed(farm, &url)?;
                }
                match Fallback::read(&is.fallback) {
                    Ok(fallback) if was.fallback != is.fallback => {
                        forward::check_fallback(farm, &fallback).map_err(Refusal::invalid)?;
                        let (Fallback::Proxy(url) | Fallback::Redirect(url)) = fallback;
                        allowed(farm, &url)
                    }
                    _ => Ok(()),
                }
            }
            Self::Member {
                farm,
                member,
                before,
                after,
                ..
            } => {
                if !member.is_current() {
                    let reason = format!("member {} was removed", member.name);
                    return Err(Refusal::missing(reason));
                }
                let (was, is) = (&before.extras, &after.extras);
                if was.route != is.route {
                    sticky::check_route(farm, is.route.as_bytes()).map_err(Refusal::invalid)?;
                }
                match Forward::read(&is.forward) {
                    Ok(Forward::Url(url)) if was.forward != is.forward => allowed(farm, &url),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Puts it in force; what became different. The caller holds the farm's lock.
    fn put(&self) -> Option<String> {
        match self {
            Self::Farm(farm, before, after) => {
                after.store(farm.seat.record, &farm.extras);
                if before.extras.method != after.extras.method {
                    method::put(farm, &after.extras.method);
                }
                after.difference(before)
            }
            Self::Member {
                member,
                before,
                after,
                ends_error,
                ..
            } => {
                member.put(after);
                let ended = *ends_error && judge::end_error(member);
                let ended = ended.then(|| "error ended".to_owned());
                after.difference(before).or(ended)
            }
        }
    }

    /// Which running figures of stock httpd's rules start anew.
    fn starts_anew(&self) -> Vec<(&'a Farm, Anew)> {
        match self {
            Self::Farm(farm, before, after) => {
                let why = after.starts_anew(before).into_iter();
                why.map(|why| (*farm, why)).collect()
            }
            Self::Member {
                farm,
                before,
                after,
                ..
            } => {
                let why = after.starts_anew(before);
                why.map(|why| (*farm, why)).collect()
            }
        }
    }

    /// The `forward` that will be in force.
    fn forward(&self) -> Option<Forward> {
        let text = match self {
            Self::Farm(_, _, after) => &after.extras.forward,
            Self::Member { after, .. } => &after.extras.forward,
        };
        Forward::read(text).ok()
    }
}

/// Whether people may send requests to a URL (`AthMemberAllow`).
pub fn allowed(farm: &Farm, url: &str) -> Result<(), Refusal> {
    leave(farm, url, |hosts| hosts.allows(url))
}

/// Whether people may have the agent of a member asked there.
pub fn allowed_agent(farm: &Farm, url: &str, agent: &Address) -> Result<(), Refusal> {
    let own = Target::parse_strict(url).map_or("", |target| target.host);
    let (host, port) = agent.of(own);
    leave(farm, &format!("{host}:{port}"), |hosts| {
        hosts.names(host, port)
    })
}

fn leave(farm: &Farm, what: &str, by: impl FnOnce(&Allowed) -> bool) -> Result<(), Refusal> {
    let hosts = ServerConf::of(farm.server_rec).and_then(|conf| conf.allowed.as_ref());
    if hosts.is_some_and(by) {
        return Ok(());
    }
    let reason = format!("{what}: AthMemberAllow does not name this host");
    Err(Refusal::forbidden(reason))
}
