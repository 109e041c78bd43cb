//! Members that people add and remove at run time: seats, who has them, and what becomes of them at
//! restarts.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod board_support;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use athena_engine::FarmId;
use athena_engine::board::inflight::{self, Totals};
use athena_engine::board::record::flags;
use athena_engine::board::{Attached, Board, FarmSpec, MemberSeat, MemberSpec, Storage};
use board_support::{Random, directory, farm, restarted};

/// A farm `f` with three seats.
fn open(urls: &[&str]) -> FarmSpec {
    FarmSpec {
        seats: 3,
        ..farm("f", urls)
    }
}

fn member(url: &str) -> MemberSpec {
    farm("f", &[url]).members.remove(0)
}

fn add(board: &Board, seat: MemberSeat, url: &str, line: &str) -> u32 {
    let held = board.lock(FarmId(0), Duration::from_secs(1)).unwrap();
    assert!(board.is_vacant(seat));
    board
        .admit(&held, &open(&[]), seat, 9, &member(url), line)
        .unwrap()
}

fn remove(board: &Board, seat: MemberSeat) {
    let held = board.lock(FarmId(0), Duration::from_secs(1)).unwrap();
    board.dismiss(&held, seat);
}

/// URL and line of those that have a seat, in order.
fn added(attached: &Attached) -> Vec<(String, String)> {
    let seats = attached.farms[0].seats.iter();
    seats
        .filter_map(MemberSeat::added)
        .map(|added| (added.url, added.line))
        .collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(url, line): &(&str, &str)| ((*url).to_owned(), (*line).to_owned());
    of.iter().map(owned).collect()
}

#[test]
fn a_seat_has_one_member_after_the_other() {
    let (board, attached) = Board::open(Storage::Memory, 4, &[open(&["http://a"])], 1).unwrap();
    let seat = attached.farms[0].seats[0];
    let roster = &attached.farms[0].record.cold.roster;
    assert!(seat.is_new() && board.is_vacant(seat) && seat.added().is_none());
    let first = add(&board, seat, "http://b", "route=b");
    assert!(seat.is_still(first) && !board.is_vacant(seat));
    assert_eq!(added(&attached), pairs(&[("http://b", "route=b")]));
    seat.record.hot.served.store(7, Relaxed);
    remove(&board, seat);
    assert!(!seat.is_still(first) && board.is_vacant(seat));
    assert_eq!(added(&attached), []);
    let second = add(&board, seat, "http://c", "");
    assert!(seat.is_still(second) && !seat.is_still(first));
    assert_eq!(seat.record.hot.served.load(Relaxed), 0);
    assert_eq!(roster.load(Relaxed), 3);
}

#[test]
fn a_seat_is_vacant_when_no_child_has_a_request_there() {
    let (board, attached) = Board::open(Storage::Memory, 4, &[open(&["http://a"])], 1).unwrap();
    let seat = attached.farms[0].seats[1];
    add(&board, seat, "http://b", "");
    let cell = board.cell(board.claim(100).unwrap(), seat.id).unwrap();
    let totals = Totals {
        member: &seat.record.hot.inflight,
        farm: None,
    };
    assert!(inflight::open(cell, totals, None.into()));
    remove(&board, seat);
    assert!(!board.is_vacant(seat));
    inflight::close(cell, totals);
    assert!(board.is_vacant(seat));
    // A killed child's go with it.
    assert!(inflight::open(cell, totals, None.into()));
    assert!(!board.is_vacant(seat));
    board.release(100);
    assert!(board.is_vacant(seat));
}

#[test]
fn what_has_no_room_takes_no_seat() {
    let (board, attached) = Board::open(Storage::Memory, 4, &[open(&[])], 1).unwrap();
    let seat = attached.farms[0].seats[0];
    let held = board.lock(FarmId(0), Duration::from_secs(1)).unwrap();
    for (url, line) in [
        ("u".repeat(400), ""),
        ("http://b".into(), &*"l".repeat(513)),
    ] {
        let spec = member(&url);
        assert!(
            board
                .admit(&held, &open(&[]), seat, 0, &spec, line)
                .is_err()
        );
        assert!(board.is_vacant(seat) && seat.added().is_none());
    }
}

