//! Methods that keep stock httpd's running balance.

use super::*;
use crate::method::look::ALL;

/// Stock's rule, transcribed, with requests of sessions mixed in and members that are away for a
/// while; what the method chooses must be what it chooses.
#[test]
fn byrequests_is_stock_httpds_rule() {
    let weights = [100, 350, 200, 100];
    let farm = Farm::new(&weights);
    let method = by_name("byrequests").unwrap();
    let mut balances = [0_i64; 4];
    let mut random = fastrand::Rng::with_seed(12);
    let mut away: Vec<u32> = Vec::new();
    for round in 0..5_000 {
        if round % 50 == 0 {
            away = (0..4).filter(|_| random.u8(..3) == 0).collect();
        }
        let there: Vec<usize> = (0..4)
            .filter(|at| !away.iter().any(|gone| *gone as usize == *at))
            .collect();
        for &at in &there {
            balances[at] += i64::from(weights[at]);
        }
        let chosen = if random.u8(..4) == 0 && !there.is_empty() {
            let its = random.choice(&there).copied();
            // As a farm's list: longest by far with the empty seats of members that may join.
            let empty = [None; 2 * ALL].into_iter().flatten();
            let mut usable = there.iter().map(|&at| &farm.members[at]).chain(empty);
            method.passed_over(&mut usable, there.len(), &farm.members[its.unwrap()]);
            its
        } else {
            let best = there.iter().copied().reduce(|best, next| {
                if balances[next] > balances[best] {
                    next
                } else {
                    best
                }
            });
            assert_eq!(farm.tried(&away).pick("byrequests"), best);
            best
        };
        if let Some(chosen) = chosen {
            balances[chosen] -= there.iter().map(|&at| i64::from(weights[at])).sum::<i64>();
        }
    }
    let ours = farm
        .members
        .iter()
        .map(|m| m.hot.lbstatus.load(Ordering::Relaxed));
    assert_eq!(ours.collect::<Vec<_>>(), balances);
}

/// Ten threads at once: whatever they do to each other, every choice is paid for, and nobody is
/// further from its share than they are many.
#[test]
fn byrequests_loses_nothing_among_many() {
    let weights = [100, 200, 300];
    let farm = Farm::new(&weights);
    let shares = std::thread::scope(|scope| {
        let one = || scope.spawn(|| farm.shares("byrequests", 1_200));
        let all: Vec<_> = std::iter::repeat_with(one).take(10).collect();
        all.into_iter()
            .map(|one| one.join().unwrap())
            .fold([0; 3], |sum, shares| {
                std::array::from_fn(|at| sum[at] + shares[at])
            })
    });
    for (share, fair) in shares.into_iter().zip([2_000_usize, 4_000, 6_000]) {
        assert!(share.abs_diff(fair) <= 10, "{shares:?}");
    }
    let sum: i64 = farm
        .members
        .iter()
        .map(|m| m.hot.lbstatus.load(Ordering::Relaxed))
        .sum();
    assert_eq!(sum, 0);
}

/// Stock's rule, transcribed; what the method chooses must be what it chooses.
#[test]
fn bybusyness_is_stock_httpds_rule() {
    let weights = [100, 300, 200, 100];
    let farm = Farm::new(&weights);
    let mut balances = [0_i64; 4];
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..2_000 {
        let busy: Vec<i64> = (0..4).map(|_| random.i64(-1..4)).collect();
        let mut best: Option<usize> = None;
        for at in 0..4 {
            balances[at] += i64::from(weights[at]);
            let key = |at: usize| (busy[at].max(0), -balances[at]);
            if best.is_none_or(|best| key(at) < key(best)) {
                best = Some(at);
            }
        }
        balances[best.unwrap()] -= 700;
        assert_eq!(farm.busy(&busy).pick("bybusyness"), best);
    }
    let ours: Vec<i64> = farm
        .members
        .iter()
        .map(|member| member.hot.lbstatus.load(Ordering::Relaxed))
        .collect();
    assert_eq!(ours, balances);
}

#[test]
fn bybusyness_of_idle_members_is_a_weighted_rotation() {
    assert_eq!(
        Farm::new(&[100, 200, 500]).shares("bybusyness", 800),
        [100, 200, 500]
    );
}

/// As stock's `recalc_factors` and `reset` have it; and a member that comes back changes no balance.
#[test]
fn what_starts_balances_anew() {
    let farm = Farm::new(&[100, 300]);
    let balances = || {
        let of = |member: &MemberRecord| member.hot.lbstatus.load(Ordering::Relaxed);
        farm.members.iter().map(of).collect::<Vec<_>>()
    };
    farm.pick("byrequests");
    for (why, expected) in [
        (Anew::Return, [100, -100]),
        (Anew::Weight, [100, 300]),
        (Anew::Method, [0, 0]),
    ] {
        for member in &farm.members {
            start_anew(member, why);
        }
        assert_eq!(balances(), expected, "{why:?}");
    }
}
