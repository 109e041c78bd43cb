//! Full starts: the file that is there, and the file that is made.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod board_support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::Ordering::Relaxed;

use athena_engine::board::record::flags;
use athena_engine::board::{Attached, Board, BoardError, Event, FarmSpec, Notice, Storage};
use athena_engine::stats::{self, Report};
use board_support::{directory, farm, names, plan, storage};

fn opened(storage: &Storage, specs: &[FarmSpec]) -> (Board, Attached) {
    Board::open(storage.clone(), 4, specs, 1).unwrap()
}

#[test]
fn figures_survive_a_full_restart() {
    let directory = directory("figures_survive");
    let storage = storage(&directory);
    let spec = [farm("f", &["http://a", "http://b"])];
    let (board, first) = opened(&storage, &spec);
    let seat = &first.farms[0];
    seat.record.cold.off.store(1, Relaxed);
    seat.record.hot.elected.store(9, Relaxed);
    seat.plan.publish(seat.record, &plan(&[0], &[0]));
    let member = seat.members[0].record;
    member.hot.elected.store(1, Relaxed);
    member.hot.served.store(2, Relaxed);
    member.hot.failed.store(3, Relaxed);
    member.hot.bytes_in.store(4, Relaxed);
    member.hot.bytes_out.store(5, Relaxed);
    member.hot.ewma.store(1.5_f64.to_bits(), Relaxed);
    member.hot.ewma_at.store(77, Relaxed);
    member.hot.inflight.0.store(8, Relaxed);
    member.health.ejections.store(6, Relaxed);
    let mut report = Report::default();
    report.add("load", "0.7").unwrap();
    report.push(&member.stats, 50, || Some(())).unwrap();
    member.health.retry_at.store(99, Relaxed);
    member.admin.weight.store(700, Relaxed);
    member
        .admin
        .flags
        .store(flags::DISABLED | flags::CHECK_FAILED, Relaxed);
    board.claim(100).unwrap();
    board.close();

    let (board, second) = Board::open(storage, 8, &spec, 1234).unwrap();
    assert_eq!(second.notices, []);
    let seat = &second.farms[0];
    assert_eq!(seat.record.cold.off.load(Relaxed), 1);
    assert_eq!(seat.record.hot.elected.load(Relaxed), 9);
    assert!(seat.plan.read(seat.record).is_none());
    let restored = seat.members[0].record;
    assert!(!std::ptr::eq(member, restored), "a fresh file");
    let hot = &restored.hot;
    let counters = [
        &hot.elected,
        &hot.served,
        &hot.failed,
        &hot.bytes_in,
        &hot.bytes_out,
    ];
    assert_eq!(
        counters.map(|counter| counter.load(Relaxed)),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(f64::from_bits(hot.ewma.load(Relaxed)), 1.5);
    assert_eq!(hot.ewma_at.load(Relaxed), 1234);
    let load = stats::read(&restored.stats).next().unwrap();
    assert_eq!((load.name.to_string(), load.value), ("load".into(), 0.7));
    // Their clock was another one: they count as reported at the start.
    assert_eq!(load.pushed_at, 1234);
    assert_eq!(restored.stats.reported_at.load(Relaxed), 1234);
    assert_eq!(hot.inflight.count(), 0);
    assert_eq!(restored.health.ejections.load(Relaxed), 6);
    assert_eq!(restored.health.retry_at.load(Relaxed), 0);
    assert_eq!(
        (restored.admin.weight(), restored.admin.flags()),
        (700, flags::DISABLED)
    );
    assert_eq!(board.live_slots(), []);
    assert_eq!(names(&directory), ["athena.board"]);
}

#[test]
fn a_changed_configuration_wins_over_the_last_runs_change() {
    let directory = directory("configuration_wins");
    let storage = storage(&directory);
    let mut spec = farm("f", &["http://a"]);
    let (board, first) = opened(&storage, std::slice::from_ref(&spec));
    first.farms[0].members[0]
        .record
        .admin
        .weight
        .store(700, Relaxed);
    board.close();
    spec.members[0].settings.weight = 200;
    let (_, second) = opened(&storage, &[spec]);
    let notice = Notice::ConfigurationWins {
        farm: "f".into(),
        member: Some("a".into()),
        admin: "loadfactor=7.00".into(),
        configured: "loadfactor=2.00".into(),
    };
    assert_eq!(second.notices, [notice]);
    assert_eq!(second.farms[0].members[0].record.admin.weight(), 200);
}

#[test]
fn the_file_is_private_and_locked() {
    let directory = directory("private_and_locked");
    let storage = storage(&directory);
    let spec = [farm("f", &["http://a"])];
    let (board, _) = opened(&storage, &spec);
    let there = fs::metadata(storage.path()).unwrap();
    assert_eq!((there.mode() & 0o7777, there.nlink()), (0o600, 1));
    let error = Board::open(storage.clone(), 4, &spec, 1).unwrap_err();
    assert!(
        error.to_string().ends_with("is in use by another httpd"),
        "{error}"
    );
    assert_eq!(
        fs::metadata(storage.path()).unwrap().ino(),
        there.ino(),
        "left alone"
    );
    board.close();
    assert!(Board::open(storage.clone(), 4, &spec, 1).is_ok());
    assert_ne!(
        fs::metadata(storage.path()).unwrap().ino(),
        there.ino(),
        "a fresh inode"
    );
    assert_eq!(names(&directory), ["athena.board"]);
}

/// Whoever could write through a descriptor that children inherit could cut the file short, and
/// end every process that touches what is missing.
#[test]
fn no_descriptor_of_the_file_is_writable() {
    let directory = directory("not_writable");
    let storage = storage(&directory);
    let (mut board, _) = opened(&storage, &[farm("f", &["http://a"])]);
    let many: Vec<String> = (0..99).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    board.attach(&[farm("f", &many)], 1).unwrap();
    let mut descriptors = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        if fs::read_link(entry.path()).is_ok_and(|target| target == storage.path()) {
            let number = entry.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            assert!(flags.ends_with('0'), "open for reading only: {flags}");
            descriptors += 1;
        }
    }
    assert_eq!(descriptors, 1);
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let directory = directory("no_regular_file");
    let storage = storage(&directory);
    let target = directory.join("target");
    fs::write(&target, "precious").unwrap();
    symlink(&target, storage.path()).unwrap();
    let open = || Board::open(storage.clone(), 4, &[], 1).unwrap_err();
    assert!(matches!(open(), BoardError::NotRegular(_)));
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    fs::remove_file(storage.path()).unwrap();
    nix::unistd::mkfifo(storage.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(open(), BoardError::NotRegular(_)));
    fs::remove_file(storage.path()).unwrap();
    fs::create_dir(storage.path()).unwrap();
    assert!(matches!(open(), BoardError::NotRegular(_)));
}

