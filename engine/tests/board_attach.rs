//! Configuration passes: what is kept, what changes, what is given back.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod board_support;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use athena_engine::board::record::{MemberRecord, flags};
use athena_engine::board::{
    Attached, Board, BoardError, FarmExtras, FarmSpec, MemberExtras, Notice, Storage,
};
use athena_engine::stats::expect;
use athena_engine::{budget, lookout};
use board_support::{directory, farm, restarted, storage};

fn opened(specs: &[FarmSpec]) -> (Board, Attached) {
    Board::open(Storage::Memory, 4, specs, 1).unwrap()
}

fn record(attached: &Attached, farm: usize, member: usize) -> &'static MemberRecord {
    attached.farms[farm].members[member].record
}

#[test]
fn seats_come_in_the_order_of_the_configuration() {
    let (mut board, first) = opened(&[farm("f", &["http://a", "http://b"]), farm("g", &[])]);
    assert_eq!(first.farms.len(), 2);
    let position =
        |attached: &Attached, member| record(attached, 0, member).admin.position.load(Relaxed);
    assert_eq!((position(&first, 0), position(&first, 1)), (0, 1));
    let second = board
        .attach(&[farm("f", &["http://b", "http://a"])], 1)
        .unwrap();
    assert!(std::ptr::eq(record(&first, 0, 0), record(&second, 0, 1)));
    assert_eq!((position(&second, 0), position(&second, 1)), (0, 1));
}

#[test]
fn a_new_farm_has_nobody_to_probe() {
    let (_, attached) = opened(&[farm("f", &["http://a"])]);
    assert_eq!(
        attached.farms[0].record.hot.next_probe_at.load(Relaxed),
        u64::MAX
    );
}

/// It is out when the time within which it is expected to report has passed since it came back.
#[test]
fn a_member_that_returns_has_its_time_again() {
    let second = 1_000_000;
    let within = Some(5 * second);
    let (mut board, first) = opened(&[farm("f", &["http://a", "http://b"])]);
    board.claim(100);
    expect::begin(record(&first, 0, 1), within, second);
    board
        .attach(&[farm("f", &["http://a"])], 60 * second)
        .unwrap();
    let now = 120 * second;
    let third = board
        .attach(&[farm("f", &["http://a", "http://b"])], now)
        .unwrap();
    let (farm, member) = (third.farms[0].record, record(&third, 0, 1));
    assert!(
        std::ptr::eq(record(&first, 0, 1), member),
        "an old child has it"
    );
    expect::begin(member, within, now);
    for (later, out) in [(4, false), (5, true)] {
        expect::begin_farm(farm, true);
        let at = || now + later * second;
        let mut look = lookout::claim(&farm.hot.next_out_at, at, || true).unwrap();
        assert_eq!(expect::expire(&mut look, member, within), out);
    }
}

/// Its budget's first window begins with the farm, not with the machine.
#[test]
fn a_farm_of_a_graceful_restart_has_saved_up_for_replays() {
    let minute = 60_000_000;
    let began = 30 * 24 * 60 * minute;
    let (mut board, _) = opened(&[]);
    let attached = board.attach(&[farm("f", &["http://a"])], began).unwrap();
    let record = attached.farms[0].record;
    record.hot.elected.store(100_000, Relaxed);
    let asked = (0..50).filter(|_| budget::allow(record, 20, began + 10 * minute));
    assert_eq!(asked.count(), 50);
}

#[test]
fn values_are_brought_into_range() {
    let mut spec = farm("f", &["http://a"]);
    spec.members[0].settings.weight = 1_000_000;
    spec.members[0].settings.lbset = 100;
    spec.members[0].settings.flags = u32::MAX;
    let (_, attached) = opened(&[spec]);
    let admin = &record(&attached, 0, 0).admin;
    assert_eq!(
        (admin.weight(), admin.lbset(), admin.flags()),
        (10_000, 99, 0xff)
    );
    for garbage in [0, u32::MAX] {
        admin.weight.store(garbage, Relaxed);
        admin.lbset.store(garbage, Relaxed);
        admin.flags.store(garbage, Relaxed);
        assert!((1..=10_000).contains(&admin.weight()));
        assert!(admin.lbset() <= 99 && admin.flags() <= 0xff);
    }
}

