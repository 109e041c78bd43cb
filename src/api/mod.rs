//! The JSON API below the engine's path, `/athena/api/v1/…`: what is there ([`view`], [`events`]), what
//! happens ([`stream`]), and changes of it ([`change`], [`members`]). Errors are documents, too ([`problem`]).

mod change;
pub mod etag;
mod events;
mod members;
mod problem;
mod stream;
mod view;

use std::ffi::{CStr, c_int};

use athena_engine::config;
use athena_engine::etag::Named;
use serde::Serialize;

use crate::added::{self, Unused};
use crate::change::Refusal;
use crate::farm::{Farm, Member};
use crate::ffi::{self, OK};
use crate::log::{self, Level};
use crate::naming::text;
use crate::{growth, metrics, pool, runtime};

pub use view::{FarmView, MemberView};

/// The API in OpenAPI's words, which the tests hold it to.
const DESCRIPTION: &[u8] = include_bytes!("openapi.json");
const JSON: &CStr = c"application/json";

/// What a path names.
enum Resource {
    Farms,
    Farm(&'static Farm),
    Members(&'static Farm),
    Member(&'static Farm, &'static Member),
    /// One that was added and is not used.
    Unused(&'static Farm, Unused),
    Events,
    Description,
    /// Not of the API, but a document as well.
    Metrics,
}

/// Answers a request below the engine's path.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn answer(r: *mut ffi::request_rec, path: &[u8]) -> c_int {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    // SAFETY: the caller's promise.
    unsafe {
        match respond(r, path) {
            Ok(status) => status,
            Err(refusal) => refuse(r, &refusal),
        }
    }
}

/// Answers with a problem, and logs why.
///
/// # Safety
/// `r` is live.
unsafe fn refuse(r: *mut ffi::request_rec, refusal: &Refusal) -> c_int {
    if refusal.status == ffi::HTTP_FORBIDDEN {
        let text = format!("ATH0254: refused: {}", refusal.reason);
        log::request(Level::Warning, r, &text);
    }
    // SAFETY: the caller's promise.
    unsafe { problem::answer(r, refusal) }
}

/// Answers whoever may not ask for a path below the engine's; why is the log's to know.
///
/// # Safety
/// `r` is live.
pub unsafe fn forbidden(r: *mut ffi::request_rec, path: &[u8], refusal: &Refusal) -> c_int {
    if !path.starts_with(b"/api/") {
        return ffi::HTTP_FORBIDDEN;
    }
    // SAFETY: the caller's promise.
    unsafe { problem::answer(r, refusal) }
}

unsafe fn respond(r: *mut ffi::request_rec, path: &[u8]) -> Result<c_int, Refusal> {
    let resource = resource(path)?;
    // SAFETY: the caller's promise.
    unsafe {
        match ((*r).method_number, &resource) {
            (ffi::M_GET, _) => {
                let status = ffi::ap_discard_request_body(r);
                if status != OK {
                    return Err(Refusal::new(status, "the body cannot be read"));
                }
            }
            (ffi::M_PATCH, Resource::Farm(farm)) => change::patch(r, farm, None)?,
            (ffi::M_PATCH, Resource::Member(farm, member)) => change::patch(r, farm, Some(member))?,
            (ffi::M_POST, Resource::Members(farm)) => return members::post(r, farm),
            (ffi::M_DELETE, Resource::Member(farm, member)) => {
                return members::delete(r, farm, member);
            }
            (ffi::M_DELETE, Resource::Unused(farm, unused)) => {
                return members::discard(r, farm, unused);
            }
            (_, resource) => {
                let allowed = match resource {
                    Resource::Farms
                    | Resource::Events
                    | Resource::Description
                    | Resource::Metrics => c"GET, HEAD",
                    Resource::Farm(_) => c"GET, HEAD, PATCH",
                    Resource::Members(_) => c"GET, HEAD, POST",
                    Resource::Member(..) => c"GET, HEAD, PATCH, DELETE",
                    Resource::Unused(..) => c"DELETE",
                };
                ffi::apr_table_setn((*r).headers_out, c"Allow".as_ptr(), allowed.as_ptr());
                let reason = format!("what is there allows {}", allowed.to_string_lossy());
                return Err(Refusal::new(ffi::HTTP_METHOD_NOT_ALLOWED, reason));
            }
        }
        match resource {
            Resource::Farms => {
                let mut farms: Vec<_> = runtime::farms().iter().map(FarmView::of).collect();
                let text = json(&view::Document { farms: &farms })?;
                farms.iter_mut().for_each(FarmView::stop_times);
                list(r, &text, &json(&view::Document { farms: &farms })?)
            }
            Resource::Farm(farm) => {
                tag(r, farm, None);
                document(r, &FarmView::of(farm))
            }
            Resource::Members(farm) => {
                let mut farm = FarmView::of(farm);
                let text = json(&farm.members)?;
                farm.stop_times();
                list(r, &text, &json(&farm.members)?)
            }
            Resource::Unused(_, Unused { name, reason, .. }) => {
                let reason = format!("member {name} was added and is not used: {reason}");
                Err(Refusal::missing(reason))
            }
            Resource::Member(farm, member) => {
                tag(r, farm, Some(member));
                document(r, &MemberView::of(farm, member))
            }
            Resource::Events => {
                let after = last_event_id(r)?;
                if accepts_stream(r) {
                    return stream::answer(r, after);
                }
                document(r, &events::Document::between(after.unwrap_or(0), u64::MAX))
            }
            Resource::Description => Ok(send(r, JSON, DESCRIPTION)),
            Resource::Metrics => Ok(metrics::answer(r)),
        }
    }
}

/// The event that the client has seen last.
unsafe fn last_event_id(r: *mut ffi::request_rec) -> Result<Option<u64>, Refusal> {
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { header(r, c"Last-Event-ID") }) else {
        return Ok(None);
    };
    given.parse().map(Some).map_err(|_| {
        let reason = "Last-Event-ID must be the number of an event";
        Refusal::new(ffi::HTTP_BAD_REQUEST, reason)
    })
}

/// A header of the request.
unsafe fn header(r: *mut ffi::request_rec, name: &CStr) -> Option<String> {
    // SAFETY: the caller's promise.
    let given = unsafe { ffi::apr_table_get((*r).headers_in, name.as_ptr()) };
    (!given.is_null()).then(|| text(given))
}

unsafe fn accepts_stream(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise.
    let accepted = unsafe { header(r, c"Accept") }.unwrap_or_default();
    // SAFETY: as above.
    let only_head = unsafe { (*r).header_only } != 0;
    !only_head && accepted.split(',').any(wants_stream)
}

/// Whether one entry of `Accept` is the stream, and not refused with a weight of 0 (RFC 9110, 12.4.2).
fn wants_stream(entry: &str) -> bool {
    let mut words = entry.split(';').map(str::trim);
    let is_stream = words
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("text/event-stream"));
    is_stream
        && !words.any(|word| {
            let pair = word.split_once('=');
            pair.is_some_and(|(name, weight)| {
                name.eq_ignore_ascii_case("q") && weight.parse() == Ok(0.0)
            })
        })
}

