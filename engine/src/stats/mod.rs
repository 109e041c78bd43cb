//! Statistics that members push about themselves: names and numbers, of whatever meaning.
//!
//! A member has a table of [`STATS_MAX`] on the board. A name takes the next place of it the first
//! time it comes, under the farm's lock, and keeps it; values are stored without a lock, the last one
//! wins. A reader goes by the number of places that have a name: what it covers is complete.
//!
//! Names and values outlive restarts, and count as reported at the start: the balance does not depend
//! on httpd having been restarted. What a farm makes of them is its [`score`].

pub mod expect;
pub mod score;

use core::fmt;

use thiserror::Error;

use crate::Micros;
use crate::board::record::{MemberStats, STAT_NAME_MAX, STATS_MAX, Stat};
use crate::sync::Ordering;

const WORDS: usize = STAT_NAME_MAX / 8;

/// Why a statistic is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// A name that is none.
    #[error(
        "{0:?}: a statistic's name has 2 to {STAT_NAME_MAX} letters, digits and '_', does not begin \
         with a digit, and is not agent"
    )]
    Name(String),
    /// A value that is none.
    #[error("{name}={}: must be a finite number", value.escape_debug())]
    Value {
        /// The statistic.
        name: Name,
        /// As written.
        value: String,
    },
    /// No place is left.
    #[error("{0}: the member has {STATS_MAX} other statistics, and no room for more")]
    Full(Name),
    /// The farm's lock was not to be had.
    #[error("{0}: a new statistic has to wait for its farm's lock, which is taken: try again")]
    Busy(Name),
}

/// A statistic's name, as it is kept on the board.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u64; WORDS]);

impl Name {
    /// The name that a text is. In an update, one letter and `agent` are something else
    /// ([`crate::query`]).
    ///
    /// # Errors
    /// [`Refused::Name`].
    pub fn new(text: &str) -> Result<Self, Refused> {
        let refused = || Refused::Name(text.chars().take(2 * STAT_NAME_MAX).collect());
        let first = text.bytes().next().ok_or_else(refused)?;
        if !(2..=STAT_NAME_MAX).contains(&text.len())
            || text == "agent"
            || first.is_ascii_digit()
            || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err(refused());
        }
        let mut bytes = text.bytes().chain(core::iter::repeat(0));
        let word = |_| u64::from_ne_bytes(core::array::from_fn(|_| bytes.next().unwrap_or(0)));
        Ok(Self([0; WORDS].map(word)))
    }

    /// What stands on the board, if it is a name.
    fn read(stat: &Stat) -> Option<Self> {
        let name = Self(core::array::from_fn(|word| {
            stat.name
                .get(word)
                .map_or(0, |word| word.load(Ordering::Relaxed))
        }));
        (Self::new(&name.to_string()) == Ok(name)).then_some(name)
    }

    fn names(self, stat: &Stat) -> bool {
        let words = stat.name.iter().zip(self.0);
        words
            .into_iter()
            .all(|(there, word)| there.load(Ordering::Relaxed) == word)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.iter().flat_map(|word| word.to_ne_bytes());
        for byte in bytes.take_while(|byte| *byte != 0) {
            fmt::Write::write_char(f, char::from(byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What one update says of a member. Complete and checked before any of it is pushed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report(Vec<(Name, f64)>);

impl Report {
    /// Takes a statistic in; of a repeated name the last holds.
    ///
    /// # Errors
    /// [`Refused::Name`], [`Refused::Value`].
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        let name = Name::new(name)?;
        let refused = || Refused::Value {
            name,
            value: value.to_owned(),
        };
        let number: f64 = value.parse().map_err(|_| refused())?;
        if !number.is_finite() {
            return Err(refused());
        }
        self.put(name, number);
        Ok(())
    }

    /// Takes in what a later one says.
    pub fn extend(&mut self, later: &Self) {
        for (name, value) in &later.0 {
            self.put(*name, *value);
        }
    }

    fn put(&mut self, name: Name, number: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = number,
            None => self.0.push((name, number)),
        }
    }

    /// Nothing was taken in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every statistic has a place in the table, or can have one.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn fits(&self, stats: &MemberStats) -> Result<(), Refused> {
        let free = STATS_MAX - named(stats).len();
        match self.new_to(stats).nth(free) {
            Some((name, _)) => Err(Refused::Full(*name)),
            None => Ok(()),
        }
    }

    /// Pushes all of it, or nothing. `lock` is asked for the farm's lock when a name is new.
    ///
    /// # Errors
    /// [`Refused::Full`], [`Refused::Busy`].
    pub fn push<L>(
        &self,
        stats: &MemberStats,
        now: Micros,
        lock: impl FnOnce() -> Option<L>,
    ) -> Result<(), Refused> {
        if let Some((name, _)) = self.new_to(stats).next() {
            let held = lock().ok_or(Refused::Busy(*name))?;
            self.fits(stats)?;
            for (name, value) in self.new_to(stats) {
                append(stats, *name, *value, now);
            }
            drop(held);
        }
        for (name, value) in &self.0 {
            if let Some(stat) = find(stats, *name) {
                stat.value.store(value.to_bits(), Ordering::Relaxed);
                stat.pushed_at.store(now, Ordering::Relaxed);
            }
        }
        stats.pushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn new_to(&self, stats: &MemberStats) -> impl Iterator<Item = &(Name, f64)> {
        self.0
            .iter()
            .filter(|(name, _)| find(stats, *name).is_none())
    }
}

/// One statistic of a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistic {
    /// Its name.
    pub name: Name,
    /// Its value, finite.
    pub value: f64,
    /// When it was last pushed.
    pub pushed_at: Micros,
}

/// A member's statistics, in the order in which they first came.
pub fn read(stats: &MemberStats) -> impl Iterator<Item = Statistic> {
    named(stats).iter().filter_map(|stat| {
        Some(Statistic {
            name: Name::read(stat)?,
            value: value(stat)?,
            pushed_at: stat.pushed_at.load(Ordering::Relaxed),
        })
    })
}

/// Puts back what a former run left; each name once, in an empty table.
#[cfg(not(loom))]
pub(crate) fn restore(stats: &MemberStats, left: &[(Name, f64)], now: Micros) {
    for (name, value) in left {
        append(stats, *name, *value, now);
    }
    if !left.is_empty() {
        stats.reported_at.store(now, Ordering::Relaxed);
    }
}

/// Takes the next place; the caller holds the farm's lock, and there is one.
fn append(stats: &MemberStats, name: Name, value: f64, now: Micros) {
    let known = stats.known.load(Ordering::Relaxed);
    let Some(stat) = stats.table.get(known as usize) else {
        return;
    };
    for (place, word) in stat.name.iter().zip(name.0) {
        place.store(word, Ordering::Relaxed);
    }
    stat.value.store(value.to_bits(), Ordering::Relaxed);
    stat.pushed_at.store(now, Ordering::Relaxed);
    // SYNC POINT: the place is complete (read by `named`).
    stats.known.store(known + 1, Ordering::Release);
}

/// The places that have a name.
fn named(stats: &MemberStats) -> &[Stat] {
    // SYNC POINT: written by `append`.
    let known = stats.known.load(Ordering::Acquire) as usize;
    stats.table.get(..known).unwrap_or(&stats.table)
}

fn find(stats: &MemberStats, name: Name) -> Option<&Stat> {
    named(stats).iter().find(|stat| name.names(stat))
}

/// Whatever another process may have left there: what is not finite is no value.
fn value(stat: &Stat) -> Option<f64> {
    let value = f64::from_bits(stat.value.load(Ordering::Relaxed));
    value.is_finite().then_some(value)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