#[test]
fn a_change_by_people_holds_until_its_configured_value_changes() {
    let mut spec = farm("f", &["http://a"]);
    let (board, first) = opened(std::slice::from_ref(&spec));
    let admin = &record(&first, 0, 0).admin;
    admin.weight.store(500, Relaxed);
    admin.flags.store(flags::DRAIN, Relaxed);
    admin.lbset.store(7, Relaxed);

    let mut board = restarted(board);
    let same = board.attach(std::slice::from_ref(&spec), 1).unwrap();
    assert_eq!(same.notices, []);
    assert_eq!(
        (admin.weight(), admin.flags(), admin.lbset()),
        (500, flags::DRAIN, 7)
    );

    spec.members[0].settings.weight = 200;
    let mut board = restarted(board);
    let changed = board.attach(std::slice::from_ref(&spec), 1).unwrap();
    let notice = Notice::ConfigurationWins {
        farm: "f".into(),
        member: Some("a".into()),
        admin: "loadfactor=5.00".into(),
        configured: "loadfactor=2.00".into(),
    };
    assert_eq!(changed.notices, [notice]);
    assert_eq!(
        (admin.weight(), admin.flags(), admin.lbset()),
        (200, flags::DRAIN, 7)
    );

    // Nothing is lost where nobody had changed anything, or had changed it to the same.
    spec.members[0].settings.weight = 300;
    spec.members[0].settings.lbset = 7;
    let silent = board.attach(std::slice::from_ref(&spec), 1).unwrap();
    assert_eq!(silent.notices, []);
    assert_eq!((admin.weight(), admin.lbset()), (300, 7));
}

#[test]
fn what_people_changed_in_a_farm_that_goes_is_told() {
    let at = |name, server: &str| FarmSpec {
        server: server.into(),
        seats: 2,
        ..farm(name, &["http://a", "http://b"])
    };
    let left = |name: &str, changed, added| Notice::LeftBehind {
        farm: name.into(),
        server: "one".into(),
        changed,
        added,
    };
    let directory = directory("what_people_changed_in_a_farm_that_goes_is_told");
    let all = |server| ["f", "g", "h"].map(|name| at(name, server));
    let storage = storage(&directory);
    let open = |server| Board::open(storage.clone(), 4, &all(server), 1).unwrap();
    let (mut board, first) = open("one");
    // A health check is not people.
    let admin = &record(&first, 1, 0).admin;
    admin.flags.store(flags::CHECK_FAILED, Relaxed);
    record(&first, 0, 0).admin.weight.store(500, Relaxed);
    record(&first, 0, 1).changed.route.set("r", "");
    let second = board.attach(&all("one"), 1).unwrap();
    assert_eq!(second.notices, []);
    second.farms[2].record.cold.off.store(1, Relaxed);
    let added = farm("", &["http://c"]).members.remove(0);
    let (spec, seat) = (at("h", "one"), second.farms[2].seats[0]);
    let held = board.lock(second.farms[2].id, Duration::ZERO).unwrap();
    board.admit(&held, &spec, seat, 2, &added, "").unwrap();
    drop(held);
    let told = [left("f", 2, 0), left("h", 1, 1)];
    let kept = std::fs::read(directory.join("athena.board")).unwrap();

    let mut board = restarted(board);
    assert_eq!(board.attach(&all("two"), 1).unwrap().notices, told);
    // Once, also when a full start comes next.
    let again = board.attach(&[at("f", "two")], 1).unwrap();
    assert_eq!(again.notices, []);
    board.close();
    let (board, attached) = open("two");
    assert_eq!(attached.notices, []);
    board.close();

    std::fs::write(directory.join("athena.board"), kept).unwrap();
    let (board, attached) = open("one");
    assert_eq!(attached.notices, []);
    board.close();
    let (_, attached) = open("two");
    assert_eq!(attached.notices, told);
}

#[test]
fn the_configured_value_counts_as_the_parent_remembers_it() {
    let spec = farm("f", &["http://a"]);
    let (mut board, first) = opened(std::slice::from_ref(&spec));
    let admin = &record(&first, 0, 0).admin;
    admin.weight.store(500, Relaxed);
    admin.configured_weight.store(9, Relaxed);
    let again = board.attach(std::slice::from_ref(&spec), 1).unwrap();
    assert_eq!((admin.weight(), again.notices.len()), (500, 0));
    assert_eq!(admin.configured_weight.load(Relaxed), 100);
}

