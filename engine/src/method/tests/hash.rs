//! `hash`.

use super::*;
use crate::board::inflight::Totals;
use crate::board::limit::Limit;
use crate::hashkey::hash;

impl Farm {
    fn pick_for(&self, key: &str, balance: Option<u32>) -> usize {
        *self.affinity.lock().unwrap() = Affinity {
            key: Some(hash([key.as_bytes()])),
            balance,
        };
        self.pick("hash").unwrap()
    }

    fn begin(&self, member: usize) {
        self.totals(member).take(Limit::default());
    }

    fn end(&self, member: usize) {
        self.totals(member).give_back(1);
    }

    fn totals(&self, member: usize) -> Totals<'_> {
        Totals {
            member: &self.members[member].hot.inflight,
            farm: Some(&self.record.hot.inflight),
        }
    }

    fn in_flight(&self) -> Vec<u64> {
        self.members.iter().map(in_flight).collect()
    }
}

#[test]
fn one_key_has_one_member_and_keys_share_by_weight() {
    let farm = Farm::new(&[100, 100, 200]);
    let mut shares = [0_usize; 3];
    for key in 0..8_000 {
        let key = key.to_string();
        let member = farm.pick_for(&key, None);
        assert_eq!(farm.pick_for(&key, None), member);
        shares[member] += 1;
    }
    for (share, fair) in shares.into_iter().zip([2_000, 2_000, 4_000]) {
        assert!(share.abs_diff(fair) < 200, "{shares:?}");
    }
}

#[test]
fn without_a_key_or_a_table_requests_take_turns() {
    let mut farm = Farm::new(&[100; 3]);
    assert_eq!(farm.shares("hash", 300), [100; 3]);
    farm.table.clear();
    *farm.affinity.lock().unwrap() = Affinity {
        key: Some(1),
        balance: None,
    };
    assert_eq!(farm.shares("hash", 300), [100; 3]);
}

#[test]
fn keys_of_a_member_that_was_tried_spread_over_the_others_and_no_other_moves() {
    let farm = Farm::new(&[100; 5]);
    let keys: Vec<String> = (0..5_000).map(|key| key.to_string()).collect();
    let before: Vec<usize> = keys.iter().map(|key| farm.pick_for(key, None)).collect();
    farm.tried(&[2]);
    let mut heirs = [0_usize; 5];
    for (key, &member) in keys.iter().zip(&before) {
        let now = farm.pick_for(key, None);
        if member == 2 {
            heirs[now] += 1;
        } else {
            assert_eq!(now, member);
        }
    }
    assert_eq!(heirs[2], 0);
    let heirs: Vec<usize> = heirs.into_iter().filter(|&count| count > 0).collect();
    assert!(
        heirs.iter().all(|&count| count.abs_diff(250) < 80),
        "{heirs:?}"
    );
}

/// Zipf's law with the exponent 1.1: a tenth of all requests has one key.
#[test]
fn the_bound_holds_under_zipf() {
    let weights = [100; 20];
    let farm = Farm::new(&weights);
    let mut random = fastrand::Rng::with_seed(5);
    let distribution: Vec<f64> = (1..=10_000)
        .scan(0.0, |sum, rank| {
            *sum += f64::from(rank).powf(-1.1);
            Some(*sum)
        })
        .collect();
    let total = distribution.last().copied().unwrap();
    let mut under_way: Vec<usize> = Vec::new();
    let (mut own, mut requests) = (0, 0);
    for step in 0..60_000 {
        if step < 200 || random.bool() {
            let drawn = random.f64() * total;
            let key = distribution.partition_point(|&sum| sum < drawn).to_string();
            let member = farm.pick_for(&key, Some(125));
            requests += 1;
            own += usize::from(member == farm.pick_for(&key, None));
            farm.begin(member);
            under_way.push(member);
            let loads = farm.in_flight();
            let all: u64 = loads.iter().sum();
            // 1.25 times the mean of 20.
            assert!(loads[member] <= all.div_ceil(16), "{loads:?}");
        } else if !under_way.is_empty() {
            farm.end(under_way.swap_remove(random.usize(..under_way.len())));
        }
    }
    println!("{own} of {requests} requests at their own member");
    assert!(own * 100 > requests * 60);
}

#[test]
fn the_bound_follows_the_weights() {
    let farm = Farm::new(&[100, 300]);
    for _ in 0..400 {
        farm.begin(farm.pick_for("one and the same", Some(101)));
    }
    let loads = farm.in_flight();
    assert!(loads[0].abs_diff(100) <= 3, "{loads:?}");
}

/// A damaged total, and one that says everybody is full: it goes by the members' loads then.
#[test]
fn somebody_is_found_whatever_the_total_says() {
    let farm = Farm::new(&[100; 200]);
    farm.busy(&[7; 200]);
    farm.end(150);
    for total in [i32::MIN, -1, 0, i32::MAX] {
        let word = u64::from(total.cast_unsigned());
        let expected = if total == i32::MAX {
            farm.pick_for("key", None)
        } else {
            150
        };
        farm.record.hot.inflight.0.store(word, Ordering::Relaxed);
        assert_eq!(farm.pick_for("key", Some(125)), expected, "{total}");
    }
}
