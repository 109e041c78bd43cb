//! A farm on the page: its figures, its members, and the forms that change them. The script fills in
//! what `data-value` and `data-chart` name; everything else is as it was when the page was made.

use athena_engine::manager::STATES;
use athena_engine::method;
use maud::{Markup, html};

use super::page::{Page, plural};
use super::{Shown, nonce};
use crate::added::{self, Unused};
use crate::api::{FarmView, MemberView, etag};

/// Where on the page a farm stands.
pub fn id(name: &str) -> String {
    format!("farm-{name}")
}

/// What the forms of a farm have in common.
struct Forms<'a> {
    /// Where they go, and come back to.
    action: String,
    farm: &'a str,
    nonce: String,
}

/// One farm.
pub fn farm(page: &Page, shown: &Shown, view: &FarmView) -> Markup {
    let id = id(&shown.name);
    let forms = Forms {
        action: format!("{}#{id}", page.address(page.one.as_deref())),
        farm: &shown.name,
        nonce: nonce::of(shown.balancer),
    };
    let (state, word) = match view {
        FarmView { on: false, .. } => ("off", "off"),
        FarmView { usable: 0, .. } => ("down", "nothing usable"),
        FarmView {
            usable, members, ..
        } if *usable < members.len() => ("out", "in part"),
        _ => ("ok", "in service"),
    };
    let inflight: u64 = view.members.iter().map(|member| member.inflight).sum();
    let failed: u64 = view.members.iter().map(|member| member.failed).sum();
    html! {
        section .farm id=(id) data-farm=(view.name) data-server=(view.server) aria-labelledby={ (id) "-name" } {
            div .title {
                h2 id={ (id) "-name" } { a href=(page.address(Some(&shown.name))) { (shown.name) } }
                (pill(state, word))
                p .note {
                    "Method " b { (view.method) } ", "
                    (view.usable) " of " (view.members.len()) (plural(view.members.len(), " member")) " usable"
                    @if let Some(forward) = &view.forward { ", forwards to " (forward) }
                    @if let Some(fallback) = &view.fallback { ", falls back to " (fallback) }
                }
                (farm_actions(&forms, &id, shown, view))
            }
            dl .tiles {
                (tile("rate", "Requests a second", None))
                (tile("inflight", "In flight", Some(inflight)))
                (tile("queued", "Waiting", u64::try_from(view.queued).ok()))
                (tile("ttfb", "First byte, ms", None))
                (tile("elected", "Requests", Some(view.elected)))
                (tile("failed", "Failed attempts", Some(failed)))
                (tile("refused", "Refused", Some(view.refused)))
            }
            (members(&forms, &id, shown, view))
            @for unused in &view.unused { (not_used(&forms, unused)) }
        }
    }
}

/// A member that was added and is not used: why, and its way out.
fn not_used(forms: &Forms<'_>, unused: &Unused) -> Markup {
    html! {
        div .unused {
            p { b { (unused.name) } " was added and is not used: " (unused.reason) }
            form .one method="post" action=(forms.action) {
                (forms.hidden(None))
                input type="hidden" name="w" value=(unused.url);
                button name="remove" value="1" { "Remove" span .hidden { " " (unused.name) } }
            }
        }
    }
}

/// A figure of the farm; those without a value yet are for the script to find.
fn tile(name: &str, word: &str, value: Option<u64>) -> Markup {
    html! {
        div .live[value.is_none()] {
            dt { (word) }
            dd {
                span data-value=(name) { @match value { Some(value) => (grouped(value)), None => "–" } }
                @if matches!(name, "rate" | "inflight" | "ttfb") { span data-chart=(name) {} }
            }
        }
    }
}

fn members(forms: &Forms<'_>, id: &str, shown: &Shown, view: &FarmView) -> Markup {
    html! {
        table {
            caption { "Members of " (shown.name) }
            thead { tr {
                th scope="col" { "Member" }
                th scope="col" { "State" }
                th scope="col" { "Share" }
                th .live scope="col" { "Rate, /s" }
                th scope="col" { "First byte, ms" }
                th scope="col" { "In flight" }
                th scope="col" { "Served" }
                th scope="col" { "Failed" }
                th scope="col" { "Weight" }
                th scope="col" { span .hidden { "Change" } }
            } }
            tbody {
                @for (number, member) in view.members.iter().enumerate() {
                    @let id = format!("{id}-{number}");
                    @let tag = etag::of(shown.farm, Some(member.of));
                    (row(view, member, &member_actions(forms, &id, member, &tag)))
                }
            }
        }
    }
}

