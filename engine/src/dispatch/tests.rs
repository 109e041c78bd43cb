use super::*;
use std::cell::RefCell;
use std::sync::atomic::AtomicU32;

const NOW: Micros = 1_000_000_000;

struct Farm {
    record: FarmRecord,
    members: Vec<MemberRecord>,
    eligible: Vec<AtomicU32>,
}

impl Farm {
    fn new(members: u32) -> Self {
        let farm = Self {
            record: FarmRecord::default(),
            members: (0..members).map(|_| MemberRecord::default()).collect(),
            eligible: (0..members).map(AtomicU32::new).collect(),
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
        let tried: Vec<_> = tried.iter().copied().map(MemberId).collect();
        let election = Election {
            farm: &self.record,
            plan: Some(Plan {
                eligible: &self.eligible,
                ..Plan::default()
            }),
            lineup: self,
            method,
            tried: &tried,
            probes: true,
            leaves: 0,
            force,
            half_life: 10_000_000,
            affinity: Affinity::default(),
            score: None,
            now: NOW,
        };
        let elected = election.run(&mut fastrand::Rng::with_seed(1)).ok()?;
        Some((elected.id.0, elected.reason))
    }
}

impl Lineup for Farm {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn at(&self, position: usize) -> Option<Known<'_>> {
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

    fn retry(&self, _: MemberId) -> Micros {
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
            .filter(|id| sight.roster.eligible(MemberId(*id)).is_some())
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
