//! The board: scoreboard-like shared memory that stays exact across children, crashes and
//! restarts.
//!
//! It is a file (or a memfd) mapped shared by httpd's parent and all its children. [`layout`] says
//! where things lie in it, [`record`] what a farm and a member look like, [`queue`] who waits for a place, [`slots`] who has how
//! much under way, [`plan_area`] where a farm's schedule is published, [`watchers`] who follows the events.
//!
//! **Who trusts whom.** Children can write the whole board, and the parent runs as root. So values
//! are read from it, never places: every offset, length and index comes from the directory in
//! private memory (children have theirs from the fork), and every index found on the board is
//! checked where it is used. Garbage all over the board makes numbers wrong and nothing else.
//!
//! **Life.** [`Board::open`] at a full start: the last run's file is checked and copied
//! ([`load`]), never used itself. [`Board::retain`], [`Board::resume`] and [`Board::attach`] at
//! a graceful restart: the same mapping, grown in place. [`Board::claim`] in each new child;
//! [`Board::release`] in the parent for each that died. [`Board::occupy`] in a child for a member
//! that joins at run time in `mod_proxy_balancer`, [`Board::admit`] for one that people add here.
#![deny(unsafe_code)]

// Loom has no shared mappings: its tests build slots and plans on the heap.
#[cfg(not(loom))]
pub mod added;
#[cfg(not(loom))]
mod attach;
pub mod changed;
#[cfg(not(loom))]
mod directory;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
pub mod events;
#[cfg(not(loom))]
mod extras;
#[cfg(not(loom))]
mod file;
#[cfg(not(loom))]
pub mod glance;
pub mod inflight;
#[cfg(not(loom))]
mod join;
#[cfg(not(loom))]
pub mod layout;
#[cfg(not(loom))]
mod left;
pub mod limit;
#[cfg(not(loom))]
pub mod load;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
mod map;
pub mod plan_area;
#[cfg(not(loom))]
mod pool;
pub mod queue;
#[cfg(not(loom))]
mod reading;
pub mod record;
#[cfg(not(loom))]
mod retain;
#[cfg(not(loom))]
mod settings;
#[cfg(not(loom))]
mod shared;
pub mod slots;
#[cfg(not(loom))]
mod spec;
mod text;
pub mod values;
#[cfg(not(loom))]
mod view;
#[cfg(not(loom))]
pub mod watchers;

pub use plan_area::PlanArea;
pub use record::{FarmRecord, MemberRecord};
pub use slots::{LiveSlot, Repaired, SlotId};

#[cfg(not(loom))]
pub use self::{
    error::{BoardError, Notice, Setting},
    events::Event,
    extras::{FarmExtras, MemberExtras},
    file::Storage,
    lock::{Deadline, FarmLock, LockError},
    reading::{Refusal, extents},
    settings::Settings,
    shared::Board,
    spec::{Attached, FarmSeat, FarmSpec, MemberSeat, MemberSpec},
};
