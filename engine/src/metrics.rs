//! The page that Prometheus scrapes, in its text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! The page is made anew from what there is at each scrape: a member that is gone leaves no series
//! behind.

use std::fmt::Display;

use crate::Micros;
use crate::histogram::{BOUNDS, Reading};

/// The page's media type.
pub const MEDIA_TYPE: &std::ffi::CStr = c"text/plain; version=0.0.4; charset=utf-8";

/// A page in the making: families in the order in which they were first named, each with its lines.
/// A scrape of 1,000 members has tens of thousands of them, so they are text from the beginning.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<(&'static str, String)>,
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

/// Names and values that tell a series from the others of its family.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// What only grows.
    pub fn counter(&mut self, family: Family, labels: Labels<'_>, value: u64) {
        let line = series(family.name, &pairs(labels), value);
        self.add(family, "counter", &line);
    }

    /// What goes up and down.
    pub fn gauge(&mut self, family: Family, labels: Labels<'_>, value: f64) {
        let line = series(family.name, &pairs(labels), value);
        self.add(family, "gauge", &line);
    }

    /// 1 or 0.
    pub fn truth(&mut self, family: Family, labels: Labels<'_>, value: bool) {
        let line = series(family.name, &pairs(labels), u8::from(value));
        self.add(family, "gauge", &line);
    }

    /// Waiting times, in seconds.
    pub fn histogram(&mut self, family: Family, labels: Labels<'_>, reading: &Reading) {
        let name = family.name;
        let pairs = pairs(labels);
        let comma = if pairs.is_empty() { "" } else { "," };
        let bucket = |bound: &str, up_to: u64| {
            format!("{name}_bucket{{{pairs}{comma}le=\"{bound}\"}} {up_to}\n")
        };
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound).to_string());
        let mut lines: String = bounds
            .zip(&reading.up_to)
            .map(|(bound, up_to)| bucket(&bound, *up_to))
            .collect();
        lines.push_str(&bucket("+Inf", reading.count));
        lines.push_str(&series(
            &format!("{name}_sum"),
            &pairs,
            seconds(reading.sum),
        ));
        lines.push_str(&series(&format!("{name}_count"), &pairs, reading.count));
        self.add(family, "histogram", &lines);
    }

    fn add(&mut self, Family { name, help }: Family, kind: &str, lines: &str) {
        let known = self.families.iter_mut().find(|(known, _)| *known == name);
        if let Some((_, text)) = known {
            text.push_str(lines);
        } else {
            let text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
            self.families.push((name, text));
        }
    }

    /// The page's text.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self
            .families
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        texts.concat()
    }
}

/// One line.
fn series(name: &str, pairs: &str, value: impl Display) -> String {
    if pairs.is_empty() {
        format!("{name} {value}\n")
    } else {
        format!("{name}{{{pairs}}} {value}\n")
    }
}

/// `NAME="VALUE",…`, whatever bytes a value has.
fn pairs(labels: Labels<'_>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
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
    text
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
            page.counter(ELECTED, &[("member", member)], 3);
            page.truth(up, &[("member", member)], member == "a");
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
        page.histogram(WAIT, &[], &waits.read());
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
        page.counter(ELECTED, &[("member", "a\"} 1\nathena_x{y=\"\\")], 1);
        let lines = page.text().lines().count();
        assert_eq!(lines, 3, "{}", page.text());
    }

    #[test]
    fn nothing_is_an_empty_page() {
        assert_eq!(Page::default().text(), "");
    }
}
