//! `random`.

use super::*;

/// Envoy's `least_request` simulation draws with replacement and gives the busy member 11 %.
#[test]
fn the_busy_one_of_three_is_never_chosen() {
    let farm = Farm::new(&[100; 3]);
    farm.busy(&[0, 0, 1]);
    let shares = farm.shares("random", 100_000);
    assert!(
        shares[0].abs_diff(50_000) <= 1_000 && shares[2] == 0,
        "{shares:?}"
    );
}

#[test]
fn idle_members_share_by_weight() {
    let shares = Farm::new(&[100, 300]).shares("random", 40_000);
    assert!(shares[0].abs_diff(10_000) <= 400, "{shares:?}");
}

/// However heavy a busy member is, it is compared with another one.
#[test]
fn a_heavy_member_leaves_room_for_a_second_draw() {
    let farm = Farm::new(&[10_000, 1, 1]);
    farm.busy(&[1_000_000, 0, 0]);
    let shares = farm.shares("random", 2_000);
    assert_eq!(shares[0], 0);
    assert!(shares[1].abs_diff(1_000) <= 150, "{shares:?}");
}

/// Of ten thousand members, the most loaded one is little above the mean.
#[test]
fn two_choices_keep_the_most_loaded_close_to_the_mean() {
    let farm = Farm::new(&vec![100; 10_000]);
    for _ in 0..100_000 {
        let member = farm.pick("random").unwrap();
        farm.members[member].hot.inflight.take(None);
    }
    let loads = farm
        .members
        .iter()
        .map(|member| member.hot.inflight.count());
    assert!(loads.max() <= Some(14));
}
