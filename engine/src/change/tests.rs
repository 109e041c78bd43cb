use super::*;
use crate::board::record::{MemberRecord, flags};
use crate::board::{FarmExtras, MemberExtras, Settings};
use crate::method::Anew;
use crate::sync::Ordering;
use proptest::prelude::*;

fn member(fields: &[(&str, &str)]) -> Result<MemberChange, String> {
    let mut change = MemberChange::default();
    for (key, value) in fields {
        change.set(key, value).map_err(|error| error.to_string())?;
    }
    Ok(change)
}

fn state(flags: u32) -> MemberState {
    let settings = Settings {
        flags,
        ..Settings::default()
    };
    MemberState {
        settings,
        ..MemberState::default()
    }
}

#[test]
fn a_change_names_what_becomes_different() {
    let change = member(&[("Weight", "2.5"), ("drain", "on"), ("standby", "0")]).unwrap();
    let before = state(flags::STANDBY | flags::SPARE);
    let after = change.after(&before);
    assert_eq!(after.settings.weight, 250);
    assert_eq!(after.settings.flags, flags::DRAIN | flags::SPARE);
    assert_eq!(
        after.difference(&before).as_deref(),
        Some("weight=2.50 (was 1.00), drain=on (was off), standby=off (was on)")
    );
    assert_eq!(MemberChange::default().after(&before), before);
    assert_eq!(after.difference(&after), None);
}

#[test]
fn who_ends_the_draining_calls_a_removal_off() {
    let record = MemberRecord::default();
    let leaving = || record.admin.leaving.load(Ordering::Relaxed);
    record.admin.leaving.store(1, Ordering::Relaxed);
    let store = |flags| state(flags).store(&record, &MemberExtras::default());
    store(flags::DRAIN | flags::STANDBY);
    assert_eq!(leaving(), 1);
    store(flags::STANDBY);
    assert_eq!(leaving(), 0);
    store(flags::DRAIN);
    assert_eq!(leaving(), 0);
}

#[test]
fn on_ends_both_ways_of_being_off() {
    let on = member(&[("on", "on")]).unwrap();
    let off = state(flags::DISABLED | flags::STOPPED | flags::DRAIN);
    assert_eq!(on.after(&off).settings.flags, flags::DRAIN);
    let off = member(&[("on", "off")]).unwrap().after(&state(0));
    assert_eq!(off.settings.flags, flags::DISABLED);
}

#[test]
fn the_last_word_holds() {
    let change = member(&[("drain", "on"), ("drain", "off"), ("up", "off")]).unwrap();
    assert_eq!((change.set, change.clear), (flags::DOWN, flags::DRAIN));
    assert!(!change.ends_error());
    assert!(member(&[("up", "on")]).unwrap().ends_error());
}

#[test]
fn weights_as_the_page_shows_them() {
    for (text, weight) in [
        ("1", 100),
        ("0.01", 1),
        ("100.00", 10_000),
        ("2.", 200),
        ("07", 700),
    ] {
        assert_eq!(member(&[("weight", text)]).unwrap().weight, Some(weight));
    }
    for text in [
        "0", "0.00", "100.01", "", ".5", "1.005", "-1", "1e2", "nan", " 1", "9999", "+1",
    ] {
        assert!(member(&[("weight", text)]).is_err(), "{text}");
    }
}

#[test]
fn a_refusal_names_key_value_and_what_is_allowed() {
    for (key, value, error) in [
        (
            "weight",
            "0",
            "weight=0: must be a number from 0.01 to 100, with at most two decimals",
        ),
        (
            "lbset",
            "100",
            "lbset=100: must be a whole number from 0 to 99",
        ),
        ("on", "yes", "on=yes: must be On or Off"),
        ("bogus", "1", "bogus: unknown parameter"),
    ] {
        assert_eq!(member(&[(key, value)]), Err(error.to_owned()));
    }
    let mut farm = FarmChange::default();
    let error = farm.set("weight", "1").unwrap_err().to_string();
    assert_eq!(error, "weight: unknown parameter");
}

