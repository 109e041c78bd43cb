//! `athctl add` and `athctl remove`: members at run time.

use serde_json::{Map, Value};

use crate::api::{Api, members_path};
use crate::cli::{Add, Remove};
use crate::documents::Member;
use crate::drain::{Look, wait};
use crate::error::Error;
use crate::output;

/// Adds a member, and prints its name.
pub fn add(api: &Api, options: &Add) -> Result<(), Error> {
    let mut fields = Map::from_iter([("url".to_owned(), Value::from(options.member.as_str()))]);
    for (key, value) in &options.values {
        fields.insert(key.clone(), value.as_str().into());
    }
    let path = members_path(&options.farm);
    let answer = api.send("POST", &path, None, &Value::Object(fields).to_string())?;
    let member: Member = answer.document()?;
    output::line(format_args!("{}/{}", options.farm, member.name))
}

/// Removes a member, which drains first unless forced.
pub fn remove(api: &Api, options: &Remove) -> Result<(), Error> {
    let path = options.target.path();
    let force = if options.force { "?force=1" } else { "" };
    let answer = api.send("DELETE", &format!("{path}{force}"), None, "")?;
    if answer.status == DRAINS && !options.wait {
        return output::line(format_args!(
            "{} drains, and is removed then",
            options.target
        ));
    }
    if answer.status == DRAINS {
        wait(&options.target, options.most, || {
            match api
                .get(&path)
                .and_then(|answer| answer.document::<Member>())
            {
                Ok(member) => Ok(Look::Wait(format!("{} in flight", member.inflight))),
                Err(Error::Refused { status: GONE, .. }) => Ok(Look::Done),
                Err(error) => Err(error),
            }
        })?;
    }
    output::line(format_args!("{} is removed", options.target))
}

/// Accepted: it drains.
const DRAINS: u16 = 202;
const GONE: u16 = 404;
