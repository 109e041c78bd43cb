//! A form that was submitted: from the page itself, or not at all.

use athena_engine::change::{FarmChange, MemberChange};
use athena_engine::config::addition;
use athena_engine::manager::Form;
use subtle::ConstantTimeEq;

use super::{Shown, nonce};
use crate::api::etag;
use crate::change::{self, Author, Change, Refusal, Wish};
use crate::farm::{Farm, Member};
use crate::ffi;
use crate::naming::text;
use crate::{added, body, growth, paths};

/// A form has a few hundred bytes.
const MOST: usize = 8192;

/// Does what a form asks for, all of it or nothing; what to say about it.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn submit(
    r: *mut ffi::request_rec,
    shown: &[Shown],
    author: &Author,
) -> Result<String, Refusal> {
    // SAFETY: the caller's promise.
    let body = unsafe {
        from_own_page(r)?;
        form_body(r)?
    };
    let form = Form::of(form_urlencoded::parse(&body))
        .map_err(|error| Refusal::new(ffi::HTTP_BAD_REQUEST, error.to_string()))?;
    let named = shown
        .iter()
        .find(|shown| shown.name.eq_ignore_ascii_case(&form.farm));
    let nobody = || Refusal::missing(format!("b={}: no farm of this server", form.farm));
    let shown = named.ok_or_else(nobody)?;
    let expected = nonce::of(shown.balancer);
    // `nonce=None` switches the check off.
    if !expected.is_empty() && !bool::from(expected.as_bytes().ct_eq(form.nonce.as_bytes())) {
        let reason = "the nonce is not the page's: load the page again";
        return Err(Refusal::forbidden(reason));
    }
    // What the page shows may have been added in another child.
    growth::look(shown.farm);
    if form.remove.is_some()
        && let Some(unused) = added::unused(shown.farm)
            .into_iter()
            .find(|unused| unused.url == form.member)
    {
        added::discard(shown.farm, &unused, author)?;
        return Ok(format!("{} of farm {}: removed", unused.name, shown.name));
    }
    let member = named_member(shown.farm, &form)?;
    let unchanged = || {
        if form.seen.is_empty() || form.seen == etag::of(shown.farm, member) {
            return Ok(());
        }
        let reason = "somebody else has changed it since: load the page again";
        Err(Refusal::new(ffi::HTTP_PRECONDITION_FAILED, reason))
    };
    let about = member.map_or_else(
        || format!("Farm {}", shown.name),
        |member| format!("{} of farm {}", member.name, shown.name),
    );
    let said = match (&form.add, form.remove, member) {
        (Some(url), ..) => add(shown.farm, url, &form, author)?,
        (None, Some(force), Some(member)) => {
            if added::remove(shown.farm, member, force, author, unchanged)? {
                "removed".to_owned()
            } else {
                "drains, and is removed then".to_owned()
            }
        }
        _ => apply(shown.farm, member, &form, author, unchanged)?,
    };
    Ok(format!("{about}: {said}"))
}

/// The member that a form is about, if it is about one.
fn named_member(farm: &'static Farm, form: &Form) -> Result<Option<&'static Member>, Refusal> {
    let of_farm = form.of_member == MemberChange::default() && form.remove.is_none();
    if form.member.is_empty() && of_farm {
        return Ok(None);
    }
    let url = form.member.as_bytes();
    let named = farm
        .members
        .iter()
        .find(|member| member.url().to_bytes() == url);
    if named.is_none() {
        let reason = format!("w={}: no member of farm {}", form.member, farm.name);
        return Err(Refusal::missing(reason));
    }
    Ok(named)
}

/// Adds a member.
fn add(farm: &Farm, url: &str, form: &Form, author: &Author) -> Result<String, Refusal> {
    let fields = form.line.iter();
    let line = addition::line(fields.map(|(key, value)| (key.as_str(), value.as_str())))
        .map_err(Refusal::invalid)?;
    let member = added::add(farm, url, &line, author)?;
    Ok(format!("{} added", member.name))
}

/// Puts the form's values in force.
fn apply(
    farm: &Farm,
    member: Option<&Member>,
    form: &Form,
    author: &Author,
    unchanged: impl FnOnce() -> Result<(), Refusal>,
) -> Result<String, Refusal> {
    let mut wishes = Vec::with_capacity(2);
    if member.is_none() || form.of_farm != FarmChange::default() {
        let change = Change::Farm(&form.of_farm);
        wishes.push(Wish { farm, change });
    }
    if let Some(member) = member {
        let change = Change::Member(member, &form.of_member);
        wishes.push(Wish { farm, change });
    }
    let said: Vec<String> = change::apply_if(&wishes, author, unchanged)?
        .into_iter()
        .flatten()
        .collect();
    Ok(if said.is_empty() {
        "as it was".to_owned()
    } else {
        said.join(", ")
    })
}

/// The body of a form.
unsafe fn form_body(r: *mut ffi::request_rec) -> Result<Vec<u8>, Refusal> {
    const FORM: &str = "application/x-www-form-urlencoded";
    // SAFETY: the caller's promise.
    unsafe {
        let kind = ffi::apr_table_get((*r).headers_in, c"Content-Type".as_ptr());
        let kind = text(kind);
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case(FORM) {
            let reason = format!("Content-Type must be {FORM}");
            return Err(Refusal::new(ffi::HTTP_UNSUPPORTED_MEDIA_TYPE, reason));
        }
        body::read(r, MOST)
    }
}

/// The page's own form, sent by a browser that shows it: what any other site could have made the
/// browser send is refused.
unsafe fn from_own_page(r: *mut ffi::request_rec) -> Result<(), Refusal> {
    // SAFETY: the caller's promise.
    if unsafe { paths::own_origin(r)? } {
        return Ok(());
    }
    let reason = "neither Origin nor Referer says that this page sent it";
    Err(Refusal::forbidden(reason))
}
