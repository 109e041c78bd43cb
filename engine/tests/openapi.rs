//! The API's description and the tables of what can be changed say the same, and so does the manual.
//! What is answered, a real httpd is asked.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use athena_engine::board::record::LINE_MAX;
use athena_engine::board::watchers::WATCHERS;
use athena_engine::change::{FarmChange, Key, Kind, MemberChange};
use athena_engine::config::addition;
use athena_engine::config::param::ParamError;
use serde_json::Value;
use std::collections::BTreeSet;

const DESCRIPTION: &str = include_str!("../../src/api/openapi.json");
const MANUAL: &str = include_str!("../../docs/mod_athena.md");

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).unwrap()
}

/// The properties of a schema.
fn properties(schema: &str) -> Value {
    description()["components"]["schemas"][schema]["properties"].clone()
}

/// What JSON calls values of a kind.
fn json(kind: Kind) -> &'static str {
    match kind {
        Kind::Switch => "boolean",
        Kind::Number => "number",
        Kind::Text => "string",
    }
}

/// What JSON calls the values of a key.
fn types<C>(key: &Key<C>) -> BTreeSet<&'static str> {
    let mut types = BTreeSet::from([json(key.kind)]);
    if key.clears {
        types.insert("null");
    }
    types
}

/// The types of a property; a whole number is a number.
fn described(property: &Value) -> BTreeSet<&str> {
    let all = match &property["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => vec![one.as_str().unwrap()],
    };
    let general = |word| if word == "integer" { "number" } else { word };
    all.into_iter().map(general).collect()
}

fn agrees<C: Default>(
    schema: &str,
    keys: &[Key<C>],
    besides: &[&str],
    set: impl Fn(&mut C, &str, &str) -> Result<(), ParamError>,
) {
    let properties = properties(schema);
    let named: BTreeSet<_> = properties.as_object().unwrap().keys().cloned().collect();
    let known = keys
        .iter()
        .map(|key| key.name)
        .chain(besides.iter().copied());
    let known: BTreeSet<_> = known.map(str::to_owned).collect();
    assert_eq!(named, known, "{schema}");
    for key in keys {
        let property = &properties[key.name];
        assert_eq!(described(property), types(key), "{}", key.name);
        if key.kind == Kind::Number {
            let step = property["multipleOf"].as_f64().unwrap_or(1.0);
            let bound = |name: &str| property[name].as_f64().unwrap();
            let (least, most) = (bound("minimum"), bound("maximum"));
            let read = |value: f64| set(&mut C::default(), key.name, &value.to_string()).is_ok();
            let probes = [least - step, least, most, most + step].map(read);
            assert_eq!(probes, [false, true, true, false], "{}", key.name);
        }
    }
}

#[test]
fn what_can_be_changed_is_described_with_its_range_and_nothing_else_is() {
    agrees(
        "FarmChange",
        FarmChange::KEYS,
        &["members"],
        FarmChange::set,
    );
    agrees("MemberChange", MemberChange::KEYS, &[], MemberChange::set);
}

#[test]
fn what_a_new_member_can_have_is_described_and_nothing_else_is() {
    let properties = properties("NewMember");
    let mut named: BTreeSet<_> = properties.as_object().unwrap().keys().cloned().collect();
    assert!(named.remove("url"));
    let known: BTreeSet<_> = addition::FIELDS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(named, known);
    for (name, kind) in addition::FIELDS {
        // Any may be a text, as on a line, or null, as if it were not there.
        let types = BTreeSet::from([json(*kind), "string", "null"]);
        assert_eq!(described(&properties[name]), types, "{name}");
        assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
    }
    let all = format!("at most {LINE_MAX} bytes");
    assert!(DESCRIPTION.contains(&all));
}

#[test]
fn the_manual_has_the_same_paths() {
    let described: BTreeSet<String> = description()["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.replace("{farm}", "NAME").replace("{member}", "MEMBER"))
        .collect();
    let rows = MANUAL
        .lines()
        .filter_map(|line| line.strip_prefix("| `/athena/api/v1"));
    let manual: BTreeSet<String> = rows
        .filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(described, manual);
}

#[test]
fn how_many_can_follow_the_events_is_said() {
    let said = format!("{WATCHERS} clients");
    assert!(DESCRIPTION.contains(&said) && MANUAL.contains(&said));
}

#[test]
fn answers_name_all_their_fields() {
    for schema in [
        "Farms", "Farm", "Unused", "Cookies", "Member", "Events", "Event", "Problem",
    ] {
        let required = description()["components"]["schemas"][schema]["required"].clone();
        let required: BTreeSet<String> = serde_json::from_value(required).unwrap();
        let named: BTreeSet<_> = properties(schema)
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(required, named, "{schema}");
    }
}
