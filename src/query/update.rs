//! Updates: statistics that members push, and what people change.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use athena_engine::MemberId;
use athena_engine::board::record::flags;
use athena_engine::query::{Selection, Update, What};
use athena_engine::stats::{Refused, Report};

use subtle::ConstantTimeEq;

use super::find;
use crate::change::{self, Author, Change, Refusal, Wish};
use crate::conf::{ServerConf, UpdateKey};
use crate::farm::{Farm, Member};
use crate::{agent, ffi, paths, stats};

/// A request whose farm or members are found.
pub struct Ready<'q> {
    of: Vec<(&'static Farm, Option<&'static Member>)>,
    key: Option<Cow<'q, str>>,
    what: What,
}

/// What became different of one member or farm, in words.
type Said = Option<String>;

impl<'q> Ready<'q> {
    /// Finds the farm or members.
    pub fn of(update: Update<'q>) -> Result<Self, Refusal> {
        let Update { select, key, what } = update;
        let of = match &what {
            What::Member { .. } => {
                let members = find::members(&select)?.into_iter();
                members.map(|(farm, member)| (farm, Some(member))).collect()
            }
            What::Farm(_) => farms(&select)?,
        };
        Ok(Self { of, key, what })
    }

    /// How many farms and members it is about.
    pub fn subjects(&self) -> usize {
        self.of.len()
    }

    /// Without the end of errors that were found here: whoever says up means that people did not say
    /// down.
    pub fn leaving_errors(mut self) -> Self {
        let down = |member: &Member| member.record().admin.flags() & flags::DOWN != 0;
        let is_down = self.of.iter().any(|(_, member)| member.is_some_and(down));
        if let What::Member { change, .. } = &mut self.what
            && !is_down
        {
            change.clear &= !flags::DOWN;
        }
        self
    }

    /// What is asked for, where that is more than statistics.
    fn wishes(&self) -> impl Iterator<Item = Wish<'_>> {
        let is_change = self.what.is_change();
        let of = self.of.iter().filter(move |_| is_change);
        of.filter_map(|(farm, member)| {
            let change = match (&self.what, member) {
                (What::Member { change, .. }, Some(member)) => Change::Member(member, change),
                (What::Farm(change), None) => Change::Farm(change),
                _ => return None,
            };
            Some(Wish { farm, change })
        })
    }

    fn push(&self) -> Result<(), Refusal> {
        let What::Member { report, agent, .. } = &self.what else {
            return Ok(());
        };
        for (farm, member) in &self.of {
            let Some(member) = member else { continue };
            if !report.is_empty() {
                stats::push(farm, member, report).map_err(refused)?;
            }
            if let Some(words) = agent {
                agent::hear(farm, member, words);
            }
        }
        Ok(())
    }

    /// Writes a line for each member or farm; `said` are the words of its wishes, and what follows.
    pub fn write(&self, said: &mut impl Iterator<Item = Said>, to: &mut String) {
        for (farm, member) in &self.of {
            let words = match self.what.is_change() {
                true => said.next().flatten(),
                false => Some("reported".to_owned()),
            };
            let otherwise = match &self.what {
                What::Member { agent: Some(_), .. } => "its agent was heard",
                _ => "as it was",
            };
            let words = words.as_deref().unwrap_or(otherwise);
            let (name, server) = (&farm.name, &farm.server);
            // Writing to a String cannot fail.
            let _ = match member {
                Some(member) => writeln!(to, "{name}@{server}/{}: {words}", member.name),
                None => writeln!(to, "{name}@{server}: {words}"),
            };
        }
    }
}

/// Whether each member has room for the statistics that all updates together have for it.
fn fit(updates: &[&Ready<'_>]) -> Result<(), Refusal> {
    let mut whole: HashMap<MemberId, (&Member, Report)> = HashMap::new();
    for update in updates {
        let What::Member { report, .. } = &update.what else {
            continue;
        };
        for member in update.of.iter().filter_map(|(_, member)| *member) {
            let (_, of_member) = whole
                .entry(member.seat.id)
                .or_insert_with(|| (member, Report::default()));
            of_member.extend(report);
        }
    }
    whole
        .values()
        .try_for_each(|(member, report)| report.fits(&member.record().stats))
        .map_err(refused)
}

/// Puts all updates in force. The words of all wishes, in order. A refusal leaves everything as it was,
/// but for statistics with new names whose farm's lock is taken, or whose room another request took at
/// this moment: then what was changed, and what was pushed before them, stays.
///
/// # Safety
/// `r` is live.
pub unsafe fn all<'a>(
    r: *mut ffi::request_rec,
    updates: impl Iterator<Item = &'a Ready<'a>>,
) -> Result<Vec<Said>, Refusal> {
    let updates: Vec<_> = updates.collect();
    if updates.is_empty() {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise.
    unsafe {
        paths::own_origin(r)?;
        may_change(r, &updates)?;
    }
    fit(&updates)?;
    let wishes: Vec<Wish<'_>> = updates.iter().flat_map(|update| update.wishes()).collect();
    let said = match wishes.as_slice() {
        [] => Vec::new(),
        wishes => {
            // SAFETY: the caller's promise.
            change::apply(wishes, &unsafe { Author::of(r, "update") })?
        }
    };
    for update in &updates {
        update.push()?;
    }
    Ok(said)
}

/// A key that is given is right, whatever it is given with; a GET that has none carries statistics only.
unsafe fn may_change(r: *mut ffi::request_rec, updates: &[&Ready<'_>]) -> Result<(), Refusal> {
    // SAFETY: the caller's promise.
    let (method, server) = unsafe { ((*r).method_number, (*r).server) };
    let expected = ServerConf::of(server).and_then(|conf| conf.update_key.as_ref());
    let is_key = |key: &str| match expected {
        Some(UpdateKey::Key(expected)) => expected.as_bytes().ct_eq(key.as_bytes()).into(),
        _ => false,
    };
    for update in updates {
        let reason = match update.key.as_deref() {
            Some(key) if !is_key(key) => "k= is not the key of AthUpdateKey",
            None if method != ffi::M_POST && update.what.is_change() => {
                "a GET carries statistics only: a change needs POST, or the key of AthUpdateKey"
            }
            _ => continue,
        };
        return Err(Refusal::forbidden(reason));
    }
    Ok(())
}

fn farms(select: &Selection<'_>) -> Result<Vec<(&'static Farm, Option<&'static Member>)>, Refusal> {
    let farms = find::farms(select)?.into_iter();
    Ok(farms.map(|farm| (farm, None)).collect())
}

fn refused(refused: Refused) -> Refusal {
    let status = match refused {
        Refused::Busy(_) => ffi::HTTP_SERVICE_UNAVAILABLE,
        _ => ffi::HTTP_CONFLICT,
    };
    Refusal::new(status, refused.to_string())
}
