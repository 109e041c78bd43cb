//! `athctl set`: changes of a farm or a member.

use std::collections::BTreeMap;

use athena_engine::change::{FarmChange, Key, Kind, MemberChange};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::{Api, farm_path};
use crate::cli::{Set, Target, Word};
use crate::documents::behind;
use crate::error::Error;
use crate::output;

/// A document as its fields.
type Document = BTreeMap<String, Value>;

/// Makes the change, of what nobody else changes meanwhile, and prints what is another than before.
pub fn run(api: &Api, options: &Set) -> Result<(), Error> {
    let (mut targets, mut values) = (vec![options.target.clone()], Vec::new());
    for word in &options.words {
        match word {
            Word::Also(target) => targets.push(target.clone()),
            Word::Value(pair) => values.push(pair.clone()),
        }
    }
    let fields = fields(&options.target, &values)?;
    if let [target] = targets.as_slice() {
        let (before, after) = patch(api, target, &fields)?;
        return output::text(&told("", &fields, &before, &after));
    }
    together(api, &targets, &fields)
}

/// Changes members of one farm, all of them or none.
fn together(api: &Api, targets: &[Target], fields: &Map<String, Value>) -> Result<(), Error> {
    let farm = targets.first().map_or("", |target| target.farm.as_str());
    let mut members = Vec::with_capacity(targets.len());
    for target in targets {
        match &target.member {
            Some(member) if target.farm == farm => members.push(member),
            _ => {
                let must = "changed together are members of one farm";
                return Err(Error::Wrong(format!("{target}: {must}")));
            }
        }
    }
    let path = farm_path(farm);
    let before = api.get(&path)?;
    let each = members
        .iter()
        .map(|name| ((*name).clone(), Value::Object(fields.clone())));
    let body = json!({"members": each.collect::<Map<_, _>>()}).to_string();
    let after = api.send("PATCH", &path, before.tag.as_deref(), &body)?;
    let (before, after): (Farm, Farm) = (before.document()?, after.document()?);
    let each = members.into_iter().map(|name| {
        let (before, after) = (before.member(name), after.member(name));
        told(&format!("{name} "), fields, &before, &after)
    });
    output::text(&each.collect::<String>())
}

/// A farm, with its members' documents.
#[derive(Deserialize)]
struct Farm {
    members: Vec<Document>,
}

impl Farm {
    fn member(&self, name: &str) -> Document {
        let mut members = self.members.iter();
        let named = members.find(|member| member.get("name").is_some_and(|known| known == name));
        named.cloned().unwrap_or_default()
    }
}

/// What the fields were and are that have changed, and switches that something else holds, a line each.
fn told(of: &str, fields: &Map<String, Value>, before: &Document, after: &Document) -> String {
    let each = fields.iter().filter_map(|(key, asked)| {
        let (was, is) = (before.get(key)?, after.get(key)?);
        if was != is {
            Some(format!("{of}{key}: {} -> {}\n", plain(was), plain(is)))
        } else if is.is_boolean() && is != asked {
            let (still, holder) = (plain(is), holder(key, after));
            Some(format!("{of}{key}: still {still}{holder}\n"))
        } else {
            None
        }
    });
    each.collect()
}

/// What holds a switch that did not follow: a check or an agent, or, of `on` where nothing has
/// stopped the member, that `draintimeout` is over.
fn holder(key: &str, after: &Document) -> String {
    let stopped = after.get("stopped").and_then(Value::as_bool);
    if key == "on" && stopped == Some(false) {
        return " (draintimeout is over; drain=off ends it)".to_owned();
    }
    let said = |key| after.get(key).and_then(Value::as_str);
    behind(said("error"), said("agent"))
}

/// Changes what has been read just now; the documents before and after.
pub fn patch(
    api: &Api,
    target: &Target,
    fields: &Map<String, Value>,
) -> Result<(Document, Document), Error> {
    let path = target.path();
    let before = api.get(&path)?;
    let body = Value::Object(fields.clone()).to_string();
    let after = api.send("PATCH", &path, before.tag.as_deref(), &body)?;
    Ok((before.document()?, after.document()?))
}

/// The values with their types in JSON; checked here, too, so that a wrong one is told with what is
/// allowed and without asking.
fn fields(target: &Target, values: &[(String, String)]) -> Result<Map<String, Value>, Error> {
    if target.member.is_none() {
        let mut change = FarmChange::default();
        typed(FarmChange::KEYS, values, |key, value| {
            change.set(key, value)
        })
    } else {
        let mut change = MemberChange::default();
        typed(MemberChange::KEYS, values, |key, value| {
            change.set(key, value)
        })
    }
}

fn typed<C, E: ToString>(
    keys: &[Key<C>],
    values: &[(String, String)],
    mut check: impl FnMut(&str, &str) -> Result<(), E>,
) -> Result<Map<String, Value>, Error> {
    if values.is_empty() {
        return Err(Error::Wrong("name what changes: KEY=VALUE".to_owned()));
    }
    let mut fields = Map::new();
    for (name, text) in values {
        let Some(key) = keys.iter().find(|key| key.name.eq_ignore_ascii_case(name)) else {
            let known: Vec<_> = keys.iter().map(|key| key.name).collect();
            let known = known.join(", ");
            return Err(Error::Wrong(format!(
                "{name}: cannot be changed; what can: {known}"
            )));
        };
        check(name, text).map_err(|error| Error::Wrong(error.to_string()))?;
        let value = match key.kind {
            _ if key.clears && text == "none" => Value::Null,
            Kind::Switch => Value::Bool(matches!(text.to_ascii_lowercase().as_str(), "on" | "1")),
            Kind::Number => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            Kind::Text => text.as_str().into(),
        };
        fields.insert(key.name.to_owned(), value);
    }
    Ok(fields)
}

/// A value as it is written on the command line.
fn plain(value: &Value) -> String {
    match value {
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str, values: &[&str]) -> Result<String, String> {
        let pairs: Vec<_> = values
            .iter()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        fields(&target.parse().unwrap(), &pairs)
            .map(|fields| Value::Object(fields).to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn values_have_types() {
        let table = [
            (
                "f/m",
                &["weight=2.5", "on=Off", "route=a"][..],
                r#"{"on":false,"route":"a","weight":2.5}"#,
            ),
            (
                "f/m",
                &["maxconn=none", "lbset=3"],
                r#"{"lbset":3,"maxconn":null}"#,
            ),
            (
                "f",
                &["method=leasttime", "ON=on", "forward=none"],
                r#"{"forward":null,"method":"leasttime","on":true}"#,
            ),
        ];
        for (target, values, body) in table {
            assert_eq!(read(target, values).as_deref(), Ok(body), "{values:?}");
        }
    }

    #[test]
    fn wrong_values_are_told() {
        let wrong = read("f/m", &["weight=0"]).unwrap_err();
        assert!(wrong.starts_with("weight=0: must be"), "{wrong}");
        let unknown = read("f", &["weight=1"]).unwrap_err();
        assert!(unknown.contains("what can: on, method"), "{unknown}");
    }
}
