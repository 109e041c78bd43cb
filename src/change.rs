//! Changes at run time, whoever asks for them: checked together, put in force together or not at
//! all, shown to mod_proxy, and noted once each, with who made them and through what, in the log and
//! among the board's events.

use std::borrow::Cow;
use std::ffi::c_int;
use std::time::Duration;

use athena_engine::FarmId;
use athena_engine::board::{Event, FarmLock};
use athena_engine::change::{FarmChange, FarmState, MemberChange, MemberState};
use athena_engine::config::forward::Forward;
use athena_engine::config::param::Fallback;

use crate::conf::ServerConf;
use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::naming::text;
use crate::{account, ffi, forward, method, refresh, runtime, sticky};

/// How long people wait for another change of a farm.
const PATIENCE: Duration = Duration::from_millis(500);

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

/// A wish that was looked at: what is in force, and what will be.
enum Step<'a> {
    Farm(&'a Farm, FarmState, FarmState),
    Member(&'a Farm, &'a Member, MemberState, MemberState),
}

/// Who asks.
pub struct Author {
    user: String,
    address: String,
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
}

impl Author {
    /// Whoever sent a request; `through` is what it came by: `api`, `update`, `balancer-manager`.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn of(r: *mut ffi::request_rec, through: &'static str) -> Self {
        // SAFETY: the caller's promise.
        let (user, address) = unsafe { (text((*r).user), text((*r).useragent_ip)) };
        Self {
            user: if user.is_empty() {
                "somebody".to_owned()
            } else {
                user
            },
            address,
            through,
        }
    }

    /// No person: `through` is what found out, `reason` what it saw.
    pub fn automatic(through: &'static str, reason: impl Into<String>) -> Self {
        Self {
            user: reason.into(),
            address: String::new(),
            through,
        }
    }

    fn words(&self) -> Cow<'_, str> {
        match self.address.as_str() {
            "" => Cow::Borrowed(&self.user),
            address => Cow::Owned(format!("{} from {address}", self.user)),
        }
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
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let step = Step::of(wish, &steps);
        steps.push(step);
    }
    for step in &steps {
        step.check()?;
    }
    check_forwards(&steps)?;
    let said: Vec<_> = steps.iter().map(Step::put).collect();
    let ended = wishes.iter().map(ends_error);
    let said: Vec<_> = said
        .into_iter()
        .zip(ended)
        .map(|(said, ended)| said.or(ended))
        .collect();
    drop(held);
    for (wish, said) in wishes.iter().zip(&said) {
        let Some(said) = said else { continue };
        refresh::request(wish.farm);
        wish.farm.start_anew();
        let member = match wish.change {
            Change::Farm(_) => None,
            Change::Member(member, _) => Some(member),
        };
        let line = note(wish.farm, member, said, author);
        log::server(
            Level::Notice,
            wish.farm.server_rec,
            &format!("ATH0252: {line}"),
        );
    }
    Ok(said)
}

/// Notes a change among the board's events; the same as a line for the log.
pub fn note(farm: &Farm, member: Option<&Member>, said: &str, author: &Author) -> String {
    let (who, through) = (author.words(), author.through);
    if let Some(board) = runtime::board() {
        // SAFETY: reads the clock.
        let now = unsafe { ffi::apr_time_now() };
        board.note(&Event {
            number: 0,
            at: u64::try_from(now).unwrap_or(0),
            farm: farm.label(),
            member: member.map(|member| member.name.clone()).unwrap_or_default(),
            what: said.to_owned(),
            who: who.clone().into_owned(),
            through: through.to_owned(),
        });
    }
    let member = member.map_or_else(String::new, |member| format!(" member {}:", member.name));
    format!(
        "farm {}:{member} {said}, by {who} through {through}",
        farm.name
    )
}

