//! `PATCH` of a farm or a member: a JSON merge patch (RFC 7396) of what can be changed, taken whole
//! or not at all. With `If-Match`, only of what the client has seen.

use std::ffi::CStr;

use athena_engine::change::{FarmChange, Key, Kind, MemberChange};
use athena_engine::config::param::ParamError;
use serde_json::{Map, Number, Value};

use super::etag;
use crate::body;
use crate::change::{self, Author, Change, Refusal, Wish};
use crate::farm::{Farm, Member};
use crate::naming::text;
use crate::{ffi, paths};

const TYPES: [&str; 2] = ["application/merge-patch+json", "application/json"];
/// A change has a few hundred bytes.
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
    let (fields, author) = unsafe { (fields(r)?, Author::of(r, "api")) };
    // SAFETY: as above.
    let unchanged = || unsafe { unchanged(r, farm, member) };
    let (mut of_farm, mut of_member) = (FarmChange::default(), MemberChange::default());
    let change = match member {
        None => {
            read(&fields, FarmChange::KEYS, |key, value| {
                of_farm.set(key, value)
            })?;
            Change::Farm(&of_farm)
        }
        Some(member) => {
            read(&fields, MemberChange::KEYS, |key, value| {
                of_member.set(key, value)
            })?;
            Change::Member(member, &of_member)
        }
    };
    change::apply_if(&[Wish { farm, change }], &author, unchanged).map(drop)
}

/// The fields of the body, of a request that may change anything.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn fields(r: *mut ffi::request_rec) -> Result<Map<String, Value>, Refusal> {
    // SAFETY: the caller's promise.
    unsafe {
        paths::own_origin(r).map_err(|reason| Refusal::new(ffi::HTTP_FORBIDDEN, reason))?;
        let kind = header(r, c"Content-Type");
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
    let expected = unsafe { header(r, c"If-Match") };
    if expected.is_empty() || etag::matches(&expected, &etag::of(farm, member)) {
        return Ok(());
    }
    let reason = "somebody else has changed it since: read it again";
    Err(Refusal::new(ffi::HTTP_PRECONDITION_FAILED, reason))
}

unsafe fn header(r: *mut ffi::request_rec, name: &CStr) -> String {
    // SAFETY: the caller's promise.
    text(unsafe { ffi::apr_table_get((*r).headers_in, name.as_ptr()) })
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

fn read<C>(
    fields: &Map<String, Value>,
    keys: &[Key<C>],
    mut set: impl FnMut(&str, &str) -> Result<(), ParamError>,
) -> Result<(), Refusal> {
    let wrong = |reason: String| Refusal::new(ffi::HTTP_UNPROCESSABLE_ENTITY, reason);
    for (name, value) in fields {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            let known: Vec<_> = keys.iter().map(|key| key.name).collect();
            return Err(wrong(format!(
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
                return Err(wrong(format!("{name}={value}: must be {kind}{or_null}")));
            }
        };
        set(name, &text).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}
