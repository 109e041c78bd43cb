//! The page that Prometheus scrapes, in its text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! The page is made anew from what there is at each scrape: a member that is gone leaves no series
//! behind.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Encoder, TextEncoder};

use crate::Micros;
use crate::histogram::{BOUNDS, Reading};

/// The page's media type.
pub const MEDIA_TYPE: &std::ffi::CStr = c"text/plain; version=0.0.4; charset=utf-8";

/// A page in the making: families in the order in which they were first named.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<MetricFamily>,
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
        let mut counter = Counter::default();
        counter.set_value(real(value));
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.add(family, MetricType::COUNTER, metric);
    }

    /// What goes up and down.
    pub fn gauge(&mut self, family: Family, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.add(family, MetricType::GAUGE, metric);
    }

    /// 1 or 0.
    pub fn truth(&mut self, family: Family, labels: Labels<'_>, value: bool) {
        self.gauge(family, labels, f64::from(u8::from(value)));
    }

    /// Waiting times, in seconds.
    pub fn histogram(&mut self, family: Family, labels: Labels<'_>, reading: &Reading) {
        let bucket = |(bound, up_to): (&Micros, &u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(*up_to);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(BOUNDS.iter().zip(&reading.up_to).map(bucket).collect());
        histogram.set_sample_count(reading.count);
        histogram.set_sample_sum(seconds(reading.sum));
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.add(family, MetricType::HISTOGRAM, metric);
    }

    fn add(&mut self, family: Family, kind: MetricType, metric: Metric) {
        let known = self
            .families
            .iter_mut()
            .find(|known| known.name() == family.name);
        if let Some(known) = known {
            known.mut_metric().push(metric);
            return;
        }
        let mut new = MetricFamily::default();
        new.set_name(family.name.to_owned());
        new.set_help(family.help.to_owned());
        new.set_field_type(kind);
        new.set_metric(vec![metric]);
        self.families.push(new);
    }

    /// The page's text.
    ///
    /// # Errors
    /// The encoder's; it has none for families that hold a series.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.families, &mut text)?;
        Ok(text)
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pair = |(name, value): &(&'static str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::default();
    metric.set_label(labels.iter().map(pair).collect());
    metric
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

    fn text(page: &Page) -> String {
        String::from_utf8(page.text().unwrap()).unwrap()
    }

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
            text(&page),
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
        let text = text(&page);
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
        let lines = text(&page).lines().count();
        assert_eq!(lines, 3, "{}", text(&page));
    }

    #[test]
    fn nothing_is_an_empty_page() {
        assert_eq!(text(&Page::default()), "");
    }
}
