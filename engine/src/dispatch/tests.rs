use super::*;
use crate::plan::Count;
use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicU32;

const NOW: Micros = 1_000_000_000;

struct Farm {
    record: FarmRecord,
    members: Vec<MemberRecord>,
    eligible: Vec<AtomicU32>,
    count: Count,
    /// How often a member was looked at by its position.
    looks: Cell<u32>,
    /// This process is of an older generation.
    old: bool,
    /// Another process brings a member back between the choice and the claim.
    recovers: bool,
}

impl Farm {
    fn new(members: u32) -> Self {
        let farm = Self {
            record: FarmRecord::default(),
            members: (0..members).map(|_| MemberRecord::default()).collect(),
            eligible: (0..members).map(AtomicU32::new).collect(),
            count: Count {
                members,
                usable: members,
                ..Count::default()
            },
            looks: Cell::default(),
            old: false,
            recovers: false,
        };
        farm.record
            .hot
            .next_probe_at
            .store(u64::MAX, Ordering::Relaxed);
        farm
    }

    fn in_error(&self, member: usize) -> &Self {
        let health = &self.members[member].health;
        health.retry_at.store(NOW + 5_000_000, Ordering::Relaxed);
        self
    }

    fn elect(&self, method: &dyn Method, tried: &[u32], force: bool) -> Option<(u32, Reason)> {
        self.elect_by(method, tried, force, |election| {
            election.run(&mut fastrand::Rng::with_seed(1))
        })
    }

    fn elect_by(
        &self,
        method: &dyn Method,
        tried: &[u32],
        force: bool,
        by: impl FnOnce(&Election<'_>) -> Result<Elected, Nobody>,
    ) -> Option<(u32, Reason)> {
        let tried: Vec<_> = tried.iter().copied().map(MemberId).collect();
        let election = Election {
            farm: &self.record,
            plan: Some(Plan {
                eligible: &self.eligible,
                count: self.count,
                ..Plan::default()
            }),
            process: 0,
            lineup: self,
            method,
            tried: &tried,
            probes: true,
            leaves: Some(0),
            force: &|| force,
            half_life: 10_000_000,
            affinity: Affinity::default(),
            score: None,
            now: NOW,
        };
        let elected = by(&election).ok()?;
        Some((elected.id.0, elected.reason))
    }
}

impl Lineup for Farm {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn at(&self, position: usize) -> Option<Known<'_>> {
        self.looks.update(|looks| looks + 1);
        self.member(MemberId(u32::try_from(position).ok()?))
    }

    fn member(&self, id: MemberId) -> Option<Known<'_>> {
        let record = self.members.get(id.0 as usize)?;
        Some(Known {
            id,
            record,
            serves: true,
        })
    }

    fn is_whole(&self) -> bool {
        !self.old
    }

    fn retry(&self, id: MemberId) -> Micros {
        if self.recovers {
            health::recover(&self.members[id.0 as usize].health, NOW);
        }
        60_000_000
    }
}

/// Names the same member whatever it sees, and remembers what it saw.
struct Stubborn {
    answer: Option<u32>,
    seen: RefCell<Vec<u32>>,
}

impl Stubborn {
    fn naming(answer: Option<u32>) -> Self {
        Self {
            answer,
            seen: RefCell::default(),
        }
    }
}

impl Method for Stubborn {
    fn name(&self) -> &'static str {
        "stubborn"
    }

    fn pick(&self, sight: &Sight<'_>, _: &mut fastrand::Rng) -> Option<MemberId> {
        let listed = sight.plan.eligible.iter();
        *self.seen.borrow_mut() = listed
            .map(|id| id.load(Ordering::Relaxed))
            .filter(|id| sight.roster.available(MemberId(*id)).is_some())
            .collect();
        self.answer.map(MemberId)
    }

    fn is_foreign(&self) -> bool {
        true
    }
}

#[test]
fn a_foreign_method_is_taken_at_its_word() {
    let method = Stubborn::naming(Some(2));
    assert_eq!(
        Farm::new(3).elect(&method, &[], false),
        Some((2, Reason::Method))
    );
    assert_eq!(*method.seen.borrow(), [0, 1, 2]);
}

