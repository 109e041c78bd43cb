//! Sessions in an election: whose member may serve them, and when.

#![cfg(not(loom))]
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test may panic"
)]

use athena_engine::board::record::{FarmRecord, MemberRecord, flags};
use athena_engine::dispatch::{Elected, Election, Known, Lineup, Nobody, Reason};
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
    fn at(&self, position: usize) -> Option<Known<'_>> {
        self.member(MemberId(u32::try_from(position).ok()?))
    }
    fn member(&self, id: MemberId) -> Option<Known<'_>> {
        let record = self.0.get(id.0 as usize)?;
        Some(Known {
            id,
            record,
            serves: true,
        })
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
            process: 0,
            lineup: self,
            method: by_name("roundrobin").expect("a method of the menu"),
            tried: &[],
            probes: true,
            leaves: Some(0),
            force: &|| true,
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
        force: &|| false,
        ..members.election(&farm, NOW + RETRY)
    };
    assert_eq!(
        (asked.run(&mut random), asked.sticky(FIRST)),
        (Err(Nobody::Usable), None)
    );
    assert_eq!(
        due.run(&mut random).map(|elected| elected.reason),
        Ok(Reason::Probe)
    );
}

#[test]
fn a_forced_recovery_within_a_session() {
    let farm = FarmRecord::default();
    let members = Members::new(3);
    let forced = |now| members.election(&farm, now).forced_sticky(&[MemberId(2)]);
    members.fail(0);
    members.fail(2);
    assert_eq!(
        forced(NOW),
        Err(Nobody::Usable),
        "member 1 is usable, if not by this session"
    );
    members.fail(1);
    let own = Ok(Elected::new(MemberId(2), Reason::Forced));
    assert_eq!(forced(NOW), own);
    assert_eq!(forced(NOW), Err(Nobody::Usable), "one a second");
    assert_eq!(forced(NOW + SECOND), own);
    let unforced = Election {
        force: &|| false,
        ..members.election(&farm, NOW + 5 * SECOND)
    };
    assert_eq!(unforced.forced_sticky(&[FIRST]), Err(Nobody::Usable));
}

#[test]
fn a_full_member_is_passed_over_and_waited_for() {
    let farm = FarmRecord::default();
    let members = Members::new(2);
    for member in &members.0 {
        member.admin.max_conn.store(2, Ordering::Relaxed);
    }
    let random = &mut fastrand::Rng::with_seed(1);
    let gold = members.election(&farm, NOW);
    let bronze = Election {
        leaves: Some(50),
        ..members.election(&farm, NOW)
    };
    members.0[0].hot.inflight.take(None);
    assert_eq!(gold.sticky(FIRST), Some(Reason::Sticky));
    assert_eq!(bronze.sticky(FIRST), None, "the other place is reserved");
    assert_eq!(
        bronze.run(random).map(|elected| elected.id),
        Ok(MemberId(1))
    );
    members.0[1].hot.inflight.take(None);
    assert_eq!(bronze.run(random), Err(Nobody::Full));
    assert!(gold.run(random).is_ok());
    for member in &members.0 {
        member.hot.inflight.take(None);
    }
    assert_eq!(gold.run(random), Err(Nobody::Full));
    assert_eq!(gold.sticky(FIRST), None);
    assert_eq!(gold.forced_sticky(&[FIRST]), Err(Nobody::Full));
    // Where one is in error and the other full, nobody is forced upon the former.
    members.fail(0);
    assert_eq!(gold.run(random), Err(Nobody::Full));
    members.fail(1);
    members.0[1].hot.inflight.give_back(1);
    let forced = gold.run(random);
    assert_eq!(
        forced.map(|elected| elected.id),
        Ok(MemberId(1)),
        "the one with a place"
    );
}

#[test]
fn a_full_member_is_not_probed() {
    let farm = FarmRecord::default();
    let members = Members::new(1);
    members.0[0].admin.max_conn.store(1, Ordering::Relaxed);
    members.0[0].hot.inflight.take(None);
    members.fail(0);
    let due = Election {
        force: &|| false,
        ..members.election(&farm, NOW + RETRY)
    };
    let random = &mut fastrand::Rng::with_seed(1);
    assert_eq!(due.sticky(FIRST), None);
    assert_eq!(due.run(random), Err(Nobody::Usable));
    members.0[0].hot.inflight.give_back(1);
    assert_eq!(
        due.run(random).map(|elected| elected.reason),
        Ok(Reason::Probe)
    );
}
