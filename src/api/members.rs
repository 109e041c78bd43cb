//! `POST` of a member to a farm's members, and `DELETE` of one that was added, used or not.

use std::ffi::c_int;

use athena_engine::change::Kind;
use athena_engine::config::addition;
use athena_engine::config::param::ParamError;
use serde_json::Value;

use super::{change, document, tag, view::MemberView};
use crate::added::{self, Unused};
use crate::change::{Author, Refusal};
use crate::farm::{Farm, Member};
use crate::naming::text;
use crate::{ffi, paths, pool};

/// Adds the member that the body describes.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn post(r: *mut ffi::request_rec, farm: &Farm) -> Result<c_int, Refusal> {
    // SAFETY: the caller's promise.
    let (fields, author) = unsafe { (change::fields(r)?, Author::of(r, "api")) };
    let Some(Value::String(url)) = fields.get("url") else {
        return Err(Refusal::invalid("url: must be text, the member's URL"));
    };
    let mut texts = Vec::with_capacity(fields.len());
    for (name, value) in fields.iter().filter(|(name, _)| *name != "url") {
        let kind = addition::kind(name).map_err(Refusal::invalid)?;
        let text = match (kind, value) {
            // As if it were not there.
            (_, Value::Null) => continue,
            // As on a line.
            (_, Value::String(text)) => text.clone(),
            (Kind::Switch, Value::Bool(on)) => if *on { "on" } else { "off" }.to_owned(),
            (Kind::Number, Value::Number(value)) => change::number(value),
            (kind, value) => {
                let must = match kind {
                    Kind::Text => "must be a text".to_owned(),
                    kind => format!("must be {}, or a text", kind.word()),
                };
                let value = value.to_string();
                return Err(Refusal::invalid(ParamError::value(name, &value, must)));
            }
        };
        texts.push((name.as_str(), text));
    }
    let line = addition::line(texts.iter().map(|(name, text)| (*name, text.as_str())))
        .map_err(Refusal::invalid)?;
    let member = added::add(farm, url, &line, &author)?;
    // SAFETY: the caller's promise.
    unsafe {
        (*r).status = ffi::HTTP_CREATED;
        // The member's name may have a URL's path in it, the farm's a server's number.
        let pool = (*r).pool;
        let segment = |name| text(ffi::ap_escape_path_segment(pool, pool::text(pool, name)));
        let [of, name] = [&farm.label(), &member.name].map(|name| segment(name));
        let place = format!("api/v1/farms/{of}/members/{name}");
        let place = paths::full(r, &place);
        let place = pool::text((*r).pool, place.trim_end_matches('/'));
        ffi::apr_table_setn((*r).headers_out, c"Location".as_ptr(), place);
        tag(r, farm, Some(member));
        document(r, &MemberView::of(farm, member))
    }
}

/// Removes the member: 204 when it is gone, 202 while it drains.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn delete(
    r: *mut ffi::request_rec,
    farm: &Farm,
    member: &Member,
) -> Result<c_int, Refusal> {
    // SAFETY: the caller's promise.
    unsafe {
        paths::own_origin(r)?;
        let force = match pool::bytes((*r).args) {
            b"" | b"force=0" => false,
            b"force=1" => true,
            _ => {
                let reason = "the query must be force=1, or none";
                return Err(Refusal::new(ffi::HTTP_BAD_REQUEST, reason));
            }
        };
        let unchanged = || change::unchanged(r, farm, Some(member));
        if !added::remove(farm, member, force, &Author::of(r, "api"), unchanged)? {
            (*r).status = ffi::HTTP_ACCEPTED;
            return document(r, &MemberView::of(farm, member));
        }
        (*r).status = ffi::HTTP_NO_CONTENT;
        Ok(ffi::OK)
    }
}

/// Removes a member that is not used: nothing is to be waited for.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn discard(
    r: *mut ffi::request_rec,
    farm: &Farm,
    unused: &Unused,
) -> Result<c_int, Refusal> {
    // SAFETY: the caller's promise.
    unsafe {
        paths::own_origin(r)?;
        added::discard(farm, unused, &Author::of(r, "api"))?;
        (*r).status = ffi::HTTP_NO_CONTENT;
    }
    Ok(ffi::OK)
}
