mod balance;
mod bytes;
mod hash;
mod random;
mod stats;

use super::*;
use crate::ewma;
use crate::plan::{Capacity, PlanMember, compile};
use proptest::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

const NOW: Micros = 3_600_000_000;
const HALF_LIFE: Micros = 10_000_000;

/// A farm on the heap. Board indices are 3 apart, so that an index is not taken for a position.
struct Farm {
    record: FarmRecord,
    members: Vec<MemberRecord>,
    eligible: Vec<AtomicU32>,
    turns: Vec<AtomicU32>,
    table: Vec<AtomicU32>,
    weight: u64,
    affinity: Mutex<Affinity>,
    tried: Mutex<Vec<MemberId>>,
    random: Mutex<fastrand::Rng>,
    score: Option<Score>,
}

impl Roster for Farm {
    fn member(&self, id: MemberId) -> Option<&MemberRecord> {
        let (position, between) = (id.0 / 3, id.0 % 3);
        self.members.get(position as usize).filter(|_| between == 0)
    }

    fn available(&self, id: MemberId) -> Option<&MemberRecord> {
        let tried = self.tried.lock().unwrap();
        self.member(id).filter(|_| !tried.contains(&id))
    }
}

impl Farm {
    fn new(weights: &[u32]) -> Self {
        let members: Vec<MemberRecord> = weights.iter().map(|_| MemberRecord::default()).collect();
        let mut listed = Vec::new();
        for ((position, member), &weight) in (0..).zip(&members).zip(weights) {
            member.admin.weight.store(weight, Ordering::Relaxed);
            member.admin.position.store(position, Ordering::Relaxed);
            listed.push(PlanMember {
                name: crate::hashkey::hash([&position.to_le_bytes()[..]]),
                ..PlanMember::of(MemberId(position * 3), member, true)
            });
        }
        let room = Capacity {
            turns: 50_000,
            table: if listed.len() < 1_000 { 16_381 } else { 0 },
            ..Capacity::default()
        };
        let plan = compile(&listed, room);
        let record = FarmRecord::default();
        record.hot.ticket.store(1_000, Ordering::Relaxed);
        Self {
            record,
            members,
            eligible: plan.eligible.into_iter().map(AtomicU32::new).collect(),
            turns: plan.turns.into_iter().map(AtomicU32::new).collect(),
            table: plan.table.into_iter().map(AtomicU32::new).collect(),
            weight: plan.weight,
            affinity: Mutex::default(),
            tried: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(7)),
            score: None,
        }
    }

    fn plan(&self) -> Plan<'_> {
        Plan {
            eligible: &self.eligible,
            turns: &self.turns,
            table: &self.table,
            weight: self.weight,
            base: 1_000,
            ..Plan::default()
        }
    }

    fn pick_at(&self, method: &str, now: Micros) -> Option<usize> {
        let sight = Sight {
            farm: &self.record,
            plan: &self.plan(),
            process: 0,
            roster: self,
            now,
            half_life: HALF_LIFE,
            affinity: *self.affinity.lock().unwrap(),
            score: self.score.as_ref(),
        };
        let id = by_name(method)
            .unwrap()
            .pick(&sight, &mut self.random.lock().unwrap())?;
        Some(id.0 as usize / 3)
    }

    fn pick(&self, method: &str) -> Option<usize> {
        self.pick_at(method, NOW)
    }

    /// Picks `requests` times and counts; requests end at once.
    fn shares(&self, method: &str, requests: usize) -> Vec<usize> {
        let mut shares = vec![0; self.members.len()];
        (0..requests).for_each(|_| shares[self.pick(method).unwrap()] += 1);
        shares
    }

    fn busy(&self, in_flight: &[i64]) -> &Self {
        for (member, &count) in self.members.iter().zip(in_flight) {
            let count = count
                .clamp(i32::MIN.into(), i32::MAX.into())
                .cast_unsigned();
            let counted = &member.hot.inflight.0;
            counted.store(count & u64::from(u32::MAX), Ordering::Relaxed);
        }
        self
    }

    fn measured(&self, milliseconds: &[u32]) -> &Self {
        for (member, &time) in self.members.iter().zip(milliseconds) {
            for _ in 0..2 {
                ewma::observe(&member.hot, f64::from(time) * 1e3, NOW, HALF_LIFE);
            }
        }
        self
    }

    fn tried(&self, positions: &[u32]) -> &Self {
        *self.tried.lock().unwrap() = positions.iter().map(|at| MemberId(at * 3)).collect();
        self
    }
}