#[test]
fn an_unusable_place_is_named_with_its_reason() {
    let path = directory("unusable").join("missing").join("athena.board");
    let error = Board::open(Storage::File(path.clone()), 4, &[], 1)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(path.to_str().unwrap()) && error.contains("No such file"),
        "{error}"
    );
    let error = Board::open(Storage::Memory, 0, &[], 1)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "0 child slots are configured, the board holds 1 to 65536"
    );
}

#[test]
fn files_that_cannot_be_trusted_are_set_aside() {
    let directory = directory("set_aside");
    let storage = storage(&directory);
    let spec = [farm("f", &["http://a"])];
    let (board, _) = opened(&storage, &spec);
    board.close();
    let good = fs::read(storage.path()).unwrap();
    let mut newer = good.clone();
    newer[8] = 9;
    let short = &good[..good.len() - 1];
    for (bytes, aside, reason) in [
        (&b""[..], "athena.board.damaged", "shorter than a board"),
        (b"ATHBOARD", "athena.board.damaged", "shorter than a board"),
        (&[0; 9000], "athena.board.damaged", "not a board"),
        (short, "athena.board.damaged", "shorter"),
        (&newer, "athena.board.v9", "layout version 9"),
    ] {
        fs::write(storage.path(), bytes).unwrap();
        let (board, attached) = opened(&storage, &spec);
        let [
            Notice::SetAside {
                path,
                reason: given,
            },
        ] = attached.notices.as_slice()
        else {
            panic!("{:?}", attached.notices)
        };
        assert_eq!(path, &directory.join(aside));
        assert!(given.contains(reason), "{given}");
        assert_eq!(fs::read(path).unwrap(), bytes);
        board.close();
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let directory = directory("foreign");
    let storage = storage(&directory);
    let path = storage.path();
    for (bytes, mode) in [(&[b'x'; 20_000][..], 0o644), (b"-----BEGIN", 0o600)] {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let opened = Board::open(storage.clone(), 4, &[], 1).map(drop);
        for error in [opened, storage.check()].map(Result::unwrap_err) {
            assert!(matches!(error, BoardError::Foreign(_)), "{error}");
        }
        assert_eq!(fs::read(path).unwrap(), bytes);
        assert_eq!(names(&directory), ["athena.board"]);
    }
}

#[test]
fn a_failed_start_leaves_the_last_runs_file() {
    let directory = directory("failed_start");
    let storage = storage(&directory);
    let (board, _) = opened(&storage, &[farm("f", &["http://a"])]);
    board.close();
    let before = fs::read(storage.path()).unwrap();
    assert!(Board::open(storage.clone(), 4, &[farm("f", &["a", "a"])], 1).is_err());
    assert_eq!(fs::read(storage.path()).unwrap(), before);
    assert_eq!(names(&directory), ["athena.board"]);
}

#[test]
fn what_people_changed_and_when_survives_a_stop() {
    let directory = directory("changes");
    let storage = Storage::File(directory.join("board"));
    let mut spec = farm("f", &["http://a"]);
    spec.extras.method = "roundrobin".into();
    let (board, first) = opened(&storage, std::slice::from_ref(&spec));
    let mut farms = spec.extras.clone();
    farms.method = "leastconn".into();
    farms.store(&first.farms[0].record.changed, &spec.extras);
    let mut members = spec.members[0].extras.clone();
    members.slow_start = Some(5);
    members.route = "r".into();
    members.store(
        &first.farms[0].members[0].record.changed,
        &spec.members[0].extras,
    );
    for number in 1..=300_u64 {
        board.note(&Event {
            at: number,
            farm: "f".into(),
            what: format!("change {number} {}", "é".repeat(100)),
            ..Event::default()
        });
    }
    board.close();

    let (board, second) = opened(&storage, std::slice::from_ref(&spec));
    assert_eq!(second.notices, []);
    let changed = &second.farms[0].record.changed;
    assert_eq!(spec.extras.in_force(changed), farms);
    let changed = &second.farms[0].members[0].record.changed;
    assert_eq!(spec.members[0].extras.in_force(changed), members);
    board.note(&Event::default());
    let events = board.events();
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (46..=301).collect::<Vec<u64>>());
    assert!(events[0].what.starts_with("change 46 éé") && events[0].at == 46);
}
