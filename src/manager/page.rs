//! The page itself.

use std::ffi::c_int;

use athena_engine::manager::STATES;
use maud::{DOCTYPE, Markup, html};

use super::nonce;
use crate::api::{FarmView, MemberView};
use crate::ffi::{self, OK};
use crate::naming::text;
use crate::runtime::FarmRef;

/// Nothing is loaded, nothing runs, nobody frames it, and its forms go nowhere else.
const POLICY: &std::ffi::CStr =
    c"default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Sends the page, with a line about what was changed.
///
/// # Safety
/// `r` is live.
pub unsafe fn send(
    r: *mut ffi::request_rec,
    farms: &[(&'static str, FarmRef)],
    said: Option<&str>,
) -> c_int {
    // SAFETY: the caller's promise; the URI lives as long as the request.
    let action = text(unsafe { (*r).uri });
    let page = document(html! {
        @if let Some(said) = said { p { strong { (said) } } }
        @if farms.is_empty() { p { "This server has no farms." } }
        @for (name, found) in farms { (farm(&action, name, found)) }
    });
    // SAFETY: as above.
    unsafe { respond(r, &page) }
}

/// Sends a page that says why nothing was changed.
///
/// # Safety
/// `r` is live.
pub unsafe fn refuse(r: *mut ffi::request_rec, status: c_int, reason: &str) -> c_int {
    // SAFETY: the caller's promise; the URI lives as long as the request.
    unsafe {
        let action = text((*r).uri);
        (*r).status = status;
        let page = document(html! {
            p { strong { "Nothing was changed: " (reason) } }
            p { a href=(action) { "Back" } }
        });
        respond(r, &page)
    }
}

fn document(body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Balancer Manager" } }
            body { h1 { "Balancer Manager" } (body) }
        }
    };
    page.into_string()
}

fn farm(action: &str, name: &str, found: &FarmRef) -> Markup {
    // SAFETY: farms live as long as the configuration.
    let Some(farm) = (unsafe { found.farm.as_ref() }) else {
        return html! {};
    };
    let view = FarmView::of(farm);
    let nonce = nonce(found.balancer);
    html! {
        h2 { "balancer://" (name) }
        p {
            "Method " (view.method) ", " (if view.on { "on" } else { "off" }) ", "
            (view.usable) " of " (view.members.len()) " members usable, "
            (view.elected) " requests, " (view.refused) " refused"
        }
        table border="1" {
            thead { tr {
                th { "Member" } th { "Route" } th { "State" }
                th { "In flight" } th { "Elected" } th { "Served" } th { "Failed" }
                th { "Bytes in" } th { "Bytes out" } th { "First byte, ms" }
                th { "Load factor" } th { "Set" }
                @for (_, _, word) in STATES { th { (word) } }
                th {}
            } }
            tbody {
                @for (number, member) in view.members.iter().enumerate() {
                    @let id = format!("{name}-{number}");
                    (row(&Row { action, farm: name, nonce: &nonce, id: &id }, member))
                }
            }
        }
    }
}

/// What a row's form needs besides its member.
struct Row<'a> {
    action: &'a str,
    farm: &'a str,
    nonce: &'a str,
    id: &'a str,
}

fn row(row: &Row<'_>, member: &MemberView) -> Markup {
    let weight = format!("{:.2}", member.weight);
    html! {
        tr {
            td title=(member.url) { (member.name) }
            td { (member.route) }
            td { (member.state()) @if let Some(error) = member.error { ": " (error) } }
            td { (member.inflight) } td { (member.elected) } td { (member.served) }
            td { (member.failed) } td { (member.bytes_in) } td { (member.bytes_out) }
            td { @if let Some(ms) = member.ttfb_ewma_ms { (ms) } }
            td { input form=(row.id) name="w_lf" size="6" value=(weight); }
            td { input form=(row.id) name="w_ls" size="2" value=(member.lbset); }
            @for (flag, field, word) in STATES {
                @let on = member.flags & flag != 0;
                td { select form=(row.id) name=(field) aria-label=(word) {
                    option value="0" selected[!on] { "off" }
                    option value="1" selected[on] { "on" }
                } }
            }
            td { form id=(row.id) method="post" action=(row.action) {
                input type="hidden" name="b" value=(row.farm);
                input type="hidden" name="w" value=(member.url);
                input type="hidden" name="nonce" value=(row.nonce);
                button { "Change" }
            } }
        }
    }
}

unsafe fn respond(r: *mut ffi::request_rec, page: &str) -> c_int {
    // SAFETY: the caller's promise; httpd sends the bytes before it returns.
    unsafe {
        ffi::ap_set_content_type(r, c"text/html; charset=utf-8".as_ptr());
        for (name, value) in [
            (c"Content-Security-Policy", POLICY),
            (c"X-Content-Type-Options", c"nosniff"),
            (c"X-Frame-Options", c"DENY"),
            (c"Referrer-Policy", c"same-origin"),
            (c"Cache-Control", c"no-store"),
        ] {
            ffi::apr_table_setn((*r).headers_out, name.as_ptr(), value.as_ptr());
        }
        let length = c_int::try_from(page.len()).unwrap_or(c_int::MAX);
        ffi::ap_rwrite(page.as_ptr().cast(), length, r);
    }
    OK
}
