//! The page that Prometheus scrapes, in its text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! The page is made anew from what there is at each scrape: a member that is gone leaves no series
//! behind.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::Micros;
use crate::histogram::{BOUNDS, Reading};

/// The page's media type.
pub const MEDIA_TYPE: &std::ffi::CStr = c"text/plain; version=0.0.4; charset=utf-8";

/// A page in the making: families by name, each with its lines. A scrape of 1,000 members has tens
/// of thousands of them, so they are text from the beginning, and what they share is made once.
#[derive(Debug)]
pub struct Page {
    families: BTreeMap<&'static str, String>,
    /// [`BOUNDS`], in seconds.
    bounds: [String; BOUNDS.len()],
}

/// One family: its name, what it is about, in Prometheus' own conventions (base units, `_total` for
/// what only grows).
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Begins with `athena_`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// What tells a series from the others of its family, as its lines have it: `NAME="VALUE",…`.
#[derive(Debug, Default)]
#[must_use]
pub struct Labels(String);

impl Labels {
    /// Of names and values; these are of any bytes.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let mut labels = Self::default();
        for (name, value) in pairs {
            labels.push(name, value);
        }
        labels
    }

    /// These and one more.
    pub fn and(&self, name: &str, value: &str) -> Self {
        let mut labels = Self(self.0.clone());
        labels.push(name, value);
        labels
    }

    fn push(&mut self, name: &str, value: &str) {
        let Self(text) = self;
        let comma = if text.is_empty() { "" } else { "," };
        text.extend([comma, name, "=\""]);
        if value.contains(['\\', '"', '\n']) {
            let value = value.replace('\\', r"\\").replace('"', r#"\""#);
            text.push_str(&value.replace('\n', r"\n"));
        } else {
            text.push_str(value);
        }
        text.push('"');
    }
}

impl Default for Page {
    fn default() -> Self {
        Self {
            families: BTreeMap::new(),
            bounds: BOUNDS.map(|bound| seconds(bound).to_string()),
        }
    }
}

impl Page {
    /// What only grows.
    pub fn counter(&mut self, family: Family, labels: &Labels, value: u64) {
        self.add(family, "counter", labels, value);
    }

    /// What goes up and down.
    pub fn gauge(&mut self, family: Family, labels: &Labels, value: f64) {
        self.add(family, "gauge", labels, value);
    }

    /// 1 or 0.
    pub fn truth(&mut self, family: Family, labels: &Labels, value: bool) {
        self.add(family, "gauge", labels, u8::from(value));
    }

    /// Waiting times, in seconds.
    pub fn histogram(&mut self, family: Family, labels: &Labels, reading: &Reading) {
        let (name, Labels(pairs)) = (family.name, labels);
        let comma = if pairs.is_empty() { "" } else { "," };
        let text = lines(&mut self.families, family, "histogram");
        let mut bucket = |bound: &str, up_to: u64| {
            text.extend([name, "_bucket{", pairs, comma, "le=\"", bound, "\"}"]);
            end(text, up_to);
        };
        for (bound, up_to) in self.bounds.iter().zip(reading.up_to) {
            bucket(bound, up_to);
        }
        bucket("+Inf", reading.count);
        series(text, &format!("{name}_sum"), labels, seconds(reading.sum));
        series(text, &format!("{name}_count"), labels, reading.count);
    }

    fn add(&mut self, family: Family, kind: &str, labels: &Labels, value: impl Display) {
        let text = lines(&mut self.families, family, kind);
        series(text, family.name, labels, value);
    }

    /// The page's text.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.families.values().map(String::as_str).collect();
        texts.concat()
    }
}

/// The lines of a family so far, with its head.
fn lines<'a>(
    families: &'a mut BTreeMap<&'static str, String>,
    Family { name, help }: Family,
    kind: &str,
) -> &'a mut String {
    families
        .entry(name)
        .or_insert_with(|| format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"))
}

/// One line.
fn series(text: &mut String, name: &str, Labels(pairs): &Labels, value: impl Display) {
    text.push_str(name);
    if !pairs.is_empty() {
        text.extend(["{", pairs, "}"]);
    }
    end(text, value);
}

/// A line's value, the last thing on it.
fn end(text: &mut String, value: impl Display) {
    // A String takes whatever is written.
    let _ = writeln!(text, " {value}");
}

/// Seconds, as Prometheus wants all times.
pub fn seconds(micros: Micros) -> f64 {
    real(micros) / 1e6
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus keeps every number as f64"
)]
fn real(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram;

    const ELECTED: Family = Family {
        name: "athena_elected_total",
        help: "Times chosen.",
    };
    const WAIT: Family = Family {
        name: "athena_wait_seconds",
        help: "Waiting.",
    };

    #[test]
    fn series_of_a_family_stand_together() {
        let mut page = Page::default();
        let up = Family {
            name: "athena_up",
            help: "Up.",
        };
        for member in ["a", "b"] {
            let labels = Labels::of(&[("member", member)]);
            page.counter(ELECTED, &labels, 3);
            page.truth(up, &labels, member == "a");
        }
        assert_eq!(
            page.text(),
            "# HELP athena_elected_total Times chosen.\n\
             # TYPE athena_elected_total counter\n\
             athena_elected_total{member=\"a\"} 3\n\
             athena_elected_total{member=\"b\"} 3\n\
             # HELP athena_up Up.\n\
             # TYPE athena_up gauge\n\
             athena_up{member=\"a\"} 1\n\
             athena_up{member=\"b\"} 0\n"
        );
    }

    #[test]
    fn times_are_told_in_seconds() {
        let waits = histogram::Histogram::default();
        waits.observe(1_000);
        waits.observe(11_000_000);
        let mut page = Page::default();
        page.histogram(WAIT, &Labels::default(), &waits.read());
        let text = page.text();
        for line in [
            "athena_wait_seconds_bucket{le=\"0.001\"} 1\n",
            "athena_wait_seconds_bucket{le=\"0.25\"} 1\n",
            "athena_wait_seconds_bucket{le=\"+Inf\"} 2\n",
            "athena_wait_seconds_sum 11.001\n",
            "athena_wait_seconds_count 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn names_of_any_bytes_stay_within_their_quotes() {
        let mut page = Page::default();
        let labels = Labels::of(&[("member", "a\"} 1\nathena_x{y=\"\\")]);
        page.counter(ELECTED, &labels, 1);
        let lines = page.text().lines().count();
        assert_eq!(lines, 3, "{}", page.text());
    }

    #[test]
    fn nothing_is_an_empty_page() {
        assert_eq!(Page::default().text(), "");
    }
}
