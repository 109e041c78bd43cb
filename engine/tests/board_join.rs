//! Members that join at run time: one seat for all children, and their own record afterwards.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod board_support;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use athena_engine::board::{Attached, Board, FarmSpec, MemberSeat, MemberSpec, Settings, Storage};
use athena_engine::{FarmId, MemberId};
use board_support::{directory, farm, names};

/// A farm `f` with room for two more.
fn growing(urls: &[&str]) -> FarmSpec {
    FarmSpec {
        spares: 2,
        ..farm("f", urls)
    }
}

/// Set up at run time as balancer-manager does: disabled.
fn joining(url: &str) -> MemberSpec {
    MemberSpec {
        stored: Some(Settings {
            flags: 1,
            ..Settings::default()
        }),
        ..farm("f", &[url]).members.remove(0)
    }
}

fn join(board: &Board, attached: &Attached, spare: usize, url: &str) -> bool {
    let lock = board.lock(FarmId(0), Duration::from_secs(1)).unwrap();
    let seat = attached.farms[0].spares[spare];
    board
        .occupy(&lock, &growing(&[]), seat, 7, &joining(url))
        .unwrap()
}

fn ids(seats: &[MemberSeat]) -> Vec<u32> {
    seats.iter().map(|seat| seat.id.0).collect()
}

#[test]
fn the_first_child_writes_and_the_others_find() {
    let (board, attached) = Board::open(Storage::Memory, 4, &[growing(&["http://a"])], 1).unwrap();
    let seats = &attached.farms[0];
    assert_eq!(
        (ids(&seats.members), ids(&seats.spares)),
        (vec![0], vec![1, 2])
    );
    assert!(
        seats.plan.capacity().eligible >= 3,
        "room for all of them in a plan"
    );
    assert!(board.cell(board.claim(1).unwrap(), MemberId(2)).is_some());
    assert!(join(&board, &attached, 0, "http://b"));
    let admin = &seats.spares[0].record.admin;
    assert_eq!((admin.flags(), admin.weight()), (1, 100));
    assert_eq!(admin.position.load(Relaxed), 7);
    admin.weight.store(300, Relaxed);
    assert!(!join(&board, &attached, 0, "http://b"), "taken by itself");
    assert_eq!(admin.weight(), 300);
    assert!(join(&board, &attached, 1, "http://c"));
}

#[test]
fn names_that_do_not_fit_take_no_seat() {
    let (board, attached) = Board::open(Storage::Memory, 4, &[growing(&[])], 1).unwrap();
    let lock = board.lock(FarmId(0), Duration::from_secs(1)).unwrap();
    let seat = attached.farms[0].spares[0];
    let long = joining(&"u".repeat(400));
    assert!(board.occupy(&lock, &growing(&[]), seat, 0, &long).is_err());
    assert_eq!(seat.record.admin.lifecycle.load(Relaxed), 0);
}

/// A member that is still there after a graceful restart (`BalancerPersist`) keeps its record and
/// what people set; one that is not leaves a record that is freed when no older child lives.
#[test]
fn the_next_generation_knows_who_joined() {
    let (mut board, first) = Board::open(Storage::Memory, 4, &[growing(&["http://a"])], 1).unwrap();
    board.claim(100);
    join(&board, &first, 0, "http://b");
    join(&board, &first, 1, "http://c");
    let joined = first.farms[0].spares[0].record;
    joined.hot.elected.store(42, Relaxed);
    joined.admin.flags.store(0, Relaxed);

    // By then it is a member like others; what mod_proxy kept is older than what the board knows.
    let mut spec = growing(&["http://a"]);
    spec.members.push(joining("http://b"));
    let second = board.attach(&[spec.clone()], 1).unwrap();
    let seats = &second.farms[0];
    assert_eq!(ids(&seats.members), [0, 1]);
    assert_eq!(
        ids(&seats.spares),
        [3, 4],
        "older children still have theirs"
    );
    assert_eq!(joined.hot.elected.load(Relaxed), 42);
    assert_eq!(joined.admin.flags(), 0);
    assert_eq!(second.notices, []);

    board.release(100);
    let third = board.attach(&[spec], 1).unwrap();
    assert_eq!(
        ids(&third.farms[0].spares),
        [2, 5],
        "its record is free again"
    );
}

/// A member that was configured, went, joined at run time and is configured again: the last one counts.
#[test]
fn who_joined_comes_before_a_record_of_former_days() {
    for lives in [false, true] {
        let before = growing(&["http://a", "http://b"]);
        let (mut board, first) =
            Board::open(Storage::Memory, 4, std::slice::from_ref(&before), 1).unwrap();
        board.claim(100);
        let second = board.attach(&[growing(&["http://a"])], 1).unwrap();
        board.claim(200);
        join(&board, &second, 0, "http://b");
        let joined = second.farms[0].spares[0].record;
        joined.hot.elected.store(42, Relaxed);
        joined.admin.weight.store(250, Relaxed);
        if !lives {
            board.release(100);
        }
        let third = board.attach(&[before], 1).unwrap();
        let record = third.farms[0].members[1].record;
        assert!(std::ptr::eq(record, joined), "its own");
        assert_eq!(record.hot.elected.load(Relaxed), 42);
        assert_eq!(record.admin.weight(), 250);
        let former = first.farms[0].members[1].record;
        assert!(!std::ptr::eq(record, former));
    }
}

/// The board file of a server where the same member joined in two generations.
#[test]
fn a_full_start_restores_who_joined() {
    let directory = directory("a_full_start_restores_who_joined");
    let storage = Storage::File(directory.join("board"));
    let (mut board, first) = Board::open(storage.clone(), 4, &[growing(&["http://a"])], 1).unwrap();
    board.claim(100);
    join(&board, &first, 0, "http://b");
    let second = board.attach(&[growing(&["http://a"])], 1).unwrap();
    join(&board, &second, 1, "http://b");
    let joined = second.farms[0].spares[1].record;
    joined.hot.elected.store(7, Relaxed);
    joined.admin.weight.store(250, Relaxed);
    board.close();

    let mut spec = growing(&["http://a"]);
    spec.members.push(joining("http://b"));
    let (board, third) = Board::open(storage, 4, &[spec], 1).unwrap();
    assert_eq!(third.notices, []);
    assert_eq!(names(&directory), ["board"]);
    let record = third.farms[0].members[1].record;
    assert_eq!(record.hot.elected.load(Relaxed), 7);
    assert_eq!((record.admin.weight(), record.admin.flags()), (250, 1));
    board.close();
}

/// What somebody else remembers of people's changes counts where the board remembers nothing.
#[test]
fn stored_settings_are_second_to_the_boards() {
    let mut spec = farm("f", &["http://a"]);
    spec.members[0].stored = Some(Settings {
        weight: 400,
        ..Settings::default()
    });
    let (mut board, first) = Board::open(Storage::Memory, 4, &[spec.clone()], 1).unwrap();
    let admin = &first.farms[0].members[0].record.admin;
    assert_eq!(admin.weight(), 400);
    admin.weight.store(500, Relaxed);
    board.attach(&[spec.clone()], 1).unwrap();
    assert_eq!(admin.weight(), 500);
    spec.members[0].settings.weight = 200;
    assert_eq!(board.attach(&[spec], 1).unwrap().notices.len(), 1);
    assert_eq!(
        admin.weight(),
        200,
        "a changed configuration wins over both"
    );
}
