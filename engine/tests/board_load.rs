//! Files that nobody vouches for: what is read of one that is intact, damaged, cut or in use.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod board_support;

use std::fs;
use std::io::Cursor;
use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use athena_engine::board::glance::{self, SeenFarm};
use athena_engine::board::layout::{Extent, Header, Kind};
use athena_engine::board::load::{Loaded, load};
use athena_engine::board::record::{FarmRecord, MemberRecord, Stat, flags};
use athena_engine::board::{Attached, Board, FarmSpec, Refusal, Storage, extents};
use athena_engine::health::Cause;
use athena_engine::stats::Report;
use board_support::{Random, directory, farm, storage};
use proptest::prelude::*;

fn opened(storage: &Storage, specs: &[FarmSpec]) -> (Board, Attached) {
    Board::open(storage.clone(), 4, specs, 1).unwrap()
}

/// An intact board file with two farms, one of them grown, and one retired member.
fn intact(test: &str) -> Vec<u8> {
    let directory = directory(test);
    let storage = storage(&directory);
    let urls: Vec<String> = (0..40).map(|number| format!("http://m{number}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut board, _) = opened(&storage, &[farm("f", &urls[..3]), farm("g", &["http://a"])]);
    let last = board
        .attach(&[farm("f", &urls), farm("g", &["http://b"])], 1)
        .unwrap();
    let mut report = Report::default();
    report.add("load", "0.7").unwrap();
    report.add("queue", "12").unwrap();
    for seat in last.farms.iter().flat_map(|farm| &farm.members) {
        report.push(&seat.record.stats, 1, || Some(())).unwrap();
        seat.record.hot.served.store(u64::from(seat.id.0), Relaxed);
    }
    fs::read(storage.path()).unwrap()
}

fn in_range(loaded: &Loaded) -> bool {
    loaded.farms.values().all(|farm| farm.off <= 1)
        && loaded.members.values().all(|member| {
            let mut both = [member.in_force, member.configured].into_iter();
            both.all(|settings| {
                (1..=10_000).contains(&settings.weight)
                    && settings.flags <= 0xff
                    && settings.lbset <= 99
                    && settings.max_conn <= 1_000_000
            }) && f64::from_bits(member.ewma).is_finite()
                && f64::from_bits(member.ewma) >= 0.0
                && member.stats.iter().all(|(_, value)| value.is_finite())
        })
        && loaded.members.keys().all(|(server, farm, url)| {
            loaded.farms.contains_key(&(server.clone(), farm.clone())) && !url.is_empty()
        })
}

#[test]
fn an_intact_file_is_loaded_whole() {
    let bytes = intact("intact");
    let loaded = load(Cursor::new(&bytes)).unwrap();
    assert_eq!((loaded.farms.len(), loaded.members.len()), (2, 42));
    assert!(in_range(&loaded));
    let key = ("main".into(), "f".into(), "http://m39".into());
    assert!(loaded.members[&key].served > 0);
}

/// A child that was killed while it wrote what people had set costs that, not the whole board.
#[test]
fn half_a_text_that_people_set_is_none() {
    let directory = directory("half_a_text");
    let storage = storage(&directory);
    let spec = [farm("f", &["http://a"])];
    let (board, first) = opened(&storage, &spec);
    let seat = &first.farms[0];
    seat.record.cold.off.store(1, Relaxed);
    seat.record.changed.forward.set("elsewhere", "");
    board.close();
    let mut bytes = fs::read(storage.path()).unwrap();
    let at = bytes
        .windows(9)
        .position(|window| window == b"elsewhere")
        .unwrap();
    // Before the text: its version, its length, a hash.
    bytes[at - 16] ^= 1;
    bytes[at..at + 4].copy_from_slice(b"x\0y\xff");
    fs::write(storage.path(), &bytes).unwrap();
    let (_, second) = opened(&storage, &spec);
    assert_eq!(second.notices, []);
    let record = second.farms[0].record;
    assert_eq!(record.cold.off.load(Relaxed), 1);
    assert_eq!(record.changed.forward.get(), None);
}

#[test]
fn each_damage_to_the_description_is_noticed() {
    let bytes = intact("description");
    // Header: magic, version, ready, total, slots; first extent: kind, count, first, length.
    let extent = 8192;
    for offset in [
        0,
        8,
        12,
        16,
        24,
        extent,
        extent + 4,
        extent + 8,
        extent + 16,
    ] {
        let mut damaged = bytes.clone();
        damaged[offset] ^= 0x55;
        let refused = load(Cursor::new(&damaged)).unwrap_err();
        assert_eq!(
            matches!(refused, Refusal::OtherVersion(_)),
            offset == 8,
            "{offset}: {refused}"
        );
    }
}

#[test]
fn each_field_out_of_range_is_noticed() {
    let bytes = intact("fields");
    let first = |kind| {
        let extents = extents(&mut Cursor::new(&bytes)).unwrap();
        let its = extents.iter().find(|extent| extent.kind == kind).unwrap();
        usize::try_from(its.records()).unwrap()
    };
    let (farm, member) = (first(Kind::Farms), first(Kind::Members));
    let refused = |at: usize, value: &[u8]| {
        let mut damaged = bytes.clone();
        damaged[at..at + value.len()].copy_from_slice(value);
        load(Cursor::new(&damaged)).is_err()
    };
    for (field, values) in [
        (offset_of!(MemberRecord, admin.weight), &[0, 10_001][..]),
        (
            offset_of!(MemberRecord, admin.configured_weight),
            &[0, 10_001],
        ),
        (offset_of!(MemberRecord, admin.flags), &[0x100, u32::MAX]),
        (offset_of!(MemberRecord, admin.configured_flags), &[0x100]),
        (offset_of!(MemberRecord, admin.lbset), &[100]),
        (offset_of!(MemberRecord, admin.configured_lbset), &[100]),
        (offset_of!(MemberRecord, admin.max_conn), &[1_000_001]),
        (
            offset_of!(MemberRecord, admin.configured_max_conn),
            &[1_000_001],
        ),
        (offset_of!(MemberRecord, admin.farm), &[1, 2, u32::MAX]),
    ] {
        for value in values {
            assert!(
                refused(member + field, &value.to_ne_bytes()),
                "{field}: {value}"
            );
        }
    }
    for ewma in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(refused(
            member + offset_of!(MemberRecord, hot.ewma),
            &ewma.to_ne_bytes()
        ));
    }
    let stat = |place| member + offset_of!(MemberRecord, stats.table) + place * size_of::<Stat>();
    assert!(refused(
        stat(0) + offset_of!(Stat, value),
        &f64::NAN.to_ne_bytes()
    ));
    for name in [&b"\0"[..], b"1", b"a\0b"] {
        assert!(refused(stat(0) + offset_of!(Stat, name), name));
    }
    assert!(
        refused(stat(1) + offset_of!(Stat, name), b"load\0"),
        "twice"
    );
    let known = member + offset_of!(MemberRecord, stats.known);
    for value in [3_u32, 17] {
        assert!(refused(known, &value.to_ne_bytes()));
    }
    for name in [&b"\0"[..], b"\xff", b"a\0b"] {
        assert!(refused(
            member + offset_of!(MemberRecord, identity.url),
            name
        ));
        assert!(refused(farm + offset_of!(FarmRecord, identity.name), name));
    }
    assert!(
        refused(
            member + offset_of!(MemberRecord, identity.url),
            b"http://m1"
        ),
        "twice"
    );
    assert!(refused(farm + offset_of!(FarmRecord, cold.off), &[2]));
    assert!(
        refused(farm + offset_of!(FarmRecord, cold.lifecycle), &[0]),
        "members without it"
    );
    assert!(!refused(
        member + offset_of!(MemberRecord, hot.inflight),
        &[0xff; 8]
    ));
}

/// No figure out of its range, no byte that steers a terminal.
fn shown(farm: &SeenFarm) -> bool {
    let plain = |text: &str| !text.contains(char::is_control);
    let members = farm.members.iter().all(|member| {
        (1..=10_000).contains(&member.weight)
            && member.lbset <= 99
            && member.first_byte.is_none_or(f64::is_finite)
            && [&member.name, &member.route].iter().all(|text| plain(text))
    });
    members && plain(&farm.name) && plain(&farm.server) && farm.method.as_deref().is_none_or(plain)
}

#[test]
fn a_board_in_use_is_looked_at_from_outside() {
    let directory = directory("glance");
    let storage = storage(&directory);
    let specs = [
        farm("f", &["http://a", "http://b"]),
        farm("g", &["http://c"]),
    ];
    let (_board, attached) = opened(&storage, &specs);
    let [f, g] = [&attached.farms[0], &attached.farms[1]];
    f.record.cold.off.store(1, Relaxed);
    f.record.hot.elected.store(9, Relaxed);
    f.record.changed.method.set("leasttime", "byrequests");
    let [a, b] = [f.members[0].record, f.members[1].record];
    a.hot.inflight.take(None);
    a.hot.served.store(7, Relaxed);
    a.hot.ewma.store(1500_f64.to_bits(), Relaxed);
    a.changed.route.set("r1", "");
    // Of failures: it never answered.
    b.hot.ewma.store(1e6_f64.to_bits(), Relaxed);
    b.admin.flags.store(flags::DRAIN, Relaxed);
    b.health.retry_at.store(99, Relaxed);
    b.health.cause.store(Cause::Connect.number(), Relaxed);
    for (place, byte) in g.members[0]
        .record
        .identity
        .name
        .iter()
        .zip(*b"\x1b[2J\xff")
    {
        place.store(byte, Relaxed);
    }

    let file = fs::File::open(storage.path()).unwrap();
    let farms = glance::farms(file).unwrap();
    assert!(farms.iter().all(shown));
    let [f, g] = &farms[..] else {
        panic!("{farms:?}")
    };
    assert_eq!(
        (f.name.as_str(), f.server.as_str(), f.on, f.elected),
        ("f", "main", false, 9)
    );
    assert_eq!(
        (f.method.as_deref(), g.method.as_deref()),
        (Some("leasttime"), None)
    );
    let [a, b] = &f.members[..] else {
        panic!("{f:?}")
    };
    assert_eq!(
        (a.name.as_str(), a.route.as_str(), a.inflight, a.served),
        ("a", "r1", 1, 7)
    );
    assert_eq!((a.first_byte, a.cause, a.state), (Some(1500.0), None, 0));
    assert_eq!(
        (b.name.as_str(), b.first_byte, b.cause, b.state),
        ("b", None, Some(Cause::Connect), flags::DRAIN)
    );
    assert_eq!(g.members[0].name, "\u{fffd}[2J\u{fffd}");

    let mut other = fs::read(storage.path()).unwrap();
    other[8] += 1;
    let refused = glance::farms(Cursor::new(other)).unwrap_err();
    assert!(matches!(refused, Refusal::OtherVersion(_)), "{refused}");
}

/// Older children may serve it still, and it may come back: it is not shown, and not lost.
#[test]
fn a_farm_that_was_taken_out_is_kept_unseen() {
    let directory = directory("taken_out");
    let storage = storage(&directory);
    let specs = [farm("f", &["http://a"]), farm("g", &["http://b"])];
    let (mut board, first) = opened(&storage, &specs);
    board.claim(100);
    first.farms[1].record.cold.off.store(1, Relaxed);
    let seen = || -> Vec<(String, usize)> {
        let farms = glance::farms(fs::File::open(storage.path()).unwrap()).unwrap();
        let names = farms.into_iter();
        names.map(|farm| (farm.name, farm.members.len())).collect()
    };
    let (f, g) = (("f".to_owned(), 1), ("g".to_owned(), 1));
    for (there, shown) in [
        (&specs[..], &[f.clone(), g][..]),
        (&specs[..1], std::slice::from_ref(&f)),
    ] {
        board.attach(there, 1).unwrap();
        assert_eq!(seen(), shown);
    }
    board.close();
    let (_, again) = opened(&storage, &specs);
    assert_eq!(again.notices, []);
    assert_eq!(again.farms[1].record.cold.off.load(Relaxed), 1);
}

/// Where something is: the description, and the first records of each kind.
fn written(bytes: &[u8]) -> Vec<Range<usize>> {
    let place = |extent: &Extent| {
        let records = match extent.kind {
            Kind::Farms => 2 * size_of::<FarmRecord>(),
            Kind::Members => 8 * size_of::<MemberRecord>(),
            _ => 0,
        };
        let first = usize::try_from(extent.records()).unwrap();
        usize::try_from(extent.offset).unwrap()..first + records
    };
    let extents = extents(&mut Cursor::new(bytes)).unwrap();
    let places = extents.iter().map(place);
    places
        .chain(std::iter::once(0..size_of::<Header>()))
        .collect()
}

proptest! {
    #[test]
    fn a_mutated_file_is_refused_or_in_range(
        seed in any::<u64>(),
        changes in 0..64_u64,
        words in any::<bool>(),
    ) {
        use std::sync::OnceLock;
        static INTACT: OnceLock<Vec<u8>> = OnceLock::new();
        let mut bytes = INTACT.get_or_init(|| intact("mutated")).clone();
        let mut random = Random(seed);
        let mut below = |end: usize| usize::try_from(random.below(end as u64)).unwrap();
        let (length, written) = (bytes.len(), written(&bytes));
        for _ in 0..changes {
            let place = match below(4) {
                0 => 0..length,
                _ => written[below(written.len())].clone(),
            };
            let at = place.start + below(place.len());
            let any = u8::try_from(below(256)).unwrap();
            let value = [0, 1, 0x7f, 0x80, 0xff, any][below(6)];
            let end = if words { (at / 4 * 4 + 4).min(bytes.len()) } else { at + 1 };
            bytes[at..end].fill(value);
        }
        if let Ok(loaded) = load(Cursor::new(&bytes)) {
            prop_assert!(in_range(&loaded));
        }
        if let Ok(farms) = glance::farms(Cursor::new(&bytes)) {
            prop_assert!(farms.iter().all(shown));
        }
    }

    #[test]
    fn a_cut_file_is_refused_and_a_stretched_one_is_read_as_far_as_it_says(by in 1..20_000_usize) {
        use std::sync::OnceLock;
        static INTACT: OnceLock<Vec<u8>> = OnceLock::new();
        let intact = INTACT.get_or_init(|| intact("cut"));
        let cut = &intact[..intact.len().saturating_sub(by)];
        prop_assert!(load(Cursor::new(cut)).is_err());
        // What a growth leaves that finds no room for all of it.
        let mut stretched = intact.clone();
        stretched.resize(intact.len() + by, 0xff);
        let loaded = load(Cursor::new(&stretched)).unwrap();
        prop_assert_eq!(loaded.members, load(Cursor::new(intact)).unwrap().members);
    }

    #[test]
    fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(load(Cursor::new(&bytes)).is_err());
        let mut marked = b"ATHBOARD\x02\0\0\0\x01\0\0\0".to_vec();
        marked.extend(((bytes.len() + 24) as u64).to_ne_bytes());
        marked.extend(&bytes);
        prop_assert!(load(Cursor::new(&marked)).is_err());
    }
}