/// What a path below the engine's own names.
fn resource(path: &[u8]) -> Result<Resource, Refusal> {
    let text = String::from_utf8_lossy(path);
    if text == "/metrics" {
        return Ok(Resource::Metrics);
    }
    let nothing = || Refusal::missing(format!("there is nothing at {text}"));
    let rest = text.strip_prefix("/api/v1/").ok_or_else(nothing)?;
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match (first, rest) {
        ("events", "") => return Ok(Resource::Events),
        ("openapi.json", "") => return Ok(Resource::Description),
        ("farms", "") => return Ok(Resource::Farms),
        ("farms", _) => {}
        _ => return Err(nothing()),
    }
    let (name, behind) = rest.split_once('/').unwrap_or((rest, ""));
    let farm = named(name)?;
    let farm = farm.ok_or_else(|| Refusal::missing(format!("there is no farm {name}")))?;
    // This child may have served no request since a member was added.
    growth::look(farm);
    if behind.is_empty() {
        return Ok(Resource::Farm(farm));
    }
    if behind == "members" {
        return Ok(Resource::Members(farm));
    }
    // A member's name may have a path.
    let name = behind.strip_prefix("members/").ok_or_else(nothing)?;
    if let Some(member) = farm.members.iter().find(|member| member.name == name) {
        return Ok(Resource::Member(farm, member));
    }
    let mut unused = added::unused(farm).into_iter();
    unused
        .find(|unused| unused.name == name)
        .map(|unused| Resource::Unused(farm, unused))
        .ok_or_else(|| Refusal::missing(format!("farm {} has no member {name}", farm.name)))
}