#[test]
fn names_are_distinct_and_found() {
    for name in names() {
        assert_eq!(by_name(name).map(Method::name), Some(name));
        assert_eq!(names().filter(|other| *other == name).count(), 1);
        assert!(name.len() <= 15, "PROXY_MAX_PROVIDER_NAME_SIZE");
    }
    assert!(by_name("RoundRobin").is_none());
}

#[test]
fn nothing_usable_is_none_and_the_last_one_is_found() {
    for members in [1_u32, 3, 64, 65, 300] {
        let weights: Vec<u32> = (1..=members).map(|nth| nth % 7 * 100).collect();
        let farm = Farm::new(&weights);
        let all: Vec<u32> = (0..members).collect();
        for name in names() {
            farm.tried(&all);
            assert_eq!(farm.pick(name), None, "{name} of {members}");
            let last = members / 2;
            let others: Vec<u32> = all.iter().copied().filter(|at| *at != last).collect();
            farm.tried(&others);
            assert_eq!(farm.pick(name), Some(last as usize), "{name} of {members}");
        }
    }
    for name in names() {
        assert_eq!(Farm::new(&[]).pick(name), None);
    }
}

#[test]
fn weights_are_read_within_their_limits() {
    let member = MemberRecord::default();
    for (stored, read) in [(0, 1), (1, 1), (10_000, 10_000), (u32::MAX, 10_000)] {
        member.admin.weight.store(stored, Ordering::Relaxed);
        assert_eq!(weight(&member), read);
    }
}

#[test]
fn a_cycle_starts_with_its_plan() {
    let farm = Farm::new(&[100, 250, 300]);
    let turns: Vec<u32> = farm
        .turns
        .iter()
        .map(|turn| turn.load(Ordering::Relaxed) / 3)
        .collect();
    for &turn in turns.iter().chain(&turns) {
        assert_eq!(farm.pick("roundrobin"), Some(turn as usize));
    }
}

#[test]
fn rotation_is_exact_for_both_names() {
    for name in ["roundrobin", "byrequests"] {
        let farm = Farm::new(&[100, 250, 300]);
        assert_eq!(farm.shares(name, 1_300), [200, 500, 600]);
    }
}

/// `d` is twice as heavy; once `a` is tried, its turns go to the others.
#[test]
fn rotation_passes_turns_on() {
    let farm = Farm::new(&[100, 100, 100, 200]);
    farm.tried(&[0]);
    let shares = farm.shares("roundrobin", 4_000);
    assert_eq!((shares[0], shares.iter().sum::<usize>()), (0, 4_000));
    assert!(shares[3] > shares[1] && shares[3] > shares[2]);
}

#[test]
fn rotation_finds_the_light_one_behind_a_long_run_of_the_heavy_one() {
    let farm = Farm::new(&[10_000, 1]);
    farm.tried(&[0]);
    assert_eq!(farm.pick("roundrobin"), Some(1));
    let taken = farm.record.hot.ticket.load(Ordering::Relaxed) - 1_000;
    assert!(taken <= 5, "{taken} tickets for one choice");
}

#[test]
fn without_turns_the_rotation_is_unweighted() {
    let mut farm = Farm::new(&[100, 300]);
    farm.turns.clear();
    assert_eq!(farm.shares("roundrobin", 100), [50, 50]);
}

/// A damaged plan: indices that nobody has.
#[test]
fn unknown_indices_are_passed_over() {
    for name in names() {
        let farm = Farm::new(&[100, 100, 200]);
        farm.turns
            .iter()
            .for_each(|turn| turn.store(u32::MAX, Ordering::Relaxed));
        farm.eligible[0].store(1, Ordering::Relaxed);
        farm.eligible[2].store(u32::MAX, Ordering::Relaxed);
        assert_eq!(farm.pick(name), Some(1), "{name}");
    }
}

#[test]
fn leastconn_compares_what_the_new_request_makes_of_it() {
    for (weights, in_flight, chosen) in [
        (&[100, 100, 100][..], &[3, 1, 2][..], 1),
        // Idle is idle.
        (&[100, 10_000], &[0, 1], 0),
        // 4/4 against 2/1, then 6/4 against 2/1, then 9/4.
        (&[400, 100], &[3, 1], 0),
        (&[400, 100], &[5, 1], 0),
        (&[400, 100], &[8, 1], 1),
        // Below zero is zero.
        (&[100, 100], &[2, -7], 1),
        (&[10_000, 1], &[i64::MAX, i64::MAX], 0),
    ] {
        for _ in 0..3 {
            assert_eq!(
                Farm::new(weights).busy(in_flight).pick("leastconn"),
                Some(chosen)
            );
        }
    }
}