/// Locks the farms of all wishes, in the order that everybody keeps to.
fn lock(wishes: &[Wish<'_>]) -> Result<Vec<FarmLock<'static>>, Refusal> {
    let later = |reason: String| Refusal::new(ffi::HTTP_SERVICE_UNAVAILABLE, reason);
    let board = runtime::board()
        .filter(|board| board.is_current())
        .ok_or_else(|| later("this process is about to end: ask again".to_owned()))?;
    let mut farms: Vec<FarmId> = wishes.iter().map(|wish| wish.farm.seat.id).collect();
    farms.sort_unstable();
    farms.dedup();
    let lock = |farm| board.lock(farm, PATIENCE);
    let held = farms.into_iter().map(lock).collect::<Result<_, _>>();
    held.map_err(|error| later(error.to_string()))
}

/// People say that a member is up: an error that it is in ends.
fn ends_error(wish: &Wish<'_>) -> Option<String> {
    match wish.change {
        Change::Member(member, change) if change.ends_error() && account::end_error(member) => {
            Some("error ended".to_owned())
        }
        _ => None,
    }
}

/// Whether farms forward to farms that exist, and not in a circle, after these steps.
fn check_forwards(steps: &[Step<'_>]) -> Result<(), Refusal> {
    let moves = |step: &Step<'_>| match step {
        Step::Farm(_, before, after) => before.extras.forward != after.extras.forward,
        Step::Member(_, _, before, after) => before.extras.forward != after.extras.forward,
    };
    if !steps.iter().any(moves) {
        return Ok(());
    }
    let planned = |farm: &Farm, member: Option<&Member>| {
        steps
            .iter()
            .rev()
            .find_map(|step| step.forward_of(farm, member))
    };
    runtime::tables()
        .try_for_each(|table| forward::check(table, planned))
        .map_err(invalid)
}

fn invalid(reason: String) -> Refusal {
    Refusal::new(ffi::HTTP_UNPROCESSABLE_ENTITY, reason)
}

impl<'a> Step<'a> {
    /// What a wish comes to, behind the steps before it.
    fn of(wish: &Wish<'a>, earlier: &[Self]) -> Self {
        let farm = wish.farm;
        match wish.change {
            Change::Farm(change) => {
                let known = earlier.iter().rev().find_map(|step| match step {
                    Self::Farm(other, _, after) if std::ptr::eq(*other, farm) => {
                        Some(after.clone())
                    }
                    _ => None,
                });
                let before = known.unwrap_or_else(|| farm.state());
                let after = change.after(&before);
                Self::Farm(farm, before, after)
            }
            Change::Member(member, change) => {
                let known = earlier.iter().rev().find_map(|step| match step {
                    Self::Member(_, other, _, after) if std::ptr::eq(*other, member) => {
                        Some(after.clone())
                    }
                    _ => None,
                });
                let before = known.unwrap_or_else(|| member.state());
                let after = change.after(&before);
                Self::Member(farm, member, before, after)
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
                    method::check(farm, &is.method).map_err(invalid)?;
                }
                if was.forward != is.forward
                    && let Ok(Forward::Url(url)) = Forward::read(&is.forward)
                {
                    allowed(farm, &url)?;
                }
                match Fallback::read(&is.fallback) {
                    Ok(Fallback::Proxy(url) | Fallback::Redirect(url))
                        if was.fallback != is.fallback =>
                    {
                        allowed(farm, &url)
                    }
                    _ => Ok(()),
                }
            }
            Self::Member(farm, _, before, after) => {
                let (was, is) = (&before.extras, &after.extras);
                if was.route != is.route {
                    sticky::check_route(farm, is.route.as_bytes()).map_err(invalid)?;
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
            Self::Member(_, member, before, after) => {
                member.put(after);
                after.difference(before)
            }
        }
    }

    /// The `forward` that will be in force, if the step is about this farm or member.
    fn forward_of(&self, farm: &Farm, member: Option<&Member>) -> Option<Option<Forward>> {
        let text = match (self, member) {
            (Self::Farm(of, _, after), None) if std::ptr::eq(*of, farm) => &after.extras.forward,
            (Self::Member(_, of, _, after), Some(member)) if std::ptr::eq(*of, member) => {
                &after.extras.forward
            }
            _ => return None,
        };
        Some(Forward::read(text).ok())
    }
}

/// Whether people may send requests to a URL (`AthMemberAllow`).
fn allowed(farm: &Farm, url: &str) -> Result<(), Refusal> {
    let conf = ServerConf::of(farm.server_rec);
    if conf.is_some_and(|conf| conf.allowed.as_ref().is_some_and(|hosts| hosts.allows(url))) {
        return Ok(());
    }
    let reason = format!("{url}: AthMemberAllow does not name this host");
    Err(Refusal::new(ffi::HTTP_FORBIDDEN, reason))
}
