#![expect(clippy::cast_precision_loss, reason = "counts of turns")]

use super::*;
use crate::plan::parts::Parts;
use crate::plan::tests::member;
use crate::plan::{Capacity, Compiled, compile};
use crate::sync::AtomicU32;

/// A farm whose plan is made anew, as [`crate::board::plan_area::PlanArea`] has it.
struct Rotation {
    farm: FarmRecord,
    members: Vec<PlanMember>,
    plan: Option<Published>,
    capacity: Capacity,
}

struct Published {
    compiled: Compiled,
    eligible: Vec<AtomicU32>,
    turns: Vec<AtomicU32>,
    base: u64,
    parts: Parts,
}

impl Published {
    fn new(compiled: Compiled, base: u64) -> Self {
        let list = |of: &[u32]| of.iter().copied().map(AtomicU32::new).collect();
        let parts = Parts::default();
        parts.begin(compiled.owed);
        Self {
            eligible: list(&compiled.eligible),
            turns: list(&compiled.turns),
            compiled,
            base,
            parts,
        }
    }

    fn plan(&self) -> Plan<'_> {
        let Compiled { weight, count, .. } = self.compiled;
        Plan {
            eligible: &self.eligible,
            turns: &self.turns,
            weight,
            count,
            base: self.base,
            parts: Parts::suit(self.eligible.len(), self.turns.len()).then_some(&self.parts),
            ..Plan::default()
        }
    }
}

impl Rotation {
    fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let members = (0..).zip(weights);
        let mut rotation = Self {
            farm: FarmRecord::default(),
            members: members.map(|(id, weight)| member(id, weight, id)).collect(),
            plan: None,
            capacity: Capacity {
                turns: 10_000,
                ..Capacity::default()
            },
        };
        rotation.publish();
        rotation
    }

    fn publish(&mut self) {
        let before = self.plan.as_ref().map(Published::plan);
        let mut members = self.members.clone();
        settle(&mut members, before.as_ref(), &self.farm);
        let plan = compile(&members, self.capacity);
        if before.is_none_or(|before| !before.says(&plan)) {
            self.members = members;
            let base = self.farm.hot.ticket.load(Ordering::Relaxed);
            self.plan = Some(Published::new(plan, base));
        }
    }

    fn turn(&self) -> usize {
        self.turn_of(0)
    }

    fn turn_of(&self, process: usize) -> usize {
        let plan = self.plan.as_ref().unwrap().plan();
        let ticket = plan.take_ticket(&self.farm, process);
        plan.turn(ticket).unwrap().0 as usize
    }

    fn turns(&self, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.turn()).collect()
    }

    fn set_usable(&mut self, at: usize, usable: bool) {
        self.members[at].healthy = usable;
    }
}

fn most_and_least(counts: &[usize]) -> (usize, usize) {
    let most = counts.iter().max().copied().unwrap();
    (most, counts.iter().min().copied().unwrap())
}

#[test]
fn it_goes_on_behind_the_last_one_served() {
    let mut rotation = Rotation::new([100; 6]);
    assert_eq!(rotation.turns(3), [0, 1, 2]);
    rotation.set_usable(4, false);
    rotation.publish();
    assert_eq!(rotation.turns(6), [3, 5, 0, 1, 2, 3]);
    rotation.set_usable(4, true);
    rotation.publish();
    // It is where it was in line, behind those that are owed a turn more by now.
    assert_eq!(rotation.turns(8), [5, 4, 0, 1, 2, 3, 5, 4]);
    rotation.publish();
    assert_eq!(rotation.turns(2), [0, 1], "the same plan stays in force");
}

#[test]
fn without_a_plan_it_begins() {
    let mut rotation = Rotation::new([100; 4]);
    rotation.turns(3);
    rotation.set_usable(0, false);
    rotation.publish();
    rotation.plan = None;
    rotation.publish();
    assert_eq!(rotation.turns(3), [1, 2, 3]);
}

/// After any number of requests in between.
#[test]
fn a_member_that_comes_and_goes_changes_nothing_for_the_others() {
    for requests in 1..=50 {
        let mut rotation = Rotation::new([100; 10]);
        let mut counts = [0; 10];
        for round in 0..400 {
            for at in rotation.turns(requests) {
                counts[at] += 1;
            }
            rotation.set_usable(9, round % 2 == 1);
            rotation.publish();
        }
        let (most, least) = most_and_least(&counts[..9]);
        assert!(most - least <= 1, "each {requests}: {counts:?}");
        // Half of the time, among ten.
        let fair = requests * 200 / 10;
        assert!(
            counts[9].abs_diff(fair) <= 2 + fair / 50,
            "each {requests}: {counts:?}"
        );
    }
}

/// Members fail when it is their turn, half of them at once, and the plan is made anew each time.
#[test]
fn those_that_fail_leave_their_turns_to_all_others() {
    let mut rotation = Rotation::new([100; 100]);
    let mut counts = [0; 100];
    for _ in 0..150 {
        let mut at = rotation.turn();
        while !at.is_multiple_of(2) {
            rotation.set_usable(at, false);
            rotation.publish();
            at = rotation.turn();
        }
        counts[at] += 1;
    }
    let living: Vec<usize> = counts.into_iter().step_by(2).collect();
    assert_eq!(living, [3; 50]);
}