#[test]
fn leastconn_shares_by_weight_when_idle() {
    assert_eq!(Farm::new(&[100; 4]).shares("leastconn", 400), [100; 4]);
    assert_eq!(Farm::new(&[200, 100]).shares("leastconn", 300), [200, 100]);
}

/// Envoy's `least_request` simulation: of three equal members the busy one is passed over.
#[test]
fn leastconn_passes_over_the_busy_one() {
    let farm = Farm::new(&[100; 3]);
    farm.busy(&[0, 1, 0]);
    assert_eq!(farm.shares("leastconn", 300), [100, 0, 200]);
}

#[test]
fn leasttime_weighs_time_requests_and_weight() {
    for (weights, milliseconds, in_flight, chosen) in [
        (&[100, 100][..], &[20, 10][..], &[0, 0][..], 1),
        (&[100, 100], &[20, 10], &[0, 2], 0),
        (&[100, 100], &[20, 11], &[1, 2], 1),
        (&[300, 100], &[20, 10], &[1, 1], 0),
        // Idle is idle.
        (&[300, 100], &[20, 10], &[0, 0], 1),
        (&[300, 100], &[20, 20], &[1, 0], 1),
        (&[100, 100], &[20, 10], &[i64::MIN, i64::MAX], 0),
    ] {
        let farm = Farm::new(weights);
        for _ in 0..3 {
            let pick = farm
                .busy(in_flight)
                .measured(milliseconds)
                .pick("leasttime");
            assert_eq!(pick, Some(chosen), "{milliseconds:?} {in_flight:?}");
        }
    }
}

/// Within half of the fastest one's time.
#[test]
fn leasttime_of_about_equal_members_shares_by_weight() {
    let farm = Farm::new(&[100, 300, 200]);
    farm.measured(&[20, 28, 22]);
    assert_eq!(farm.shares("leasttime", 600), [100, 300, 200]);
    farm.measured(&[20, 2_000, 22]);
    assert_eq!(farm.shares("leasttime", 600)[1], 0);
}

#[test]
fn leasttime_of_unmeasured_members_rotates_and_evens_out() {
    let farm = Farm::new(&[100; 3]);
    assert_eq!(farm.shares("leasttime", 300), [100; 3]);
    farm.busy(&[1, 0, 1]);
    assert_eq!(farm.pick("leasttime"), Some(1));
}

/// Neither a new member nor one whose estimate faded away gets more than an equally fast one.
#[test]
fn leasttime_does_not_take_the_unknown_for_the_fastest() {
    let farm = Farm::new(&[100; 3]);
    farm.busy(&[0, 0, 0]).measured(&[20, 50]);
    let shares = farm.shares("leasttime", 300);
    assert_eq!(shares[1], 0);
    assert!(shares[0] > 0 && shares[2] > 0);
    assert_eq!(farm.busy(&[0, 0, 1]).pick("leasttime"), Some(0));

    let faded = Farm::new(&[100; 2]);
    faded.busy(&[0, 0]).measured(&[20, 20]);
    faded.members[1]
        .hot
        .ewma_at
        .store(NOW - 50 * HALF_LIFE, Ordering::Relaxed);
    assert_eq!(faded.shares("leasttime", 100), [50, 50]);
    assert_eq!(faded.busy(&[0, 1]).pick("leasttime"), Some(0));
}

/// Only the failing member has been "measured": the others' requests are still under way.
#[test]
fn leasttime_does_not_take_a_penalty_for_everybodys_time() {
    let farm = Farm::new(&[100; 2]);
    farm.measured(&[8_000]).busy(&[0, 6]);
    assert_eq!(farm.pick("leasttime"), Some(1));
}

#[test]
fn leasttime_tries_a_slow_member_again_some_time() {
    let farm = Farm::new(&[100; 2]);
    farm.measured(&[20, 80]);
    assert_eq!(farm.shares("leasttime", 10), [10, 0]);
    let later = NOW + 3 * HALF_LIFE;
    ewma::observe(&farm.members[0].hot, 20e3, later, HALF_LIFE);
    let picks: Vec<_> = (0..10)
        .filter_map(|_| farm.pick_at("leasttime", later))
        .collect();
    assert!(picks.contains(&1) && picks.contains(&0));
}