#[test]
fn a_member_that_the_request_cannot_have_is_replaced() {
    let method = Stubborn::naming(Some(0));
    let farm = Farm::new(3);
    assert_eq!(
        farm.elect(&method, &[0], false),
        Some((1, Reason::Remaining))
    );
    assert_eq!(*method.seen.borrow(), [1, 2]);
    assert_eq!(
        farm.in_error(0).elect(&method, &[1], false),
        Some((2, Reason::Remaining))
    );
    // A member that is none of this farm's.
    let stranger = Stubborn::naming(Some(77));
    assert_eq!(
        Farm::new(2).elect(&stranger, &[], false),
        Some((0, Reason::Remaining))
    );
}

#[test]
fn nobody_is_a_foreign_methods_last_word() {
    let nobody = Stubborn::naming(None);
    assert_eq!(Farm::new(3).elect(&nobody, &[], true), None);
    // Without a usable member there is nothing to say no to: a recovery may be forced.
    let down = Farm::new(1);
    assert_eq!(
        down.in_error(0).elect(&nobody, &[], true),
        Some((0, Reason::Forced))
    );
}

#[test]
fn a_method_of_the_menu_may_run_out_of_plan() {
    let farm = Farm::new(2);
    farm.eligible[0].store(9, Ordering::Relaxed);
    farm.eligible[1].store(9, Ordering::Relaxed);
    let method = crate::method::by_name("leastconn").unwrap();
    assert_eq!(
        farm.elect(method, &[0], false),
        Some((1, Reason::Remaining))
    );
}

/// A farm that has nothing to offer finds that out at the same cost whatever its size.
#[test]
fn who_is_not_in_the_plan_is_only_looked_for_where_there_may_be_somebody() {
    let method = crate::method::by_name("roundrobin").unwrap();
    let mut farm = Farm::new(100);
    for member in 0..100 {
        farm.in_error(member);
    }
    farm.eligible.clear();
    farm.count.usable = 0;
    assert_eq!(farm.elect(method, &[], false), None);
    assert_eq!(farm.looks.get(), 0);

    // A member that is up again, as the plan does not say yet.
    farm.members[7].health.retry_at.store(0, Ordering::Relaxed);
    assert_eq!(farm.elect(method, &[], false), None);
    stale::mark(&farm.record.cold);
    assert_eq!(farm.elect(method, &[], false), Some((7, Reason::Remaining)));

    // A standby, or a member of another set, that the plan counts and does not list.
    assert!(stale::begin(&farm.record.cold));
    assert_eq!(farm.elect(method, &[], false), Some((7, Reason::Remaining)));
    stale::end(&farm.record.cold);
    farm.count.usable = 1;
    assert_eq!(farm.elect(method, &[], false), Some((7, Reason::Remaining)));
    assert_eq!(farm.elect(method, &[7], false), None);
}

#[test]
fn ejected_members_serve_where_the_plan_counts_some() {
    let method = crate::method::by_name("roundrobin").unwrap();
    let mut farm = Farm::new(3);
    for member in 0..3 {
        farm.in_error(member);
    }
    let cause = &farm.members[1].health.cause;
    cause.store(Cause::Ejected as u32, Ordering::Relaxed);
    assert_eq!(farm.elect(method, &[], false), None);
    farm.count.answering = 1;
    assert_eq!(farm.elect(method, &[], false), Some((1, Reason::Panic)));
}

/// The next requests find out about the others, and where that shows nothing, it begins anew.
#[test]
fn a_forced_recovery_probes_all_members_that_are_out_for_one_answer() {
    let method = crate::method::by_name("roundrobin").unwrap();
    for cause in [Cause::Status, Cause::Timeout] {
        let mut farm = Farm::new(4);
        for member in 0..4 {
            farm.in_error(member);
            let cause = if member == 3 { Cause::Connect } else { cause };
            let number = &farm.members[member].health.cause;
            number.store(cause as u32, Ordering::Relaxed);
        }
        farm.count.usable = 0;
        farm.count.answering = 3;
        farm.eligible.clear();
        assert_eq!(farm.elect(method, &[], false), None);
        let mut probed: Vec<_> = (0..6)
            .map(|_| farm.elect(method, &[], true).unwrap())
            .collect();
        assert!(probed.iter().all(|(_, reason)| *reason == Reason::Probe));
        for three in probed.chunks_mut(3) {
            three.sort_by_key(|(member, _)| *member);
            assert_eq!(
                three.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
                [0, 1, 2]
            );
        }
        assert_eq!(
            farm.elect(method, &[0, 1, 2], true),
            Some((3, Reason::Forced))
        );
    }
}