/// Those that were added keep their records over a graceful restart, whatever seats they had; who was
/// removed does not come back; and a member that is configured by then is that.
#[test]
fn the_next_generation_knows_who_was_added() {
    let (mut board, first) = Board::open(Storage::Memory, 4, &[open(&["http://a"])], 1).unwrap();
    board.claim(100);
    let seats = &first.farms[0].seats;
    add(&board, seats[1], "http://b", "");
    add(&board, seats[2], "http://c", "route=c");
    add(&board, seats[0], "http://d", "");
    remove(&board, seats[1]);
    add(&board, seats[1], "http://e", "");
    remove(&board, seats[0]);
    add(&board, seats[0], "http://b", "x");
    seats[2].record.hot.served.store(42, Relaxed);
    seats[2].record.admin.weight.store(300, Relaxed);

    let mut spec = open(&["http://a"]);
    let second = board.attach(&[spec.clone()], 1).unwrap();
    let all = [("http://b", "x"), ("http://e", ""), ("http://c", "route=c")];
    assert_eq!(added(&second), pairs(&all));
    assert_eq!(second.farms[0].seats[2].id, seats[2].id);
    assert_eq!(seats[2].record.hot.served.load(Relaxed), 42);
    assert_eq!(seats[2].record.admin.weight(), 300);

    spec.members.push(member("http://c"));
    let mut board = restarted(board);
    let third = board.attach(&[spec.clone()], 1).unwrap();
    assert_eq!(added(&third), pairs(&all[..2]));
    assert_eq!(third.farms[0].seats.len(), 3);
    let configured = third.farms[0].members[1].record;
    assert_eq!(configured.hot.served.load(Relaxed), 42);
    assert_eq!((configured.admin.weight(), third.notices), (100, vec![]));

    // Out of the configuration again, and added again: one of that URL, with a record of its own.
    spec.members.pop();
    let fourth = board.attach(&[spec.clone()], 1).unwrap();
    add(&board, fourth.farms[0].seats[2], "http://c", "again");
    let fifth = board.attach(&[spec.clone()], 1).unwrap();
    assert_eq!(
        added(&fifth)[2],
        ("http://c".to_owned(), "again".to_owned())
    );

    // Without seats, nobody stays.
    spec.seats = 0;
    assert_eq!(added(&board.attach(&[spec.clone()], 1).unwrap()), []);
    spec.seats = 3;
    assert_eq!(added(&board.attach(&[spec], 1).unwrap()), []);
}

#[test]
fn a_full_start_restores_who_was_added() {
    let directory = directory("a_full_start_restores_who_was_added");
    let storage = Storage::File(directory.join("board"));
    let (board, first) = Board::open(storage.clone(), 4, &[open(&["http://a"])], 1).unwrap();
    let seats = &first.farms[0].seats;
    add(&board, seats[0], "http://b", "");
    add(&board, seats[1], "http://c", "route=c hcmethod=TCP");
    add(&board, seats[2], "http://d", "");
    remove(&board, seats[0]);
    let record = seats[1].record;
    record.hot.served.store(42, Relaxed);
    record.admin.weight.store(300, Relaxed);
    for seat in &seats[1..] {
        seat.record.admin.flags.store(flags::CHECK_FAILED, Relaxed);
    }
    seats[2].record.admin.leaving.store(1, Relaxed);
    board.close();

    let configured = open(&["http://a", "http://d"]);
    let (board, second) = Board::open(storage.clone(), 4, &[configured], 1).unwrap();
    assert_eq!(
        added(&second),
        pairs(&[("http://c", "route=c hcmethod=TCP")])
    );
    let seat = second.farms[0].seats[0];
    assert_eq!(seat.record.hot.served.load(Relaxed), 42);
    assert_eq!(seat.record.admin.weight(), 300);
    // Its checks go on; whether those of a configured member do, nobody knows here.
    assert_eq!(seat.record.admin.flags(), flags::CHECK_FAILED);
    let admin = &second.farms[0].members[1].record.admin;
    assert_eq!((admin.leaving.load(Relaxed), admin.flags()), (0, 0));
    board.close();

    let (_, third) = Board::open(storage, 4, &[farm("f", &["http://a"])], 1).unwrap();
    assert_eq!(third.farms[0].seats.len(), 0);
}

/// Whatever children write there, every generation has its seats, and no two members one record.
#[test]
fn garbage_in_seats_makes_no_member_twice() {
    let mut random = Random(1);
    let (mut board, mut attached) =
        Board::open(Storage::Memory, 4, &[open(&["http://a"])], 1).unwrap();
    for _ in 0..200 {
        for seat in &attached.farms[0].seats {
            let admin = &seat.record.admin;
            admin.tenure.store((random.next() % 4) as u32, Relaxed);
            admin.lifecycle.store((random.next() % 3) as u32, Relaxed);
            for byte in seat.record.identity.url.iter().take(2) {
                byte.store(b"ab+\0\xff"[(random.next() % 5) as usize], Relaxed);
            }
        }
        attached = board.attach(&[open(&["http://a", "a"])], 1).unwrap();
        let farm = &attached.farms[0];
        let seats = farm.members.iter().chain(&farm.seats);
        let mut ids: Vec<u32> = seats.map(|seat| seat.id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }
}