fn row(farm: &FarmView, member: &MemberView, actions: &Markup) -> Markup {
    let (state, word) = state(member);
    let all: u64 = farm.members.iter().map(|member| member.elected).sum();
    let share = (member.elected * 100).checked_div(all).unwrap_or(0);
    html! {
        tr data-member=(member.name) {
            th scope="row" {
                span .name { (member.name) }
                span .url { (member.url) }
                @if !member.route.is_empty() { span .url { "route " (member.route) } }
            }
            td data-label="State" {
                (pill(state, word))
                @if let Some(error) = member.error { span .why { (error) } }
                @if let Some(said) = &member.agent { span .why { "agent: " (said) } }
            }
            td data-label="Share" {
                span data-value="share" { (share) " %" }
                svg .bar aria-hidden="true" { rect data-bar="" width={ (share) "%" } height="100%" {} }
            }
            td .live data-label="Rate, /s" {
                span data-value="rate" { "–" }
                span data-chart="rate" {}
            }
            td data-label="First byte, ms" {
                span data-value="ttfb" { @match member.ttfb_ewma_ms { Some(ms) => (millis(ms)), None => "–" } }
                span data-chart="ttfb" {}
            }
            td data-label="In flight" {
                span data-value="inflight" { (member.inflight) }
                @if let Some(most) = member.maxconn { span .of { " of " (most) } }
            }
            td data-label="Served" { span data-value="served" { (grouped(member.served)) } }
            td data-label="Failed" { span data-value="failed" { (grouped(member.failed)) } }
            td data-label="Weight" {
                (weight(member))
                @if member.lbset > 0 { span .of { " set " (member.lbset) } }
            }
            td .actions { (actions) }
        }
    }
}

/// A member's state, for its colour and in words.
fn state(member: &MemberView) -> (&'static str, &'static str) {
    let state = member.state();
    let word = match state {
        "out" => "no reports",
        "drain" => "draining",
        "ok" if member.spare => "spare",
        "ok" => "in service",
        "off" if member.stopped => "stopped",
        other => other,
    };
    (state, word)
}

fn pill(state: &str, word: &str) -> Markup {
    html! { span class={ "pill " (state) } { (word) } }
}

/// A change that people are asked about before it is made: the question opens without a script.
struct Asked<'a> {
    /// On the button.
    word: &'a str,
    /// What it is done to.
    what: &'a str,
    /// What comes of it.
    question: &'a str,
}

fn asked(id: &str, asked: &Asked<'_>, form: &Markup) -> Markup {
    html! {
        details id=(id) name="open" {
            summary { (asked.word) span .hidden { " " (asked.what) } }
            div .panel {
                p { b { (asked.word) " " (asked.what) "?" } " " (asked.question) }
                (form)
            }
        }
    }
}

impl Forms<'_> {
    /// A form with nothing but a button.
    fn button(&self, member: Option<&MemberView>, field: &str, value: &str, label: &str) -> Markup {
        html! {
            form .one method="post" action=(self.action) {
                (self.hidden(member))
                button name=(field) value=(value) {
                    (label)
                    @if let Some(member) = member { span .hidden { " " (member.name) } }
                }
            }
        }
    }

    fn hidden(&self, member: Option<&MemberView>) -> Markup {
        html! {
            input type="hidden" name="b" value=(self.farm);
            @if let Some(member) = member { input type="hidden" name="w" value=(member.url); }
            input type="hidden" name="nonce" value=(self.nonce);
        }
    }
}