#[test]
fn a_failed_health_check_is_no_change_by_people() {
    let mut spec = farm("f", &["http://a"]);
    let (mut board, first) = opened(std::slice::from_ref(&spec));
    let admin = &record(&first, 0, 0).admin;
    admin.flags.store(flags::CHECK_FAILED, Relaxed);
    spec.members[0].settings.flags = flags::STANDBY;
    let second = board.attach(&[spec], 1).unwrap();
    assert_eq!(second.notices, []);
    assert_eq!(admin.flags(), flags::STANDBY | flags::CHECK_FAILED);
}

#[test]
fn counters_go_on_and_the_route_follows_the_configuration() {
    let mut spec = farm("f", &["http://a"]);
    let (board, first) = opened(std::slice::from_ref(&spec));
    record(&first, 0, 0).hot.served.store(42, Relaxed);
    spec.members[0].extras.route = "r1".into();
    let mut board = restarted(board);
    let second = board.attach(&[spec], 1).unwrap();
    let member = record(&second, 0, 0);
    assert_eq!(member.hot.served.load(Relaxed), 42);
    let route: Vec<u8> = member
        .identity
        .route
        .iter()
        .take(3)
        .map(|b| b.load(Relaxed))
        .collect();
    assert_eq!(route, b"r1\0");
}