unsafe fn document(r: *mut ffi::request_rec, document: &impl Serialize) -> Result<c_int, Refusal> {
    let text = json(document)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { send(r, JSON, text.as_bytes()) })
}

/// Answers with a list, unless the client has one already that says the same of what does not move by
/// itself (`If-None-Match`).
unsafe fn list(r: *mut ffi::request_rec, text: &str, still: &str) -> Result<c_int, Refusal> {
    let tag = etag::of_text(still);
    // SAFETY: the caller's promise.
    unsafe {
        set_tag(r, &tag);
        let had = header(r, c"If-None-Match");
        let named = had.as_deref().and_then(Named::read);
        if named.is_some_and(|named| named.has_like(&tag)) {
            (*r).status = ffi::HTTP_NOT_MODIFIED;
            return Ok(OK);
        }
        Ok(send(r, JSON, text.as_bytes()))
    }
}

fn json(document: &impl Serialize) -> Result<String, Refusal> {
    let text = serde_json::to_string(document)
        .map_err(|error| Refusal::new(ffi::HTTP_INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(text + "\n")
}

/// What `If-Match` of a change may name.
unsafe fn tag(r: *mut ffi::request_rec, farm: &Farm, member: Option<&Member>) {
    // SAFETY: the caller's promise.
    unsafe { set_tag(r, &etag::of(farm, member)) };
}

unsafe fn set_tag(r: *mut ffi::request_rec, tag: &str) {
    // SAFETY: the caller's promise.
    unsafe {
        let tag = pool::text((*r).pool, tag);
        ffi::apr_table_setn((*r).headers_out, c"ETag".as_ptr(), tag);
    }
}

/// Answers with a text of that type.
///
/// # Safety
/// `r` is live, `content_type` static.
pub unsafe fn send(r: *mut ffi::request_rec, content_type: &CStr, text: &[u8]) -> c_int {
    // SAFETY: the caller's promise; httpd copies or sends the bytes before it returns.
    unsafe {
        ffi::ap_set_content_type(r, content_type.as_ptr());
        let headers = (*r).headers_out;
        ffi::apr_table_setn(headers, c"Cache-Control".as_ptr(), c"no-store".as_ptr());
        ffi::apr_table_setn(
            headers,
            c"X-Content-Type-Options".as_ptr(),
            c"nosniff".as_ptr(),
        );
        let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        ffi::ap_rwrite(text.as_ptr().cast(), length, r);
    }
    OK
}

/// The farm that a name in a path says, `NAME` or `NAME@server`, if there is one.
pub fn named(name: &str) -> Result<Option<&'static Farm>, Refusal> {
    let farms = runtime::farms().iter();
    let found = config::named::farms(farms, name, |farm| (&farm.name, &farm.server));
    if let [] | [_] = found.as_slice() {
        return Ok(found.first().copied());
    }
    let names: Vec<_> = found
        .iter()
        .map(|farm| format!("{}@{}", farm.name, farm.server))
        .collect();
    let reason = format!("several farms have this name: {}", names.join(" "));
    Err(Refusal::new(ffi::HTTP_CONFLICT, reason))
}