fn member_actions(forms: &Forms<'_>, id: &str, member: &MemberView, tag: &str) -> Markup {
    let button = |field, value, label| forms.button(Some(member), field, value, label);
    html! {
        @if member.on {
            (asked(&format!("{id}-off"), &Asked {
                word: "Disable",
                what: &member.name,
                question: "No new request goes to it; those under way end in peace. Its sessions go to \
                    other members.",
            }, &button("w_on", "off", "Disable")))
        } @else {
            (button("w_on", "on", "Enable"))
        }
        @if member.drain {
            (button("w_drain", "off", "Resume"))
        } @else {
            (asked(&format!("{id}-drain"), &Asked {
                word: "Drain",
                what: &member.name,
                question: "It serves the sessions it has, and gets no new ones.",
            }, &button("w_drain", "on", "Drain")))
        }
        @if member.added {
            (asked(&format!("{id}-remove"), &Asked {
                word: "Remove",
                what: &member.name,
                question: "Drained, it goes when its requests and sessions have ended. Its figures go \
                    with it.",
            }, &html! {
                (button("remove", "0", "Drain and remove")) (button("remove", "1", "Remove at once"))
            }))
        }
        details id={ (id) "-set" } name="open" {
            summary { "Settings" span .hidden { " of " (member.name) } }
            div .panel {
                form id=(id) method="post" action=(forms.action) {
                    (forms.hidden(Some(member)))
                    input type="hidden" name="seen" value=(tag);
                    (number("w_lf", "Weight", "0.01 to 100", Some(weight(member))))
                    (number("w_ls", "Set", "0 to 99", Some(member.lbset)))
                    (number("w_maxconn", "Most at once", "any number", member.maxconn))
                    (number("w_slowstart", "Slow start, s", "none", member.slowstart))
                    (number("w_draintimeout", "Drains at most, s", "for ever", member.draintimeout))
                    (word("w_wr", "Route", "none", &member.route))
                    (word("w_rr", "Its sessions go to route", "any", member.redirect.as_deref().unwrap_or("")))
                    (word("w_forward", "Forward to", "nobody", member.forward.as_deref().unwrap_or("")))
                    fieldset {
                        legend { "States" }
                        @for (flag, field, word) in STATES {
                            (switch(field, word, member.flags & flag != 0, ["0", "1"]))
                        }
                    }
                    button { "Change" }
                }
                @if !member.stats.is_empty() {
                    dl .stats {
                        @for (name, value) in &member.stats { div { dt { (name) } dd { (value) } } }
                    }
                }
            }
        }
    }
}

fn farm_actions(forms: &Forms<'_>, id: &str, shown: &Shown, view: &FarmView) -> Markup {
    let tag = etag::of(shown.farm, None);
    html! {
        div .actions {
            @if added::wanted(shown.farm.server_rec) > 0 {
                details id={ (id) "-add" } name="open" {
                    summary { "Add a member" span .hidden { " to farm " (shown.name) } }
                    div .panel {
                        form method="post" action=(forms.action) {
                            (forms.hidden(None))
                            label .wide {
                                "URL"
                                input name="add" placeholder="http://10.0.0.9:8080" required autocomplete="off";
                            }
                            (word("add_name", "Name", "its host and port", ""))
                            (word("add_route", "Route", "none", ""))
                            (number("add_weight", "Weight", "1", None::<u32>))
                            (number("add_lbset", "Set", "0", None::<u32>))
                            (number("add_maxconn", "Most at once", "as the farm says", None::<u32>))
                            (number("add_slowstart", "Slow start, s", "as the farm says", None::<u32>))
                            button { "Add" }
                        }
                    }
                }
            }
            @if view.on {
                (asked(&format!("{id}-off"), &Asked {
                    word: "Disable",
                    what: &format!("farm {}", shown.name),
                    question: "None of its members gets a request: clients are forwarded, sent to the \
                        fallback, or told 503.",
                }, &forms.button(None, "b_on", "off", "Disable")))
            } @else {
                (forms.button(None, "b_on", "on", "Enable"))
            }
            details id={ (id) "-set" } name="open" {
                summary { "Settings" span .hidden { " of farm " (shown.name) } }
                div .panel {
                    form method="post" action=(forms.action) {
                        (forms.hidden(None))
                        input type="hidden" name="seen" value=(tag);
                        label {
                            "Method"
                            input name="b_lbm" value=(view.method) list={ (id) "-methods" } required;
                        }
                        datalist id={ (id) "-methods" } {
                            @for name in method::names() { option value=(name) {} }
                        }
                        (word("b_forward", "Forward to", "nobody", view.forward.as_deref().unwrap_or("")))
                        (word("b_fallback", "Fallback", "none", view.fallback.as_deref().unwrap_or("")))
                        button { "Change" }
                    }
                }
            }
        }
    }
}

fn number(field: &str, label: &str, hint: &str, value: Option<impl maud::Render>) -> Markup {
    html! {
        label {
            (label)
            input name=(field) inputmode="decimal" placeholder=(hint) autocomplete="off"
                value={ @if let Some(value) = value { (value) } };
        }
    }
}

fn word(field: &str, label: &str, hint: &str, value: &str) -> Markup {
    html! {
        label {
            (label)
            input name=(field) value=(value) placeholder=(hint) autocomplete="off" spellcheck="false";
        }
    }
}

fn switch(field: &str, label: &str, on: bool, [no, yes]: [&str; 2]) -> Markup {
    html! {
        label {
            (label)
            select name=(field) {
                option value=(no) selected[!on] { "no" }
                option value=(yes) selected[on] { "yes" }
            }
        }
    }
}

fn weight(member: &MemberView) -> String {
    format!("{:.2}", member.weight)
}

fn millis(ms: f64) -> String {
    if ms < 99.95 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

/// A count with commas: `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
