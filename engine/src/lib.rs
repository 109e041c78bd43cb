//! The thinking part of mod_athena: everything that can be decided without httpd.
//!
//! * [`board`] is the shared memory: farms, members, child slots, counters. The only `unsafe`.
//! * [`plan`] compiles what changes rarely (membership, weights, states) into a schedule.
//! * [`method`] is the menu of balancing methods, one file each.
//! * [`health`] moves a member between healthy, in error and probing; [`ejection`] says when its
//!   answers are too bad.
//! * [`lookout`] says who looks at all members of a farm when one is due.
//! * [`drain`] ends what a draining member may still do.
//! * [`ewma`], [`peak`], [`traffic`], [`waiting`] and [`budget`] are the estimators that several children share.
//! * [`histogram`] counts waiting times; `metrics` writes all figures as Prometheus reads them.
//! * [`dispatch`] elects a member for a request; [`attempt`] says what follows an attempt.
//! * [`hashkey`] is what `lbmethod=hash` knows a request by.
//! * [`slow_start`] holds members back that have just come into service.
//! * [`room`] says how many requests a member may have.
//! * [`reverse`] maps URLs and cookies of an answer back to what the client knows.
//! * [`agent`] reads what members' agents say; [`check`] is how members are checked that were added.
//! * [`etag`] reads the entity tags that a request names.
//! * [`stats`] are the numbers that members push about themselves, and `score=` over them.
//! * [`sticky`] finds the member that a session belongs to.
//! * [`cookie`] is what a back end signs for its client: farms, member, class.
//! * `query` reads the text requests below the engine's path.
//! * `change` is what people change of farms and members at run time.
//! * `manager` reads the forms of the manager's page.
//! * [`config`] holds the parameters a user writes, and what selects a farm.
//!
//! Time ([`Micros`]), randomness and keys are arguments everywhere, so that each decision can be
//! replayed.

#![cfg_attr(not(loom), warn(clippy::pedantic))]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate)]

mod ageing;
pub mod agent;
pub mod attempt;
pub mod board;
pub mod budget;
#[cfg(not(loom))]
pub mod change;
pub mod check;
pub mod config;
pub mod cookie;
pub mod dispatch;
pub mod drain;
pub mod ejection;
pub mod etag;
pub mod ewma;
pub mod hashkey;
pub mod health;
pub mod heartbeat;
pub mod histogram;
pub mod lookout;
#[cfg(not(loom))]
pub mod manager;
pub mod method;
#[cfg(not(loom))]
pub mod metrics;
pub mod peak;
pub mod plan;
pub mod probe;
#[cfg(not(loom))]
pub mod query;
pub mod reverse;
pub mod room;
pub mod slow_start;
pub mod stats;
pub mod sticky;
mod sync;
#[cfg(test)]
mod testing;
pub mod traffic;
pub mod waiting;

/// Microseconds of `CLOCK_MONOTONIC`, the clock all children of a machine share. Never 0.
pub type Micros = u64;

/// A member's place on the board: the index of its record, the same in every child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u32);

/// A farm's place on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FarmId(pub u32);
