//! Sessions in an election: whose member may serve them, and when.

#![cfg(not(loom))]
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test may panic"
)]

use athena_engine::board::record::{FarmRecord, MemberRecord, flags};
use athena_engine::dispatch::{Elected, Election, Lineup, Reason};
use athena_engine::health::{self, Cause};
use athena_engine::method::{Affinity, by_name};
use athena_engine::{MemberId, Micros};
use std::sync::atomic::Ordering;

const SECOND: Micros = 1_000_000;
const NOW: Micros = 1_000 * SECOND;
const RETRY: Micros = 60 * SECOND;

struct Members(Vec<MemberRecord>);

impl Lineup for Members {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn at(&self, position: usize) -> Option<(MemberId, &MemberRecord)> {
        let id = MemberId(u32::try_from(position).ok()?);
        self.0.get(position).map(|member| (id, member))
    }
    fn member(&self, id: MemberId) -> Option<&MemberRecord> {
        self.0.get(id.0 as usize)
    }
    fn serves(&self, _: MemberId) -> bool {
        true
    }
    fn retry(&self, _: MemberId) -> Micros {
        RETRY
    }
}

impl Members {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| MemberRecord::default()).collect())
    }

    fn fail(&self, member: usize) {
        health::fail(&self.0[member].health, Cause::Connect, NOW, RETRY);
    }

    fn set(&self, member: usize, letters: u32) {
        self.0[member].admin.flags.store(letters, Ordering::Relaxed);
    }

    fn election<'a>(&'a self, farm: &'a FarmRecord, now: Micros) -> Election<'a> {
        Election {
            farm,
            plan: None,
            lineup: self,
            method: by_name("roundrobin").expect("a method of the menu"),
            tried: &[],
            probes: true,
            force: true,
            half_life: SECOND,
            affinity: Affinity::default(),
            score: None,
            now,
        }
    }
}

const FIRST: MemberId = MemberId(0);

#[test]
fn who_serves_sessions() {
    let table = [
        (0, Some(Reason::Sticky)),
        (flags::DRAIN, Some(Reason::Sticky)),
        (flags::STANDBY, Some(Reason::Sticky)),
        (flags::SPARE, Some(Reason::Sticky)),
        (flags::DISABLED, None),
        (flags::STOPPED, None),
        (flags::CHECK_FAILED, None),
        (flags::DRAIN | flags::STOPPED, None),
    ];
    let farm = FarmRecord::default();
    for (letters, expected) in table {
        let members = Members::new(1);
        members.set(0, letters);
        let reason = members.election(&farm, NOW).sticky(FIRST);
        assert_eq!(reason, expected, "{letters:b}");
    }
    let members = Members::new(1);
    let tried = Election {
        tried: &[FIRST],
        ..members.election(&farm, NOW)
    };
    assert_eq!(tried.sticky(FIRST), None);
    assert_eq!(members.election(&farm, NOW).sticky(MemberId(7)), None);
}

#[test]
fn a_session_is_given_one_probe_a_period() {
    let farm = FarmRecord::default();
    let members = Members::new(2);
    members.fail(0);
    let sticky = |now| members.election(&farm, now).sticky(FIRST);
    assert_eq!(sticky(NOW + RETRY - 1), None);
    assert_eq!(sticky(NOW + RETRY), Some(Reason::Probe));
    assert_eq!(sticky(NOW + RETRY), None);
    assert_eq!(sticky(NOW + 2 * RETRY), Some(Reason::Probe));
    members.set(0, flags::IGNORE_ERRORS);
    assert_eq!(sticky(NOW), Some(Reason::Sticky));
}

#[test]
fn who_learns_nothing_of_the_outcome_has_no_probe() {
    let farm = FarmRecord::default();
    let members = Members::new(2);
    members.fail(0);
    members.fail(1);
    let mut random = fastrand::Rng::with_seed(1);
    let due = members.election(&farm, NOW + RETRY);
    let asked = Election {
        probes: false,
        force: false,
        ..members.election(&farm, NOW + RETRY)
    };
    assert_eq!((asked.run(&mut random), asked.sticky(FIRST)), (None, None));
    assert_eq!(
        due.run(&mut random).map(|elected| elected.reason),
        Some(Reason::Probe)
    );
}

#[test]
fn a_forced_recovery_within_a_session() {
    let farm = FarmRecord::default();
    let members = Members::new(3);
    let forced = |now| {
        members
            .election(&farm, now)
            .forced_sticky(|id| id == MemberId(2))
    };
    members.fail(0);
    members.fail(2);
    assert_eq!(
        forced(NOW),
        None,
        "member 1 is usable, if not by this session"
    );
    members.fail(1);
    let own = Some(Elected {
        id: MemberId(2),
        reason: Reason::Forced,
    });
    assert_eq!(forced(NOW), own);
    assert_eq!(forced(NOW), None, "one a second");
    assert_eq!(forced(NOW + SECOND), own);
    let unforced = Election {
        force: false,
        ..members.election(&farm, NOW + 5 * SECOND)
    };
    assert_eq!(unforced.forced_sticky(|_| true), None);
}
