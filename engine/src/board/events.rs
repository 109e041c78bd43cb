//! The last changes of state, whoever made them: a ring that every process writes, read by pages and
//! the API. It survives restarts with the rest of the board.
//!
//! Nobody waits for anybody: a writer takes the next number, and with it a place; a place says by its
//! own number whether it is whole. Two writers that are a whole ring apart at one moment may mix
//! their texts, which are shown and decide nothing.

use super::Board;
use super::record::NAME_MAX;
use super::text;
use crate::sync::{AtomicU8, AtomicU64, Ordering, fence};

/// How many changes are kept.
pub const EVENTS: u32 = 256;
/// Longest description, in bytes.
pub const WHAT_MAX: usize = 176;
/// Longest name of what a change came through, in bytes.
pub const THROUGH_MAX: usize = 32;

/// A place in the ring; texts are padded with NUL.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct EventRecord {
    /// Counted from 1; 0 while the place is empty or being written.
    pub number: AtomicU64,
    /// When: microseconds of Unix time.
    pub at: AtomicU64,
    /// The farm.
    pub farm: [AtomicU8; NAME_MAX],
    /// The member; empty for a change of the farm itself.
    pub member: [AtomicU8; NAME_MAX],
    /// What became different.
    pub what: [AtomicU8; WHAT_MAX],
    /// Who made it so, or why.
    pub who: [AtomicU8; NAME_MAX],
    /// What it came through.
    pub through: [AtomicU8; THROUGH_MAX],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<EventRecord>() == 512);

/// One change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its number, counted from 1; given when it is noted.
    pub number: u64,
    /// When: microseconds of Unix time.
    pub at: u64,
    /// The farm: `NAME`, or `NAME@server`.
    pub farm: String,
    /// The member; empty for a change of the farm itself.
    pub member: String,
    /// What became different.
    pub what: String,
    /// Who made it so, or why.
    pub who: String,
    /// What it came through: `api`, `update`, `balancer-manager`, `health`.
    pub through: String,
}

impl Board {
    /// Notes a change. Texts that are too long are cut off.
    pub fn note(&self, event: &Event) {
        let number = self.view.header.events.fetch_add(1, Ordering::Relaxed);
        self.write(number.wrapping_add(1).max(1), event);
    }

    /// Puts back what a full start found in the file.
    pub(super) fn restore_events(&self, events: &[Event]) {
        for event in events {
            self.write(event.number, event);
        }
        let last = events.iter().map(|event| event.number).max().unwrap_or(0);
        self.view.header.events.fetch_max(last, Ordering::Relaxed);
    }

    fn write(&self, number: u64, event: &Event) {
        let place = usize::try_from(number % u64::from(EVENTS)).unwrap_or(0);
        let Some(record) = self.view.events.get(place) else {
            return;
        };
        record.number.store(0, Ordering::Relaxed);
        // SYNC POINT: the place is empty before a byte changes.
        fence(Ordering::Release);
        record.at.store(event.at, Ordering::Relaxed);
        for (field, text) in [
            (&record.farm[..], &event.farm),
            (&record.member[..], &event.member),
            (&record.what[..], &event.what),
            (&record.who[..], &event.who),
            (&record.through[..], &event.through),
        ] {
            text::write(field, text);
        }
        // SYNC POINT: the place is whole (checked first by `events`).
        record.number.store(number, Ordering::Release);
    }

    /// The last event's number; its place may still be being written.
    pub fn last_event(&self) -> u64 {
        self.view.header.events.load(Ordering::Relaxed)
    }

    /// What the ring holds, the oldest first.
    pub fn events(&self) -> Vec<Event> {
        let mut events: Vec<Event> = self
            .view
            .events
            .iter()
            .filter_map(|record| record.read())
            .collect();
        events.sort_by_key(|event| event.number);
        events
    }
}

impl EventRecord {
    /// `None` for a place that is empty, or is being written.
    fn read(&self) -> Option<Event> {
        let number = self.number.load(Ordering::Acquire);
        let event = Event {
            number,
            at: self.at.load(Ordering::Relaxed),
            farm: text::read_lossy(&self.farm),
            member: text::read_lossy(&self.member),
            what: text::read_lossy(&self.what),
            who: text::read_lossy(&self.who),
            through: text::read_lossy(&self.through),
        };
        // SYNC POINT: the texts were read between two looks at the number.
        fence(Ordering::Acquire);
        (number != 0 && self.number.load(Ordering::Relaxed) == number).then_some(event)
    }
}
