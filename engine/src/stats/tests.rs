use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex};

const NOW: Micros = 1_000_000;

fn report(pairs: &[(&str, &str)]) -> Report {
    let mut report = Report::default();
    for (name, value) in pairs {
        report.add(name, value).unwrap();
    }
    report
}

fn push(stats: &MemberStats, pairs: &[(&str, &str)]) -> Result<(), Refused> {
    report(pairs).push(stats, NOW, || Some(()))
}

fn all(stats: &MemberStats) -> Vec<(String, f64)> {
    read(stats)
        .map(|stat| (stat.name.to_string(), stat.value))
        .collect()
}

#[test]
fn what_is_pushed_is_read_in_its_first_order() {
    let stats = MemberStats::default();
    assert_eq!(all(&stats), []);
    push(&stats, &[("load", "0.7"), ("queue", "12")]).unwrap();
    push(&stats, &[("queue", "-3"), ("_a1", "1e3"), ("queue", "4")]).unwrap();
    let expected = [("load", 0.7), ("queue", 4.0), ("_a1", 1e3)];
    assert_eq!(
        all(&stats),
        expected.map(|(name, value)| (name.into(), value))
    );
}

#[test]
fn names_and_values_that_are_none() {
    let long = "n".repeat(33);
    for name in [
        "", "a", "_", "agent", "0a", "a.b", "a b", "a=b", "a,b", "a-b", "a/b", "ä", "a\0", &long,
    ] {
        let refused = Report::default().add(name, "1");
        assert!(matches!(refused, Err(Refused::Name(_))), "{name:?}");
    }
    assert!(Report::default().add(&"n".repeat(32), "1").is_ok());
    for value in [
        "",
        "NaN",
        "inf",
        "-infinity",
        "1e999",
        "1,5",
        "0x1",
        " 1",
        "1 ",
    ] {
        let refused = Report::default().add("aa", value);
        assert!(matches!(refused, Err(Refused::Value { .. })), "{value:?}");
    }
    let message = Report::default().add("aa", "inf").unwrap_err().to_string();
    assert_eq!(message, "aa=inf: must be a finite number");
}

#[test]
fn a_seventeenth_name_is_refused_with_all_that_came_with_it() {
    let stats = MemberStats::default();
    for n in 0..15 {
        push(&stats, &[(&format!("s{n}"), "1")]).unwrap();
    }
    let two = [("s0", "2"), ("new", "1"), ("newer", "1")];
    let newer = Name::new("newer").unwrap();
    assert_eq!(report(&two).fits(&stats), Err(Refused::Full(newer)));
    assert_eq!(push(&stats, &two), Err(Refused::Full(newer)));
    assert_eq!(
        all(&stats)[0],
        ("s0".into(), 1.0),
        "nothing of it was pushed"
    );
    push(&stats, &two[..2]).unwrap();
    assert_eq!(all(&stats).len(), STATS_MAX);
    push(&stats, &[("new", "7")]).unwrap();
    assert_eq!(all(&stats)[15], ("new".into(), 7.0));
}

#[test]
fn only_a_new_name_needs_the_lock() {
    let stats = MemberStats::default();
    let locked = || None::<()>;
    let name = Name::new("aa").unwrap();
    let one = report(&[("aa", "1")]);
    assert_eq!(one.push(&stats, NOW, locked), Err(Refused::Busy(name)));
    one.push(&stats, NOW, || Some(())).unwrap();
    report(&[("aa", "2")]).push(&stats, NOW, locked).unwrap();
    assert_eq!(all(&stats), [("aa".into(), 2.0)]);
}

/// Eight writers, each with names of its own and one that all share, beside a reader.
#[test]
fn writers_do_not_disturb_each_other() {
    for _ in 0..50 {
        let stats = MemberStats::default();
        let lock = Mutex::new(());
        let start = Barrier::new(9);
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (stats, lock, start) = (&stats, &lock, &start);
                scope.spawn(move || {
                    let own = format!("writer_with_a_long_name_{writer}");
                    start.wait();
                    for value in 1..=20 {
                        let value = value.to_string();
                        report(&[(&own, &value), ("shared", &value)])
                            .push(stats, NOW, || lock.lock().ok())
                            .unwrap();
                    }
                });
            }
            start.wait();
            while read(&stats).count() < 9 {
                for stat in read(&stats) {
                    let name = stat.name.to_string();
                    assert!(name == "shared" || name.len() == 25, "{name}");
                    assert!((1.0..=20.0).contains(&stat.value));
                }
            }
        });
        let found: BTreeMap<_, _> = all(&stats).into_iter().collect();
        assert_eq!(found.len(), 9);
        assert_eq!(found.len(), all(&stats).len(), "each name once");
        assert_eq!(found.into_values().collect::<Vec<_>>(), [20.0; 9]);
    }
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn pushes_of_any_kind_leave_what_a_map_would(
        pushes in prop::collection::vec(
            prop::collection::vec(("[a-d]{1,2}", any::<f64>()), 0..6), 0..30),
    ) {
        let stats = MemberStats::default();
        let mut expected = BTreeMap::new();
        for pairs in pushes {
            let mut one = Report::default();
            let mut wanted = expected.clone();
            for (name, value) in pairs {
                if one.add(&name, &value.to_string()).is_ok() {
                    wanted.insert(name, value);
                }
            }
            let fits = one.fits(&stats);
            prop_assert_eq!(fits.is_ok(), wanted.len() <= STATS_MAX);
            prop_assert_eq!(one.push(&stats, NOW, || Some(())), fits.clone());
            if fits.is_ok() {
                expected = wanted;
            }
            let found: BTreeMap<_, _> = all(&stats).into_iter().collect();
            prop_assert_eq!(&found, &expected);
        }
    }

    #[test]
    fn any_text_is_refused_or_a_name(text: String) {
        if let Ok(name) = Name::new(&text) {
            prop_assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn any_bits_are_survived(
        known: u32,
        words in prop::collection::vec(any::<u64>(), STATS_MAX * 6),
    ) {
        let stats = MemberStats::default();
        stats.known.store(known, Ordering::Relaxed);
        for (stat, words) in stats.table.iter().zip(words.chunks(6)) {
            let places = stat.name.iter().chain([&stat.value, &stat.pushed_at]);
            for (place, word) in places.zip(words) {
                place.store(*word, Ordering::Relaxed);
            }
        }
        for stat in read(&stats) {
            prop_assert!(stat.value.is_finite());
            prop_assert_eq!(Name::new(&stat.name.to_string()), Ok(stat.name));
        }
        let _ = push(&stats, &[("aa", "1")]);
    }
}
