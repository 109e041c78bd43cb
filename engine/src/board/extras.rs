//! What the configuration says of a farm and a member and people can replace at run time, beside
//! [`super::Settings`]; and how both meet: what people set holds until the configured value changes.

use super::record::{FarmChanged, MemberChanged};

/// A member's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberExtras {
    /// The session route; empty for none.
    pub route: String,
    /// `slowstart`, in seconds.
    pub slow_start: Option<u32>,
    /// `forward`, as written; empty for none.
    pub forward: String,
    /// `redirect`, a route; empty for none.
    pub redirect: String,
    /// `draintimeout`, in seconds.
    pub drain_timeout: Option<u32>,
}

/// A farm's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FarmExtras {
    /// `lbmethod`.
    pub method: String,
    /// `forward`, as written; empty for none.
    pub forward: String,
    /// `fallback`, as written; empty for none.
    pub fallback: String,
}

/// What people had set, and what the configuration says in its place, both as it writes them.
pub(super) type Lost = (String, String);

impl MemberExtras {
    /// What is in force, by the configuration and what people changed.
    #[must_use]
    pub fn in_force(&self, changed: &MemberChanged) -> Self {
        let text =
            |set: Option<String>, configured: &String| set.unwrap_or_else(|| configured.clone());
        Self {
            route: text(changed.route.get(), &self.route),
            slow_start: changed.slow_start.get().unwrap_or(self.slow_start),
            forward: text(changed.forward.get(), &self.forward),
            redirect: text(changed.redirect.get(), &self.redirect),
            drain_timeout: changed.drain_timeout.get().unwrap_or(self.drain_timeout),
        }
    }

    /// Puts them in force where the configuration says `configured`. The caller holds the farm's
    /// lock.
    pub fn store(&self, changed: &MemberChanged, configured: &Self) {
        changed.route.set(&self.route, &configured.route);
        changed
            .slow_start
            .set(self.slow_start, configured.slow_start);
        changed.forward.set(&self.forward, &configured.forward);
        changed.redirect.set(&self.redirect, &configured.redirect);
        changed
            .drain_timeout
            .set(self.drain_timeout, configured.drain_timeout);
    }

    /// The configuration was read: what people had set, and is lost.
    pub(super) fn settle(&self, changed: &MemberChanged) -> Vec<Lost> {
        [
            text("route", changed.route.settle(&self.route), &self.route),
            (changed.slow_start.settle(self.slow_start))
                .map(|lost| number("slowstart", lost, self.slow_start)),
            text(
                "forward",
                changed.forward.settle(&self.forward),
                &self.forward,
            ),
            text(
                "redirect",
                changed.redirect.settle(&self.redirect),
                &self.redirect,
            ),
            (changed.drain_timeout.settle(self.drain_timeout))
                .map(|lost| number("draintimeout", lost, self.drain_timeout)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl FarmExtras {
    /// As [`MemberExtras::in_force`].
    #[must_use]
    pub fn in_force(&self, changed: &FarmChanged) -> Self {
        let text =
            |set: Option<String>, configured: &String| set.unwrap_or_else(|| configured.clone());
        Self {
            method: text(changed.method.get(), &self.method),
            forward: text(changed.forward.get(), &self.forward),
            fallback: text(changed.fallback.get(), &self.fallback),
        }
    }

    /// As [`MemberExtras::store`].
    pub fn store(&self, changed: &FarmChanged, configured: &Self) {
        changed.method.set(&self.method, &configured.method);
        changed.forward.set(&self.forward, &configured.forward);
        changed.fallback.set(&self.fallback, &configured.fallback);
    }

    /// As [`MemberExtras::settle`].
    pub(super) fn settle(&self, changed: &FarmChanged) -> Vec<Lost> {
        [
            text(
                "lbmethod",
                changed.method.settle(&self.method),
                &self.method,
            ),
            text(
                "forward",
                changed.forward.settle(&self.forward),
                &self.forward,
            ),
            text(
                "fallback",
                changed.fallback.settle(&self.fallback),
                &self.fallback,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn text(key: &str, lost: Option<String>, configured: &str) -> Option<Lost> {
    let shown = |text: &str| format!("{key}={}", if text.is_empty() { "none" } else { text });
    Some((shown(&lost?), shown(configured)))
}

fn number(key: &str, lost: Option<u32>, configured: Option<u32>) -> Lost {
    let shown = |number: Option<u32>| match number {
        Some(number) => format!("{key}={number}"),
        None => format!("{key}=off"),
    };
    (shown(lost), shown(configured))
}