#[test]
fn flapping_members_take_nothing_from_any_other() {
    for seed in 0..5 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rotation = Rotation::new([100; 82]);
        let mut counts = [0; 82];
        for _ in 0..1_000 {
            counts[rotation.turn()] += 1;
            for at in 35..47 {
                if random.u8(..20) == 0 {
                    let usable = rotation.members[at].healthy;
                    rotation.set_usable(at, !usable);
                    rotation.publish();
                }
            }
        }
        let stable: Vec<usize> = counts[..35].iter().chain(&counts[47..]).copied().collect();
        let (most, least) = most_and_least(&stable);
        assert!(most - least <= 1, "{counts:?}");
    }
}

/// Agents say a little more or less all the time.
#[test]
fn moving_weights_move_shares_and_nothing_else() {
    for requests in [1, 2, 3, 7, 19, 50] {
        let mut random = fastrand::Rng::with_seed(requests);
        let mut rotation = Rotation::new([100; 20]);
        let mut counts = [0_usize; 20];
        let mut fair = [0.0; 20];
        for _ in 0..150 {
            for at in 5..20 {
                rotation.members[at].weight = random.u32(99..=100);
            }
            // Not by chance, either: some always say the one, some the other.
            rotation.members[5].weight = 99;
            rotation.publish();
            let sum: u32 = rotation.members.iter().map(|member| member.weight).sum();
            for _ in 0..requests {
                counts[rotation.turn()] += 1;
                for (fair, member) in fair.iter_mut().zip(&rotation.members) {
                    *fair += f64::from(member.weight) / f64::from(sum);
                }
            }
        }
        for (count, fair) in counts.iter().zip(fair) {
            let apart = *count as f64 - fair;
            assert!(apart.abs() < 1.5, "each {requests}: {apart} in {counts:?}");
        }
    }
}

/// Whatever moves: weights of all sizes, members that leave and come back.
#[test]
fn shares_are_exact_whatever_moves() {
    for (seed, capacity) in (0..6).zip([64, 300, 1_000].into_iter().cycle()) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rotation = Rotation::new((0..30).map(|at| 50 + at % 5 * 100));
        rotation.capacity.turns = capacity;
        let mut counts = [0_usize; 30];
        let mut fair = [0.0; 30];
        for _ in 0..300 {
            for at in 10..30 {
                match random.u8(..20) {
                    0 => rotation.members[at].weight = random.u32(50..=1_000),
                    1 => rotation.members[at].healthy = random.u8(..3) > 0,
                    _ => {}
                }
            }
            rotation.publish();
            let requests = random.usize(1..10);
            for at in rotation.turns(requests) {
                counts[at] += 1;
            }
            let turns = &rotation.plan.as_ref().unwrap().compiled.turns;
            let part = requests as f64 / turns.len() as f64;
            for at in turns {
                fair[*at as usize] += part;
            }
        }
        for (at, (count, fair)) in counts.iter().zip(fair).enumerate().take(10) {
            let apart = *count as f64 - fair;
            assert!(apart.abs() < 1.5, "{capacity} turns, {at}: {apart}");
        }
    }
}

/// However busy each process is, and whether plans change before a cycle is over or long after.
#[test]
fn a_rotation_in_parts_owes_its_members_what_one_in_order_does() {
    for (requests, busy) in [
        (20, &[0, 1, 2, 3][..]),
        (777, &[5]),
        (1_000, &[0, 0, 1, 6]),
        (3_333, &[0, 7]),
    ] {
        let mut random = fastrand::Rng::with_seed(requests);
        let mut rotation = Rotation::new([100; 500]);
        let mut counts = [0; 500];
        for round in 0..60 {
            for _ in 0..requests {
                counts[rotation.turn_of(busy[random.usize(..busy.len())])] += 1;
            }
            rotation.set_usable(499, round % 2 == 1);
            rotation.publish();
        }
        let (most, least) = most_and_least(&counts[..499]);
        assert!(most - least <= 1, "each {requests}: {least} to {most}");
    }
}

/// Ten thousand of different weights are interleaved, not balanced one by one.
#[test]
fn long_cycles_go_on_as_well() {
    let mut rotation = Rotation::new((0..3_000).map(|at| 100 + at % 2));
    rotation.capacity.turns = 3_000 * 128;
    rotation.plan = None;
    rotation.publish();
    let mut counts = vec![0; 3_000];
    for round in 0..40 {
        for at in rotation.turns(150) {
            counts[at] += 1;
        }
        rotation.set_usable(2_999, round % 2 == 1);
        rotation.publish();
    }
    let (most, least) = most_and_least(&counts[..2_999]);
    assert!(most <= 3 && least >= 1, "{least} to {most} of 2");
}

/// The board may say anything, also while nothing is usable.
#[test]
fn what_others_wrote_is_kept_within_bounds() {
    let mut rotation = Rotation::new([100, 200, 300]);
    for owed in [i64::MIN, i64::MAX, -1, 7 * TURN] {
        rotation.members[0].owed = owed;
        rotation.members[1].owed = owed.saturating_neg();
        rotation.members[2].weight ^= 1;
        for at in 0..3 {
            rotation.set_usable(at, owed % 2 != 0);
        }
        rotation
            .farm
            .hot
            .ticket
            .fetch_add(u64::MAX / 3, Ordering::Relaxed);
        rotation.publish();
        assert!(
            rotation
                .members
                .iter()
                .all(|member| member.owed.abs() <= MOST)
        );
    }
}
