//! `athctl set`: changes of a farm or a member.

use std::collections::BTreeMap;

use athena_engine::change::{FarmChange, Key, Kind, MemberChange};
use serde_json::{Map, Value};

use crate::api::Api;
use crate::cli::{Set, Target};
use crate::error::Error;

/// A document as its fields.
type Document = BTreeMap<String, Value>;

/// Makes the change, of what nobody else changes meanwhile, and prints what is another than before.
pub fn run(api: &Api, options: &Set) -> Result<(), Error> {
    let fields = fields(&options.target, &options.values)?;
    let (before, after) = patch(api, &options.target, &fields)?;
    for key in fields.keys() {
        let shown = |of: &Document| of.get(key).map_or_else(String::new, plain);
        println!("{key}: {} -> {}", shown(&before), shown(&after));
    }
    Ok(())
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
