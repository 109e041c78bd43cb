//! What an update may say: letters of the table that can be changed, and statistics. A key of one
//! letter is a letter, `agent` what an agent says, any other a statistic's name.

use super::error::{QueryError, Reason};
use super::kind::Of;
use super::request::{Selection, given, unknown};
use super::split::{Item, Raw};
use crate::agent::Words;
use crate::board::record::flags;
use crate::board::values::{LETTERS, SETTABLE};
use crate::change::{FarmChange, MemberChange};
use crate::config::param::ParamError;
use crate::config::value::Must;
use crate::stats::Report;
use std::borrow::Cow;

/// `h=app01,load=0.7,queue=12` or `n=farm_one,s=off`.
#[derive(Debug, PartialEq)]
pub struct Update<'t> {
    /// Of which: members of a name, or a farm.
    pub select: Selection<'t>,
    /// `k=`: the key that a change by GET needs.
    pub key: Option<Cow<'t, str>>,
    /// What becomes different.
    pub what: What,
}

/// What becomes different.
#[derive(Debug, PartialEq)]
pub enum What {
    /// Of a member.
    Member {
        /// What it says of itself.
        report: Report,
        /// What people say of it.
        change: MemberChange,
        /// `agent=`: what its agent says of it.
        agent: Option<Words>,
    },
    /// Of a farm.
    Farm(FarmChange),
}

/// Letters of a member whose values are those of a key of [`MemberChange`].
pub(super) const MEMBER: &[(&str, &str)] = &[
    ("w", "weight"),
    ("l", "lbset"),
    ("C", "maxconn"),
    ("r", "route"),
    ("R", "redirect"),
    ("B", "slowstart"),
    ("D", "draintimeout"),
    ("W", "forward"),
];

/// Letters of a farm whose values are those of a key of [`FarmChange`].
pub(super) const FARM: &[(&str, &str)] = &[
    ("s", "on"),
    ("m", "method"),
    ("W", "forward"),
    ("F", "fallback"),
];

impl<'t> Update<'t> {
    pub(super) fn of(of: Of, raw: &Raw<'t>) -> Result<Self, QueryError> {
        let mut update = Self {
            select: Selection::default(),
            key: None,
            what: What::new(of),
        };
        // Its state as one word, or as letters.
        let says = |word| raw.items.iter().find(|item| item.word == word);
        if let (Of::Phys, Some(state), Some(letters)) = (of, says("s"), says("g")) {
            let later = state.at.max(letters.at);
            return Err(QueryError::new(later, Reason::Both("s", "g")));
        }
        for item in &raw.items {
            if update.select.take(of, item)? {
                continue;
            }
            let value = given(item)?;
            if item.word == "k" {
                update.key = Some(value.text());
            } else {
                update.what.take(item, &value.text())?;
            }
        }
        let named = match of {
            Of::Phys => &update.select.member,
            _ => &update.select.farm,
        };
        let wrong = |reason| Err(QueryError::new(raw.at, reason));
        match (named, of) {
            (None, Of::Phys) => wrong(Reason::Missing("h=, the member,")),
            (None, _) => wrong(Reason::Missing("n=, the farm,")),
            _ if update.what == What::new(of) => wrong(Reason::Nothing),
            _ => Ok(update),
        }
    }
}

impl What {
    fn new(of: Of) -> Self {
        match of {
            Of::Phys => Self::Member {
                report: Report::default(),
                change: MemberChange::default(),
                agent: None,
            },
            _ => Self::Farm(FarmChange::default()),
        }
    }

    /// What it is about.
    pub const fn of(&self) -> Of {
        match self {
            Self::Member { .. } => Of::Phys,
            Self::Farm(_) => Of::Farm,
        }
    }

    /// Whether it says more than statistics.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Member { change, agent, .. } => {
                *change != MemberChange::default() || agent.is_some()
            }
            Self::Farm(_) => true,
        }
    }

    fn take(&mut self, item: &Item<'_>, text: &str) -> Result<(), QueryError> {
        let wrong = |reason| QueryError::new(item.at, reason);
        let read = match self {
            Self::Member { agent, .. } if item.word == "agent" => {
                Some(words(text).map(|words| *agent = Some(words)))
            }
            Self::Member { report, .. } if item.word.len() > 1 => {
                let added = report.add(item.word, text);
                return added.map_err(|refused| wrong(Reason::Statistic(refused)));
            }
            Self::Member { change, .. } => letter(change, item.word, text),
            Self::Farm(change) => key_of(FARM, item.word).map(|key| must(change.set(key, text))),
        };
        let refused = |must| {
            wrong(Reason::Value {
                key: item.word.to_owned(),
                value: text.to_owned(),
                must,
            })
        };
        read.ok_or_else(|| unknown(item))?.map_err(refused)
    }
}

/// Reads what an agent says.
fn words(text: &str) -> Result<Words, Must> {
    let words = Words::read(text.as_bytes());
    let wrong = words.is_empty() || words.unknown().is_some();
    if wrong {
        return Err(
            "must be words among up, down, ready, drain, maint, 75% and maxconn:30".to_owned(),
        );
    }
    Ok(words)
}

/// Reads a letter of a member; `None`: there is none that can be changed.
fn letter(change: &mut MemberChange, letter: &str, text: &str) -> Option<Result<(), Must>> {
    Some(match letter {
        "s" => state(change, text),
        "u" => match text {
            "up" => must(change.set("up", "on")),
            "down" => must(change.set("up", "off")),
            _ => Err("must be up or down".to_owned()),
        },
        "g" => letters(change, text),
        _ => must(change.set(key_of(MEMBER, letter)?, text)),
    })
}

fn key_of(keys: &[(&str, &'static str)], letter: &str) -> Option<&'static str> {
    let mut keys = keys.iter();
    keys.find(|(known, _)| *known == letter)
        .map(|(_, key)| *key)
}

fn state(change: &mut MemberChange, text: &str) -> Result<(), Must> {
    let off = flags::DISABLED | flags::STOPPED;
    match text {
        "on" => change.flag(off | flags::DRAIN, false),
        "drain" => {
            change.flag(off, false);
            change.flag(flags::DRAIN, true);
        }
        "off" => change.flag(flags::DISABLED, true),
        _ => return Err("must be on, drain or off".to_owned()),
    }
    Ok(())
}

/// These letters and no others; `-` stands for none.
fn letters(change: &mut MemberChange, text: &str) -> Result<(), Must> {
    let text = if text == "-" { "" } else { text };
    let settable = || LETTERS.into_iter().filter(|(flag, _)| flag & SETTABLE != 0);
    let known = |c| settable().any(|(_, letter)| letter == c);
    if !text.chars().all(known) {
        return Err("must be letters among DSIHRN, or -".to_owned());
    }
    for (flag, letter) in settable() {
        change.flag(flag, text.contains(letter));
    }
    Ok(())
}

fn must(read: Result<(), ParamError>) -> Result<(), Must> {
    read.map_err(|error| match error {
        ParamError::Value { must, .. } => must,
        other => other.to_string(),
    })
}