#[test]
fn the_board_grows_in_place() {
    let urls: Vec<String> = (0..200).map(|number| format!("http://m{number}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut board, first) = opened(&[farm("f", &urls[..3])]);
    let slot = board.claim(100).unwrap();
    let old = record(&first, 0, 0);
    let old_cell = board.cell(slot, first.farms[0].members[0].id).unwrap();
    for count in [40, 90, 200] {
        board = restarted(board);
        let next = board.attach(&[farm("f", &urls[..count])], 1).unwrap();
        let new = record(&next, 0, 0);
        let before = new.hot.served.load(Relaxed);
        old.hot.served.fetch_add(1, Relaxed);
        assert_eq!(
            new.hot.served.load(Relaxed),
            before + 1,
            "old references keep counting"
        );
        old_cell.fetch_add(1, Relaxed);
        let members = &next.farms[0].members;
        assert_eq!(
            board.inflight(members[0].id),
            u64::from(old_cell.load(Relaxed))
        );
        for seat in members {
            assert!(std::ptr::eq(board.member(seat.id).unwrap(), seat.record));
            board.cell(slot, seat.id).unwrap();
        }
        assert!(next.farms[0].plan.capacity().eligible >= count);
    }
    assert_eq!(board.release(100).requests, 3);
}

#[test]
fn a_removed_members_record_waits_for_the_last_child_of_its_generation() {
    let (mut board, first) = opened(&[farm("f", &["http://a", "http://gone"])]);
    let gone = first.farms[0].members[1];
    board.claim(100).unwrap();
    gone.record.hot.served.store(5, Relaxed);

    let taken = |attached: &Attached| {
        attached.farms[0]
            .members
            .iter()
            .any(|seat| seat.id == gone.id)
    };
    let second = board
        .attach(&[farm("f", &["http://a", "http://b"])], 1)
        .unwrap();
    assert!(!taken(&second));
    assert_eq!(
        gone.record.admin.lifecycle.load(Relaxed),
        2,
        "last configured in generation 2"
    );
    let third = board
        .attach(&[farm("f", &["http://a", "http://b", "http://c"])], 1)
        .unwrap();
    assert!(!taken(&third), "a child of generation 2 lives");
    assert_eq!(gone.record.hot.served.load(Relaxed), 5);

    board.release(100);
    let all = ["http://a", "http://b", "http://c", "http://d"];
    let fourth = board.attach(&[farm("f", &all)], 1).unwrap();
    assert!(taken(&fourth));
    assert_eq!(
        gone.record.hot.served.load(Relaxed),
        0,
        "zeroed for its new owner"
    );
    assert_eq!(gone.record.admin.lifecycle.load(Relaxed), 1);
}

#[test]
fn a_refused_configuration_leaves_the_board_as_it_was() {
    let spec = farm("f", &["http://a"]);
    let (mut board, _) = opened(std::slice::from_ref(&spec));
    let twice = board.attach(&[farm("f", &["http://a", "http://a"])], 1);
    assert!(matches!(twice, Err(BoardError::Twice { .. })));
    let nameless = board.attach(&[farm("", &[])], 1);
    assert!(matches!(nameless, Err(BoardError::Name { .. })));
    assert!(board.is_current());
    assert!(board.attach(&[spec], 1).is_ok());
}

#[test]
fn retained_bytes_are_believed_only_as_far_as_the_kernel_confirms_them() {
    let unchanged = |retained: &str| retained.to_owned();
    let elsewhere = |retained: &str| retained.replacen("[[0,", "[[0,17", 1);
    let another = |retained: &str| retained.replacen("\"inode\":", "\"inode\":1", 1);
    for (change, good) in [
        (&unchanged as &dyn Fn(&str) -> String, true),
        (&|_| String::new(), false),
        (&|retained| retained[..retained.len() / 2].to_owned(), false),
        // An address where the board is not mapped.
        (&elsewhere, false),
        // Another file.
        (&another, false),
    ] {
        let (board, _) = opened(&[farm("f", &["http://a"])]);
        let retained = change(&String::from_utf8(board.retain()).unwrap());
        match Board::resume(retained.as_bytes()) {
            Ok(_) => assert!(good),
            Err(error) => assert!(!good && matches!(error, BoardError::Retained(_))),
        }
    }
}

#[test]
fn a_board_that_cannot_be_resumed_gives_its_file_up() {
    let directory = board_support::directory("not_resumed");
    let storage = board_support::storage(&directory);
    let spec = [farm("f", &["http://a"])];
    for (from, to, reason) in [
        ("\"version\":2", "\"version\":3", "version 3"),
        ("\"segments\":", "\"segmentation\":", "missing field"),
        ("[[0,", "[[0,17", "no longer mapped"),
    ] {
        let (board, _) = Board::open(storage.clone(), 4, &spec, 1).unwrap();
        let retained = String::from_utf8(board.retain()).unwrap();
        drop(board);
        assert!(matches!(
            Board::open(storage.clone(), 4, &spec, 1),
            Err(BoardError::InUse(_))
        ));
        let error = Board::resume(retained.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        Board::open(storage.clone(), 4, &spec, 1).unwrap().0.close();
    }
}

#[test]
fn what_people_put_in_place_of_the_configuration_holds_until_that_changes() {
    let mut spec = farm("f", &["http://a"]);
    spec.extras.method = "roundrobin".into();
    spec.members[0].extras.slow_start = Some(10);
    let (board, first) = opened(std::slice::from_ref(&spec));
    let (of_farm, of_member) = (
        &first.farms[0].record.changed,
        &record(&first, 0, 0).changed,
    );
    let farms = FarmExtras {
        method: "leastconn".into(),
        forward: "g".into(),
        fallback: String::new(),
    };
    farms.store(of_farm, &spec.extras);
    let members = MemberExtras {
        route: "a".into(),
        slow_start: None,
        forward: "g".into(),
        redirect: "c".into(),
        drain_timeout: Some(60),
    };
    members.store(of_member, &spec.members[0].extras);

    let mut board = restarted(board);
    assert_eq!(
        board
            .attach(std::slice::from_ref(&spec), 1)
            .unwrap()
            .notices,
        []
    );
    assert_eq!(spec.extras.in_force(of_farm), farms);
    assert_eq!(spec.members[0].extras.in_force(of_member), members);

    spec.extras.method = "random".into();
    spec.members[0].extras.slow_start = Some(20);
    spec.members[0].extras.route = "b".into();
    spec.members[0].extras.drain_timeout = Some(30);
    let mut board = restarted(board);
    let changed = board.attach(std::slice::from_ref(&spec), 1).unwrap();
    let lost: Vec<String> = changed.notices.iter().map(ToString::to_string).collect();
    let line = |whose, was, is| {
        format!(
            "farm f{whose}: {was} set at run time gives way to the configuration's {is}, which has \
             changed"
        )
    };
    assert_eq!(
        lost,
        [
            line("", "lbmethod=leastconn", "lbmethod=random"),
            line(", member a", "route=a", "route=b"),
            line(", member a", "slowstart=off", "slowstart=20"),
            line(", member a", "draintimeout=60", "draintimeout=30"),
        ]
    );
    let left = spec.extras.in_force(of_farm);
    assert_eq!(
        (left.method.as_str(), left.forward.as_str()),
        ("random", "g")
    );
    let left = spec.members[0].extras.in_force(of_member);
    assert_eq!((left.route.as_str(), left.slow_start), ("b", Some(20)));
    assert_eq!((left.forward.as_str(), left.redirect.as_str()), ("g", "c"));
}
