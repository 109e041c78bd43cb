//! Changes at run time, whoever asks for them: checked together, put in force together or not at
//! all, shown to mod_proxy, and logged once each with who made them and through what.

use std::borrow::Cow;
use std::ffi::c_int;
use std::time::Duration;

use athena_engine::FarmId;
use athena_engine::board::FarmLock;
use athena_engine::change::{FarmChange, FarmState, MemberChange, MemberState};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::naming::text;
use crate::{account, ffi, refresh, runtime};

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
    #[allow(dead_code, reason = "as above")]
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
    let held = lock(wishes)?;
    let said: Vec<_> = wishes.iter().map(put).collect();
    drop(held);
    for (wish, said) in wishes.iter().zip(&said) {
        let Some(said) = said else { continue };
        refresh::request(wish.farm);
        wish.farm.start_anew();
        note(wish, said, author);
    }
    Ok(said)
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

/// Puts one wish in force. The caller holds its farm's lock.
fn put(wish: &Wish<'_>) -> Option<String> {
    match wish.change {
        Change::Farm(change) => {
            let cold = &wish.farm.seat.record.cold;
            let before = FarmState::of(cold);
            let after = change.after(&before);
            after.store(cold);
            after.difference(&before)
        }
        Change::Member(member, change) => {
            let before = MemberState::of(&member.record().admin);
            let after = change.after(&before);
            after.store(&member.record().admin);
            member.show(after.settings);
            let ended = change.ends_error() && account::end_error(member);
            let ended = ended.then(|| "error ended".to_owned());
            after.difference(&before).or(ended)
        }
    }
}

/// The one line of the log.
fn note(wish: &Wish<'_>, said: &str, author: &Author) {
    let member = match wish.change {
        Change::Farm(_) => String::new(),
        Change::Member(member, _) => format!(" member {}:", member.name),
    };
    let (who, through) = (author.words(), author.through);
    let line = format!(
        "ATH0252: farm {}:{member} {said}, by {who} through {through}",
        wish.farm.name
    );
    log::server(Level::Notice, wish.farm.server_rec, &line);
}