#[test]
fn a_farm_changes() {
    let mut change = FarmChange::default();
    for (key, value) in [
        ("on", "off"),
        ("method", "leastconn"),
        ("forward", "Farm_Two"),
        ("fallback", "redirect:http://www.example.com/"),
    ] {
        change.set(key, value).unwrap();
    }
    let before = FarmState {
        on: true,
        extras: FarmExtras {
            method: "roundrobin".into(),
            ..FarmExtras::default()
        },
    };
    let after = change.after(&before);
    assert_eq!(
        after.difference(&before).as_deref(),
        Some(
            "on=off (was on), method=leastconn (was roundrobin), forward=farm_two (was none), \
             fallback=redirect:http://www.example.com/ (was none)"
        )
    );
    let mut back = FarmChange::default();
    // In any case, as in the configuration.
    back.set("forward", "None").unwrap();
    assert_eq!(back.after(&after).extras.forward, "");
    assert_eq!(back.after(&after).extras.method, "leastconn");
}

#[test]
fn what_a_member_can_be_without() {
    let change = member(&[
        ("route", "a"),
        ("maxconn", "5"),
        ("slowstart", "30"),
        ("forward", "http://h/"),
        ("redirect", "b"),
        ("draintimeout", "604800"),
    ]);
    let full = change.unwrap().after(&state(0));
    let extras = &full.extras;
    assert_eq!(
        (extras.route.as_str(), extras.forward.as_str()),
        ("a", "http://h/")
    );
    assert_eq!((full.settings.max_conn, extras.slow_start), (5, Some(30)));
    assert_eq!(
        (extras.redirect.as_str(), extras.drain_timeout),
        ("b", Some(604_800))
    );
    let keys = [
        "route",
        "maxconn",
        "slowstart",
        "forward",
        "redirect",
        "draintimeout",
    ];
    let none = member(&keys.map(|key| (key, "none"))).unwrap();
    assert_eq!(none.after(&full), state(0));
}

#[test]
fn what_is_too_long_for_the_board_is_refused() {
    let long = format!("http://h/{}", "x".repeat(200));
    let error = member(&[("forward", &long)]).unwrap_err();
    assert!(
        error.ends_with("must be at most 208 bytes long, or none"),
        "{error}"
    );
    assert!(member(&[("route", &"r".repeat(64))]).is_err());
    assert!(member(&[("route", "a b")]).is_err());
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    /// Whatever is read keeps every value in its range, and sets and clears no flag at a time.
    #[test]
    fn any_change_leaves_a_valid_state(
        fields in prop::collection::vec(("[a-z_]{0,14}|weight|lbset|on|up|drain|spare|route|maxconn|forward", ".{0,6}|[0-9.]{1,6}|on|off|none|http://h/"), 0..6),
        before in 0_u32..=0xff,
    ) {
        let mut change = MemberChange::default();
        for (key, value) in &fields {
            let _ = change.set(key, value);
        }
        prop_assert_eq!(change.set & change.clear, 0);
        let after = change.after(&state(before)).settings;
        prop_assert!((1..=10_000).contains(&after.weight) && after.lbset <= 99);
        prop_assert_eq!(after.flags & !0xff, 0);
    }
}

#[test]
fn only_weights_methods_and_returns_start_figures_anew() {
    let anew = |fields: &[(&str, &str)], before: u32| {
        let before = state(before);
        let after = member(fields).unwrap().after(&before);
        after.starts_anew(&before).collect::<Vec<_>>()
    };
    assert_eq!(anew(&[("weight", "3")], 0), [Anew::Weight]);
    assert_eq!(anew(&[("on", "on")], flags::STOPPED), [Anew::Return]);
    assert_eq!(
        anew(&[("drain", "off"), ("weight", "2")], flags::DRAIN),
        [Anew::Weight, Anew::Return]
    );
    for (fields, before) in [
        (&[("drain", "on")], 0),
        (&[("on", "off")], 0),
        (&[("on", "on")], flags::DISABLED | flags::DRAIN),
        (&[("route", "a")], 0),
        (&[("lbset", "1")], 0),
    ] {
        assert_eq!(anew(fields, before), [], "{fields:?}");
    }
    let farm = |method: &str, on| FarmState {
        on,
        extras: FarmExtras {
            method: method.to_owned(),
            ..FarmExtras::default()
        },
    };
    let before = farm("byrequests", true);
    let another = farm("leastconn", true);
    assert_eq!(another.starts_anew(&before), Some(Anew::Method));
    assert_eq!(farm("byrequests", false).starts_anew(&before), None);
}