#[test]
fn a_session_that_is_kept_by_its_member_has_its_part_in_the_recovery() {
    let method = crate::method::by_name("roundrobin").unwrap();
    let mut farm = Farm::new(3);
    for (member, cause) in [Cause::Status, Cause::Timeout, Cause::Ejected]
        .into_iter()
        .enumerate()
    {
        farm.in_error(member);
        let number = &farm.members[member].health.cause;
        number.store(cause.number(), Ordering::Relaxed);
    }
    farm.count.answering = 3;
    let kept = |farm: &Farm, tried: &[u32], its: u32, force| {
        farm.elect_by(method, tried, force, |election| {
            election.forced_sticky(&[MemberId(its)])
        })
    };
    for its in [1, 0, 1] {
        assert_eq!(kept(&farm, &[], its, false), None);
        assert_eq!(kept(&farm, &[], its, true), Some((its, Reason::Probe)));
    }
    assert_eq!(kept(&farm, &[], 2, false), Some((2, Reason::Panic)));
    farm.members[0].health.retry_at.store(0, Ordering::Relaxed);
    assert_eq!(kept(&farm, &[], 1, true), None);
    assert_eq!(kept(&farm, &[0], 1, true), None);
}

#[test]
fn whoever_serves_in_error_serves_the_next_request_at_once() {
    let method = crate::method::by_name("roundrobin").unwrap();
    let answering = |cause: Cause, force, among: u32| {
        let mut farm = Farm::new(2);
        farm.in_error(0).in_error(1);
        farm.count.answering = cause.may_answer().into();
        let number = &farm.members[1].health.cause;
        number.store(cause.number(), Ordering::Relaxed);
        let mut found = false;
        farm.elect_by(method, &[1], force, |election| {
            found = election.is_anybody_answering(|id| id.0 == among);
            Err(Nobody::Usable)
        });
        let [before, after] = [&farm.record, &FarmRecord::default()]
            .map(|record| record.hot.ticket.load(Ordering::Relaxed));
        assert_eq!(before, after);
        found
    };
    for cause in [Cause::Status, Cause::Timeout] {
        assert!(answering(cause, true, 1));
        assert!(!answering(cause, true, 0) && !answering(cause, false, 1));
    }
    assert!(answering(Cause::Ejected, false, 1));
    assert!(!answering(Cause::Connect, true, 1));
}

/// A process of an older generation neither probes nor decides when the next probe is due: the
/// member may be one that it does not know.
#[test]
fn who_does_not_know_all_members_leaves_probing_to_others() {
    let method = crate::method::by_name("roundrobin").unwrap();
    let mut farm = Farm::new(2);
    farm.in_error(0);
    farm.record.hot.next_probe_at.store(NOW, Ordering::Relaxed);
    farm.members[0]
        .health
        .retry_at
        .store(NOW, Ordering::Relaxed);
    farm.eligible.remove(0);
    farm.old = true;
    assert_eq!(farm.elect(method, &[], false), Some((1, Reason::Method)));
    assert_eq!(farm.record.hot.next_probe_at.load(Ordering::Relaxed), NOW);
    farm.old = false;
    assert_eq!(farm.elect(method, &[], false), Some((0, Reason::Probe)));
}

#[test]
fn a_member_that_comes_back_beside_a_forced_recovery_stays() {
    let method = crate::method::by_name("roundrobin").unwrap();
    let mut farm = Farm::new(1);
    farm.in_error(0);
    farm.recovers = true;
    assert_eq!(farm.elect(method, &[], true), Some((0, Reason::Forced)));
    assert!(health::healthy(&farm.members[0].health));
}

/// The only member that works broke this request's connection, say: its answer is the farm's.
#[test]
fn a_member_that_works_is_no_farm_in_error_though_the_request_has_been_to_it() {
    let method = crate::method::by_name("roundrobin").unwrap();
    let mut farm = Farm::new(3);
    farm.in_error(1).in_error(2);
    farm.members[2]
        .health
        .cause
        .store(Cause::Ejected as u32, Ordering::Relaxed);
    farm.count.answering = 1;
    assert_eq!(farm.elect(method, &[0], true), None);
    farm.in_error(0);
    assert_eq!(farm.elect(method, &[0], true), Some((2, Reason::Panic)));
    assert_eq!(farm.elect(method, &[0, 2], true), Some((1, Reason::Forced)));
}
