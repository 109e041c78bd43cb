//! The farm that `make bench-pick` measures follows the engine, although its crate is built there only.

#![cfg(not(loom))]
#![expect(dead_code, reason = "the bench uses more of it")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench may panic"
)]

#[path = "../../tests/bench/pick/src/ours.rs"]
mod ours;

use athena_engine::method;
use ours::Farm;

#[test]
fn every_method_that_needs_no_key_picks_members_in_service() {
    let farm = Farm::with_the_first(3, 10);
    for name in ["roundrobin", "leastconn", "leasttime", "random"] {
        assert!(method::by_name(name).is_some());
        let mut picker = farm.picker(name);
        for _ in 0..100 {
            assert!(picker.time().0 < 3);
        }
    }
}

#[test]
fn a_key_has_one_member() {
    let farm = Farm::of(10);
    let mut picker = farm.picker("hash");
    for key in 0..100 {
        assert_eq!(picker.elect(Some(key)), picker.elect(Some(key)));
    }
}
