//! `PATCH` of a member, or of a farm with members of it: a JSON merge patch (RFC 7396) of what can be
//! changed, taken whole or not at all. With `If-Match`, only of what the client has seen.

use athena_engine::change::{FarmChange, Key, Kind, MemberChange};
use athena_engine::config::param::ParamError;
use athena_engine::etag::Named;
use serde_json::{Map, Number, Value};

use super::{etag, header};
use crate::body;
use crate::change::{self, Author, Change, Refusal, Wish};
use crate::farm::{Farm, Member};
use crate::{ffi, paths};

const TYPES: [&str; 2] = ["application/merge-patch+json", "application/json"];
/// What a farm's change has beside [`FarmChange::KEYS`]: changes of members, by their names.
const MEMBERS: &str = "members";
/// A change of a member has a few hundred bytes.
const MOST: usize = 16_384;

/// Makes the change.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn patch(
    r: *mut ffi::request_rec,
    farm: &Farm,
    member: Option<&Member>,
) -> Result<(), Refusal> {
    // SAFETY: the caller's promise.
    let (mut fields, author) = unsafe { (fields(r)?, Author::of(r, "api")) };
    // SAFETY: as above.
    let unchanged = || unsafe { unchanged(r, farm, member) };
    let mut of_farm = FarmChange::default();
    let of_members = match member {
        Some(member) => vec![(member, of_member(&fields)?)],
        None => {
            let members = fields.remove(MEMBERS);
            read(&fields, FarmChange::KEYS, &[MEMBERS], |key, value| {
                of_farm.set(key, value)
            })?;
            members.map_or_else(|| Ok(Vec::new()), |members| each(farm, &members))?
        }
    };
    let mut changes: Vec<_> = of_members
        .iter()
        .map(|(member, change)| Change::Member(member, change))
        .collect();
    if member.is_none() {
        changes.push(Change::Farm(&of_farm));
    }
    let wishes: Vec<_> = changes
        .into_iter()
        .map(|change| Wish { farm, change })
        .collect();
    change::apply_if(&wishes, &author, unchanged).map(drop)
}

/// Changes of members, by their names.
fn each<'a>(farm: &'a Farm, members: &Value) -> Result<Vec<(&'a Member, MemberChange)>, Refusal> {
    let Value::Object(members) = members else {
        return Err(Refusal::invalid(format!(
            "{MEMBERS}: must be an object, changes by members' names"
        )));
    };
    members
        .iter()
        .map(|(name, fields)| {
            let member = farm.members.iter().find(|member| member.name == *name);
            let member = member.ok_or_else(|| {
                Refusal::invalid(format!("farm {} has no member {name}", farm.name))
            })?;
            let Value::Object(fields) = fields else {
                return Err(Refusal::invalid(format!(
                    "member {name}: must be an object"
                )));
            };
            let change = of_member(fields).map_err(|refusal| {
                Refusal::invalid(format!("member {name}: {}", refusal.reason))
            })?;
            Ok((member, change))
        })
        .collect()
}

fn of_member(fields: &Map<String, Value>) -> Result<MemberChange, Refusal> {
    let mut change = MemberChange::default();
    read(fields, MemberChange::KEYS, &[], |key, value| {
        change.set(key, value)
    })?;
    Ok(change)
}

/// The fields of the body, of a request that may change anything.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn fields(r: *mut ffi::request_rec) -> Result<Map<String, Value>, Refusal> {
    // SAFETY: the caller's promise.
    unsafe {
        paths::own_origin(r)?;
        let kind = header(r, c"Content-Type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !TYPES.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            let reason = format!("Content-Type must be {}", TYPES.join(" or "));
            return Err(Refusal::new(ffi::HTTP_UNSUPPORTED_MEDIA_TYPE, reason));
        }
        object(&body::read(r, MOST)?)
    }
}

/// Refuses a change of what is no longer as the client has seen it (`If-Match`).
///
/// # Safety
/// `r` is live.
pub unsafe fn unchanged(
    r: *mut ffi::request_rec,
    farm: &Farm,
    member: Option<&Member>,
) -> Result<(), Refusal> {
    // SAFETY: the caller's promise.
    let Some(expected) = (unsafe { header(r, c"If-Match") }) else {
        return Ok(());
    };
    // A client that has lost its tag means no change of whatever is there.
    let reason = match Named::read(&expected) {
        Some(named) if named.has(&etag::of(farm, member)) => return Ok(()),
        Some(_) => "somebody else has changed it since: read it again",
        None => "If-Match must be an ETag with its quotes, several, or *",
    };
    Err(Refusal::new(ffi::HTTP_PRECONDITION_FAILED, reason))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Refusal::new(
            ffi::HTTP_BAD_REQUEST,
            "the body must be a JSON object",
        )),
        Err(error) => Err(Refusal::new(
            ffi::HTTP_BAD_REQUEST,
            format!("the body is not JSON: {error}"),
        )),
    }
}

/// As the configuration writes it: in JSON, `5.0` is a whole number, too.
pub fn number(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if value.fract() == 0.0 && value.abs() < 1e15 => format!("{:.0}", value + 0.0),
        _ => number.to_string(),
    }
}

/// Reads the fields of a change; `besides` are other ones that it could have had.
fn read<C>(
    fields: &Map<String, Value>,
    keys: &[Key<C>],
    besides: &[&str],
    mut set: impl FnMut(&str, &str) -> Result<(), ParamError>,
) -> Result<(), Refusal> {
    for (name, value) in fields {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            let keys = keys.iter().map(|key| key.name);
            let known: Vec<_> = keys.chain(besides.iter().copied()).collect();
            return Err(Refusal::invalid(format!(
                "{name}: cannot be changed; what can: {}",
                known.join(", ")
            )));
        };
        let text = match (key.kind, value) {
            (Kind::Switch, Value::Bool(on)) => if *on { "on" } else { "off" }.to_owned(),
            (Kind::Number, Value::Number(value)) => number(value),
            (Kind::Text, Value::String(text)) => text.clone(),
            (_, Value::Null) if key.clears => "none".to_owned(),
            (kind, value) => {
                let or_null = if key.clears { " or null" } else { "" };
                let kind = kind.word();
                return Err(Refusal::invalid(format!(
                    "{name}={value}: must be {kind}{or_null}"
                )));
            }
        };
        set(name, &text).map_err(Refusal::invalid)?;
    }
    Ok(())
}
