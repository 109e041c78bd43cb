use super::super::Report;
use super::*;
use crate::board::record::flags;
use crate::lookout::claim;
use proptest::prelude::*;

const SECOND: Micros = 1_000_000;
const WITHIN: Option<Micros> = Some(5 * SECOND);
const START: Micros = 100 * SECOND;

struct Farm {
    record: FarmRecord,
    members: Vec<MemberRecord>,
}

impl Farm {
    fn of(members: usize) -> Self {
        let farm = Self {
            record: FarmRecord::default(),
            members: (0..members).map(|_| MemberRecord::default()).collect(),
        };
        for member in &farm.members {
            begin(member, WITHIN, START);
        }
        begin_farm(&farm.record, true);
        farm
    }

    fn claim(&self, now: Micros) -> Option<Look<'_>> {
        claim(&self.record.hot.next_out_at, || now, || true)
    }

    /// Who goes out at a request of that time.
    fn look(&self, now: Micros) -> Vec<usize> {
        let Some(mut look) = self.claim(now) else {
            return Vec::new();
        };
        let expired = |(at, member)| expire(&mut look, member, WITHIN).then_some(at);
        let out = self
            .members
            .iter()
            .enumerate()
            .filter_map(expired)
            .collect();
        look.end();
        out
    }

    /// True when the member came in by it.
    fn report(&self, at: usize, now: Micros) -> bool {
        let mut report = Report::default();
        report.add("load", "1").unwrap();
        let member = &self.members[at];
        report.push(&member.stats, now, || Some(())).unwrap();
        reported(&self.record, member, now)
    }

    fn is_out(&self, at: usize) -> bool {
        self.members[at].admin.state() & flags::OUT != 0
    }
}

#[test]
fn out_after_the_time_and_in_with_the_next_report() {
    let farm = Farm::of(2);
    assert_eq!(farm.look(START), [] as [usize; 0]);
    assert!(!farm.report(0, START + 3 * SECOND));
    assert_eq!(farm.look(START + 5 * SECOND - 1), [] as [usize; 0]);
    assert_eq!(farm.look(START + 5 * SECOND), [1]);
    assert!(farm.is_out(1) && !farm.is_out(0));
    assert_eq!(farm.look(START + 6 * SECOND), [] as [usize; 0], "told once");
    assert_eq!(farm.look(START + 8 * SECOND), [0]);
    assert!(farm.report(1, START + 60 * SECOND));
    assert!(!farm.is_out(1));
    assert_eq!(farm.look(START + 60 * SECOND), [] as [usize; 0]);
    assert!(!farm.report(1, START + 61 * SECOND), "told once");
    assert_eq!(farm.look(START + 66 * SECOND), [1]);
}

#[test]
fn nothing_is_looked_at_before_a_deadline() {
    let farm = Farm::of(1);
    farm.look(START);
    assert!(farm.claim(START + 4 * SECOND).is_none());
    farm.report(0, START + 4 * SECOND);
    assert!(farm.claim(START + 5 * SECOND).is_some());
    begin_farm(&farm.record, false);
    assert!(farm.claim(START + 60 * SECOND).is_none());
}

#[test]
fn what_is_configured_anew() {
    let farm = Farm::of(1);
    let member = &farm.members[0];
    farm.look(START + 5 * SECOND);
    assert!(farm.is_out(0));
    begin(member, WITHIN, START + 9 * SECOND);
    assert!(farm.is_out(0), "a restart is no report");
    begin(member, Some(60 * SECOND), START + 9 * SECOND);
    assert!(!farm.is_out(0), "within its longer time");
    farm.look(START + 70 * SECOND);
    begin(member, None, START + 71 * SECOND);
    assert!(!farm.is_out(0));
    begin(member, WITHIN, START + 80 * SECOND);
    assert_eq!(deadline(member, 0), START + 80 * SECOND);
}

/// Only a child of before looks at a member whose line is gone.
#[test]
fn where_nobody_expects_anything_nobody_goes_out() {
    let farm = Farm::of(1);
    farm.members[0]
        .stats
        .expected_from
        .store(0, Ordering::SeqCst);
    assert_eq!(farm.look(START + 60 * SECOND), [] as [usize; 0]);
    assert!(!farm.is_out(0));
}

/// A report beside the look that takes its member out: who is told what, and where it ends.
#[test]
fn a_report_is_never_lost_to_a_look() {
    for round in 0..500 {
        let farm = Farm::of(1);
        let late = START + 5 * SECOND + round;
        let barrier = std::sync::Barrier::new(2);
        let (went_out, came_in) = std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                barrier.wait();
                farm.look(late) == [0]
            });
            barrier.wait();
            let came_in = farm.report(0, late);
            (looker.join().unwrap(), came_in)
        });
        assert!(!farm.is_out(0));
        assert_eq!(went_out, came_in, "in the log, both or neither");
        farm.look(late + 1);
        assert_eq!(farm.look(late + 5 * SECOND), [0], "and looked for again");
    }
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    /// Against a plain account of last reports, with a request every tenth of a second.
    #[test]
    fn members_are_out_when_they_have_not_reported(
        reports in prop::collection::vec((0_usize..4, 0_u64..200), 0..40),
    ) {
        let farm = Farm::of(4);
        let mut last = [START; 4];
        for tick in 0..250 {
            let now = START + tick * SECOND / 10;
            farm.look(now);
            for (at, _) in reports.iter().filter(|(_, when)| *when == tick) {
                farm.report(*at, now);
                last[*at] = now;
            }
            for (at, last) in last.iter().enumerate() {
                prop_assert_eq!(farm.is_out(at), now - last >= 5 * SECOND, "{} at {}", at, tick);
            }
        }
    }
}
