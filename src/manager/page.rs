//! The page around the farms: one document without anything from elsewhere, its style and script
//! within it and named by their hashes in a policy that allows nothing else.

use std::ffi::c_int;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{Shown, table};
use crate::api::FarmView;
use crate::ffi::{self, OK};
use crate::pool;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Ccircle cx='3.5' cy='8' r='2.5' fill='%230d7d74'/%3E%3Cpath d='M6 8h3M9 8l3-5M9 8h3M9 8l3 5' \
    stroke='%230d7d74' stroke-width='1.6' fill='none' stroke-linecap='round'/%3E%3C/svg%3E";

/// What every page may do: be styled by us, show its icon, send its forms back, and be framed by
/// nobody.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src '{}'; img-src data:; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
        hash(STYLE)
    )
});

/// A page that is live may run our script, too, which asks the API.
static LIVE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}; script-src '{}'; connect-src 'self'",
        *POLICY,
        hash(SCRIPT)
    )
});

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// What a page is about.
pub struct Page {
    /// Where it stands.
    pub uri: String,
    /// Where a script may ask for news: the API's farms.
    pub api: Option<String>,
    /// The only farm that it shows.
    pub one: Option<String>,
}

impl Page {
    /// The address of a farm's page; of all, for none.
    pub fn address(&self, farm: Option<&str>) -> String {
        match farm {
            None => self.uri.clone(),
            Some(farm) => format!("{}?farm={}", self.uri, quoted(farm)),
        }
    }

    /// Sends the page, with a line about what was changed.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn send(
        &self,
        r: *mut ffi::request_rec,
        farms: &[Shown],
        said: Option<&str>,
    ) -> c_int {
        let farms: Vec<_> = farms
            .iter()
            .map(|shown| (shown, FarmView::of(shown.farm)))
            .collect();
        let body = html! {
            (self.head(&farms))
            main id="main" data-api=[self.news()] {
                p #said role="status" { @if let Some(said) = said { (said) } }
                @if farms.is_empty() { p .empty { "This server has no farms." } }
                @for (shown, view) in &farms { (table::farm(self, shown, view)) }
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.respond(r, body) }
    }

    /// Sends a page that says why nothing is shown or done.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn refuse(&self, r: *mut ffi::request_rec, status: c_int, reason: &str) -> c_int {
        let body = html! {
            (self.head(&[]))
            main id="main" {
                p #said .refused role="alert" { (reason) }
                p { a href=(self.address(self.one.as_deref())) { "Back to the page" } }
            }
        };
        // SAFETY: the caller's promise.
        unsafe {
            (*r).status = status;
            self.respond(r, body)
        }
    }

    /// The part of the API that has what is shown.
    fn news(&self) -> Option<String> {
        let api = self.api.as_ref()?;
        let one = self.one.as_deref().map(quoted).unwrap_or_default();
        Some(format!("{api}{one}"))
    }

    fn head(&self, farms: &[(&Shown, FarmView)]) -> Markup {
        let count = |count: fn(&FarmView) -> usize| farms.iter().map(|(_, view)| count(view)).sum();
        let (usable, members): (usize, usize) =
            (count(|view| view.usable), count(|view| view.members.len()));
        html! {
            header {
                a .skip href="#main" { "To the farms" }
                h1 { a href=(self.address(None)) { "Athena" } }
                @if !farms.is_empty() {
                    p .sum {
                        @if self.one.is_none() { b { (farms.len()) } (plural(farms.len(), " farm")) ", " }
                        b { (usable) } " of " b { (members) } (plural(members, " member")) " usable"
                    }
                }
                p #live {}
                @if self.one.is_some() {
                    nav { a href=(self.address(None)) { "All farms" } }
                } @else if farms.len() > 1 {
                    nav aria-label="Farms" {
                        @for (shown, _) in farms {
                            a href={ "#" (table::id(&shown.name)) } { (shown.name) }
                        }
                    }
                }
            }
        }
    }

    unsafe fn respond(&self, r: *mut ffi::request_rec, body: Markup) -> c_int {
        let title = self.one.as_deref().map(|farm| format!("{farm} · "));
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title.unwrap_or_default()) "Athena" }
                    link rel="icon" href=(ICON);
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (body)
                    @if self.api.is_some() { script { (PreEscaped(SCRIPT)) } }
                }
            }
        };
        let page = page.into_string();
        let policy = if self.api.is_some() { &LIVE } else { &POLICY };
        // SAFETY: the caller's promise; httpd sends the bytes before it returns.
        unsafe {
            ffi::ap_set_content_type(r, c"text/html; charset=utf-8".as_ptr());
            let headers = (*r).headers_out;
            let policy = pool::text((*r).pool, policy);
            ffi::apr_table_setn(headers, c"Content-Security-Policy".as_ptr(), policy);
            for (name, value) in [
                (c"X-Content-Type-Options", c"nosniff"),
                (c"X-Frame-Options", c"DENY"),
                // Older browsers name the page that sent a form in Referer alone.
                (c"Referrer-Policy", c"same-origin"),
                (c"Cache-Control", c"no-store"),
            ] {
                ffi::apr_table_setn(headers, name.as_ptr(), value.as_ptr());
            }
            let length = c_int::try_from(page.len()).unwrap_or(c_int::MAX);
            ffi::ap_rwrite(page.as_ptr().cast(), length, r);
        }
        OK
    }
}

/// A word for so many.
pub fn plural(count: usize, word: &str) -> String {
    format!("{word}{}", if count == 1 { "" } else { "s" })
}

fn quoted(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