#[test]
fn leasttime_survives_damaged_estimates() {
    for damaged in [f64::NAN, f64::INFINITY, -1.0, f64::MAX, f64::MIN_POSITIVE] {
        let farm = Farm::new(&[100; 2]);
        farm.measured(&[20, 20]);
        farm.members[0]
            .hot
            .ewma
            .store(damaged.to_bits(), Ordering::Relaxed);
        assert!(farm.pick("leasttime").is_some());
    }
}

/// Beyond 64 members: idle ones still share exactly by weight, and the better of few is good.
#[test]
fn sampling_shares_by_weight_and_prefers_the_better() {
    for name in ["leastconn", "leasttime", "traffic"] {
        let farm = Farm::new(&[100; 200]);
        assert_eq!(farm.shares(name, 2_000), [10; 200]);

        // Half of them busy: all that are looked at are of that half in 1 of 256 cases.
        let half: Vec<i64> = (0..200).map(|nth| nth % 2 * 5).collect();
        let shares = farm.busy(&half).shares(name, 20_000);
        let to_busy: usize = shares.iter().skip(1).step_by(2).sum();
        assert!(
            (40..120).contains(&to_busy),
            "{name}: {to_busy} of 20,000 to the busy half"
        );
        assert!(
            shares.iter().step_by(2).all(|&share| share > 120),
            "{name}: {shares:?}"
        );
    }
    let weights: Vec<u32> = (0..80).map(|nth| 100 + nth % 2 * 200).collect();
    let expected: Vec<usize> = (0..80).map(|nth| 10 + nth % 2 * 20).collect();
    assert_eq!(Farm::new(&weights).shares("leastconn", 1_600), expected);
}

#[test]
fn the_sample_is_distinct_and_within_the_list() {
    let mut random = fastrand::Rng::with_seed(3);
    for len in [65, 66, 1_000] {
        for _ in 0..500 {
            let mut drawn = look::sample(len, random.usize(..), &mut random).to_vec();
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), look::SAMPLE);
            assert!(drawn.iter().all(|&at| at < len));
        }
    }
}

/// Whom the next choice compares is known before: the one that is idle among them is chosen.
#[test]
fn the_next_sample_is_known() {
    let farm = Farm::new(&[100; 100]);
    for _ in 0..200 {
        let (plan, mut busy) = (farm.plan(), [1; 100]);
        let ticket = plan.next_ticket(&farm.record, 0);
        let turn = plan.turn(ticket);
        let drawn: Vec<MemberId> = look::drawn(&plan, ticket).collect();
        assert_eq!(drawn.len(), look::SAMPLE);
        let idle = drawn.iter().rfind(|id| Some(**id) != turn).unwrap().0 as usize / 3;
        busy[idle] = 0;
        assert_eq!(farm.busy(&busy).pick("leastconn"), Some(idle));
    }
    let few = Farm::new(&[100; look::ALL]);
    assert_eq!(look::drawn(&few.plan(), 0).count(), 0);
}

#[test]
fn any_member_may_be_drawn_first() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut first = [0_u32; 65];
    (0..65_000).for_each(|ticket| first[look::sample(65, ticket, &mut random)[0]] += 1);
    assert!(
        first.iter().all(|count| (850..1_150).contains(count)),
        "{first:?}"
    );
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    /// Whatever stands on the board, a method names an eligible member and does not panic.
    #[test]
    fn any_board_is_survived(
        cells in prop::collection::vec((any::<i64>(), any::<u64>(), any::<u32>()), 1..80),
        now: u64,
        ticket: u64,
    ) {
        let farm = Farm::new(&vec![100; cells.len()]);
        farm.record.hot.ticket.store(ticket, Ordering::Relaxed);
        for (member, (signed, bits, weight)) in farm.members.iter().zip(&cells) {
            member.hot.inflight.0.store(*bits, Ordering::Relaxed);
            member.hot.lbstatus.store(*signed, Ordering::Relaxed);
            member.hot.ewma.store(*bits, Ordering::Relaxed);
            member.hot.ewma_at.store(*bits, Ordering::Relaxed);
            member.hot.traffic.store(*bits, Ordering::Relaxed);
            member.hot.traffic_at.store(*bits, Ordering::Relaxed);
            member.hot.bytes_out.store(*bits, Ordering::Relaxed);
            member.admin.bytes_in_from.store(*bits, Ordering::Relaxed);
            member.admin.weight.store(*weight, Ordering::Relaxed);
        }
        farm.tried(&[0]);
        for name in names() {
            let pick = farm.pick_at(name, now);
            prop_assert_eq!(pick.is_some(), cells.len() > 1);
            prop_assert_ne!(pick, Some(0));
        }
    }
}
