//! `bytraffic` and `traffic`.

use super::*;

impl Farm {
    /// What members carried since the beginning: bytes in and out.
    fn carried(&self, bytes: &[(u64, u64)]) -> &Self {
        for (member, &(sent, received)) in self.members.iter().zip(bytes) {
            member.hot.bytes_in.store(sent, Ordering::Relaxed);
            member.hot.bytes_out.store(received, Ordering::Relaxed);
        }
        self
    }

    /// A request of so many bytes ends at a member.
    fn answered(&self, method: &str, at: usize, bytes: u64, now: Micros) {
        let hot = &self.members[at].hot;
        hot.served.fetch_add(1, Ordering::Relaxed);
        hot.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        by_name(method).unwrap().learn(hot, bytes, now, HALF_LIFE);
    }
}

#[test]
fn bytraffic_is_stock_httpds_rule() {
    for (weights, bytes, chosen) in [
        (
            &[100, 100, 100][..],
            &[(0, 500), (300, 100), (200, 300)][..],
            1,
        ),
        (&[100, 300], &[(0, 1_000), (0, 2_000)], 1),
        // Both parts are divided without a remainder, as httpd divides them.
        (&[100, 100], &[(99, 99), (0, 0)], 0),
        (&[100, 100], &[(100, 0), (99, 99)], 1),
        // Of equals the first.
        (&[100, 200], &[(100, 100), (200, 200)], 0),
        (
            &[10_000, 1],
            &[(u64::MAX, u64::MAX), (u64::MAX, u64::MAX)],
            0,
        ),
    ] {
        let farm = Farm::new(weights);
        farm.carried(bytes);
        for _ in 0..3 {
            assert_eq!(farm.pick("bytraffic"), Some(chosen), "{bytes:?}");
        }
    }
}

#[test]
fn bytraffic_shares_requests_without_bodies_by_weight() {
    let farm = Farm::new(&[100, 200]);
    // One is ahead by a small answer, and does not stay so.
    farm.carried(&[(0, 900), (0, 0)]);
    let elected = |at: usize| farm.members[at].hot.elected.fetch_add(1, Ordering::Relaxed);
    for _ in 0..300 {
        elected(farm.pick("bytraffic").unwrap());
    }
    let had = elected(0);
    assert!((98..=100).contains(&had), "{had}");
}

#[test]
fn bytraffic_counts_from_where_it_began() {
    let farm = Farm::new(&[100; 2]);
    farm.carried(&[(1_000, 90_000), (0, 0)]);
    assert_eq!(farm.pick("bytraffic"), Some(1));
    let anew = |why| {
        for member in &farm.members {
            start_anew(member, why);
        }
    };
    anew(Anew::Weight);
    assert_eq!(farm.pick("bytraffic"), Some(1));
    anew(Anew::Return);
    assert_eq!(farm.pick("bytraffic"), Some(0));
    farm.carried(&[(1_000, 90_500), (0, 100)]);
    assert_eq!(farm.pick("bytraffic"), Some(1));
}

/// Its share in each tenth of the slow start, of 100 requests, and afterwards.
#[test]
fn bytraffic_gives_a_member_in_its_slow_start_no_more_than_its_share() {
    const TIME: Micros = 10_000_000;
    let farm = Farm::new(&[100, 200, 300]);
    let health = &farm.members[0].health;
    health.warm_from.store(NOW, Ordering::Relaxed);
    health.warm_for.store(TIME, Ordering::Relaxed);
    farm.record
        .cold
        .warm_until
        .store(NOW + TIME, Ordering::Relaxed);
    let shares: Vec<usize> = (0..14)
        .map(|tenth| {
            let times = (0..600).map(|nth| NOW + tenth * TIME / 10 + nth * TIME / 6_000);
            times
                .filter(|now| {
                    let at = farm.pick_at("bytraffic", *now).unwrap();
                    farm.members[at].hot.elected.fetch_add(1, Ordering::Relaxed);
                    farm.answered("bytraffic", at, 500, *now);
                    at == 0
                })
                .count()
        })
        .collect();
    assert!(shares.iter().all(|share| *share <= 102), "{shares:?}");
    assert!(shares[0] <= 60 && shares[9] >= 80, "{shares:?}");
    assert!(shares[11..].iter().all(|share| *share >= 98), "{shares:?}");
}

#[test]
fn a_choice_of_others_counts_in_the_balance() {
    let farm = Farm::new(&[100, 300]);
    let method = by_name("bybusyness").unwrap();
    method.passed_over(&mut farm.members.iter(), 2, &farm.members[0]);
    // The first one has had its turn, and the sum is 0.
    let balances: Vec<i64> = farm
        .members
        .iter()
        .map(|member| member.hot.lbstatus.load(Ordering::Relaxed))
        .collect();
    assert_eq!(balances, [-300, 300]);
    assert_eq!(farm.pick("bybusyness"), Some(1));
}

#[test]
fn traffic_weighs_bytes_and_weight() {
    for (weights, bytes, chosen) in [
        (&[100, 100][..], &[5_000, 1_000][..], 1),
        (&[400, 100], &[5_000, 2_000], 0),
        (&[100, 100, 100], &[3_000, 2_000, 1_000], 2),
    ] {
        let farm = Farm::new(weights);
        for (at, &bytes) in bytes.iter().enumerate() {
            farm.answered("traffic", at, bytes, NOW);
        }
        for _ in 0..3 {
            assert_eq!(farm.pick("traffic"), Some(chosen), "{weights:?} {bytes:?}");
        }
    }
}

#[test]
fn traffic_of_equals_takes_turns_by_weight() {
    assert_eq!(Farm::new(&[200, 100]).shares("traffic", 300), [200, 100]);
}

/// What was carried yesterday says nothing today.
#[test]
fn traffic_forgets() {
    let farm = Farm::new(&[100; 2]);
    farm.answered("traffic", 0, 1_000_000, NOW);
    let later = NOW + 10 * HALF_LIFE;
    farm.answered("traffic", 1, 5_000, later);
    assert_eq!(farm.pick_at("traffic", later), Some(0));
}

/// Ten long downloads at once: none has ended, and each member has its share of them.
#[test]
fn traffic_counts_what_is_under_way() {
    let farm = Farm::new(&[100; 2]);
    farm.answered("traffic", 0, 1_000_000, NOW);
    farm.answered("traffic", 1, 900_000, NOW);
    let mut shares = [0_usize; 2];
    for _ in 0..10 {
        let pick = farm.pick("traffic").unwrap();
        farm.members[pick].hot.inflight.take(None);
        shares[pick] += 1;
    }
    assert_eq!(shares, [5, 5]);
}

/// A member that comes back, or is new, gets its share and not everything.
#[test]
fn traffic_lets_a_newcomer_in_at_the_level_of_the_others() {
    let farm = Farm::new(&[100; 3]);
    let mut now = NOW;
    for at in 0..2 {
        farm.answered("traffic", at, 1_000_000, now);
    }
    let mut shares = [0_usize; 3];
    for _ in 0..300 {
        now += 10_000;
        let pick = farm.pick_at("traffic", now).unwrap();
        farm.answered("traffic", pick, 1_000, now);
        shares[pick] += 1;
    }
    assert!(
        shares.iter().all(|share| (90..=110).contains(share)),
        "{shares:?}"
    );
}
