use super::*;
use crate::board::spec::sample;

fn farm(name: &str, urls: &[&str]) -> FarmSpec {
    sample(name, urls)
}

fn ids(assigned: &[Assigned]) -> Vec<(u32, Vec<u32>)> {
    let ids = |farm: &Assigned| farm.members.iter().map(|given| given.id).collect();
    assigned
        .iter()
        .map(|farm| (farm.farm.id, ids(farm)))
        .collect()
}

#[test]
fn keys_keep_their_records_whatever_the_order() {
    let mut directory = Directory::empty(4);
    let one = directory
        .advance(&[farm("f", &["a", "b"]), farm("g", &["a"])], None)
        .unwrap();
    assert_eq!(ids(&one), [(0, vec![0, 1]), (1, vec![2])]);
    let two = directory
        .advance(&[farm("g", &["a"]), farm("f", &["b", "a"])], None)
        .unwrap();
    assert_eq!(ids(&two), [(1, vec![2]), (0, vec![1, 0])]);
    assert!(!two[0].farm.fresh && !two[1].members[0].fresh);
    assert_eq!(directory.generation, 3);
}

#[test]
fn a_retired_record_waits_for_its_generation() {
    let mut directory = Directory::empty(4);
    directory.advance(&[farm("f", &["a", "b"])], None).unwrap();
    // Generation 3 drops b; children of generation 2 live through 4.
    let three = directory
        .advance(&[farm("f", &["a", "c"])], Some(2))
        .unwrap();
    assert_eq!(ids(&three), [(0, vec![0, 2])]);
    assert_eq!(directory.members[1].life, Life::Retired(2));
    let four = directory
        .advance(&[farm("f", &["a", "d"])], Some(2))
        .unwrap();
    assert_eq!(ids(&four), [(0, vec![0, 3])]);
    // Generation 2 is gone, 3 is not: b's record is free, c's is not.
    let five = directory
        .advance(&[farm("f", &["a", "e"])], Some(3))
        .unwrap();
    assert_eq!(ids(&five), [(0, vec![0, 1])]);
    assert!(five[0].members[1].fresh);
    // Nobody lives: all but what this pass retires is free, lowest first.
    let six = directory
        .advance(&[farm("f", &["a", "x", "y", "z"])], None)
        .unwrap();
    assert_eq!(ids(&six), [(0, vec![0, 2, 3, 4])]);
}

#[test]
fn a_member_that_returns_in_time_has_its_record_back() {
    let mut directory = Directory::empty(4);
    directory.advance(&[farm("f", &["a", "b"])], None).unwrap();
    directory.advance(&[farm("f", &["a"])], Some(2)).unwrap();
    let back = directory
        .advance(&[farm("f", &["a", "b"])], Some(2))
        .unwrap();
    assert_eq!(
        back[0].members[1],
        Given {
            id: 1,
            fresh: false
        }
    );
}

#[test]
fn a_farm_that_went_gives_its_record_to_another() {
    let mut directory = Directory::empty(4);
    directory.advance(&[farm("f", &["a"])], None).unwrap();
    directory.advance(&[farm("g", &["a"])], None).unwrap();
    let three = directory
        .advance(&[farm("h", &["a"]), farm("g", &["a"])], None)
        .unwrap();
    assert_eq!(ids(&three), [(0, vec![0]), (1, vec![1])]);
    assert!(three[0].farm.fresh && !three[1].farm.fresh);
}

#[test]
fn extents_are_appended_only_when_capacity_is_used_up() {
    let mut directory = Directory::empty(4);
    directory.advance(&[sample("f", 0..3)], None).unwrap();
    let (extents, total) = (directory.extents.clone(), directory.total);
    directory.advance(&[sample("f", 0..8)], None).unwrap();
    assert_eq!((&directory.extents, directory.total), (&extents, total));
    directory.advance(&[sample("f", 0..9)], None).unwrap();
    assert_eq!(
        directory.extents.len(),
        extents.len() + 1,
        "a larger plan area"
    );
    assert_eq!(directory.extents[4].count, 16);
    directory.advance(&[sample("f", 0..33)], None).unwrap();
    let last = &directory.extents[5..];
    assert_eq!(
        (last[0].kind, last[0].first, last[0].count),
        (Kind::Members, 32, 32)
    );
    assert_eq!((last[1].kind, last[1].count), (Kind::Plan, 40));
    let mut offset = first_extent(4);
    for extent in &directory.extents {
        assert_eq!(extent.offset, offset);
        offset += extent.length(4);
    }
    assert_eq!(offset, directory.total);
}

#[test]
fn a_farm_that_comes_back_to_hash_has_its_table_back() {
    let mut directory = Directory::empty(4);
    let mut advance = |hashed, members| {
        let spec = |name, members, hashed| FarmSpec {
            hashed,
            ..sample(name, 0..members)
        };
        let specs = [
            spec("e", 1, true),
            spec("f", members, hashed),
            spec("g", 1, true),
        ];
        directory.advance(&specs, Some(2)).unwrap();
        (directory.farms[1].table, directory.total)
    };
    let first = advance(true, 3);
    assert_eq!(advance(false, 3), (None, first.1));
    assert_eq!(advance(true, 3), first);
    // One that belongs to a smaller plan is not for the larger one.
    advance(false, 9);
    let larger = advance(true, 9);
    assert_ne!(larger.0, first.0);
    advance(false, 9);
    assert_eq!(advance(true, 9), larger);
}

#[test]
fn one_key_twice_is_refused() {
    for specs in [
        vec![farm("f", &["a", "a"])],
        vec![farm("f", &[]), farm("f", &["a"])],
    ] {
        let error = Directory::empty(4).advance(&specs, None).unwrap_err();
        assert!(matches!(error, BoardError::Twice { .. }), "{error}");
    }
}
