//! A histogram of waiting times that all processes add to: one counter for each range, and the sum.
//!
//! The ranges are Prometheus' customary ones for web requests, from 1 ms to 10 s.

use crate::Micros;
use crate::sync::{AtomicU64, Ordering};

/// Upper bounds of the ranges, in microseconds, inclusive; what is above is in a last range.
pub const BOUNDS: [Micros; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// One line pair of the board. Times up to 100 ms touch the first line only.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Histogram {
    /// In microseconds.
    sum: AtomicU64,
    ranges: [AtomicU64; BOUNDS.len() + 1],
    /// Room for later versions.
    spare: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// For each of [`BOUNDS`], how many were not longer.
    pub up_to: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// All of them together, in microseconds.
    pub sum: Micros,
}

impl Histogram {
    /// Adds one.
    pub fn observe(&self, time: Micros) {
        let range = BOUNDS.partition_point(|bound| *bound < time);
        if let Some(range) = self.ranges.get(range) {
            range.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(time, Ordering::Relaxed);
    }

    /// What it holds. The count is that of the ranges as they were read, so that both agree.
    pub fn read(&self) -> Reading {
        let mut reading = Reading::default();
        let counts = self
            .ranges
            .iter()
            .map(|range| range.load(Ordering::Relaxed));
        for (place, count) in counts.enumerate() {
            reading.count = reading.count.saturating_add(count);
            if let Some(up_to) = reading.up_to.get_mut(place) {
                *up_to = reading.count;
            }
        }
        reading.sum = self.sum.load(Ordering::Relaxed);
        reading
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Histogram>() == 128);

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_belongs_to_its_range() {
        let histogram = Histogram::default();
        for time in [0, 1_000, 1_001, 2_500, 10_000_000, 10_000_001, Micros::MAX] {
            histogram.observe(time);
        }
        let reading = histogram.read();
        assert_eq!(reading.up_to[..3], [2, 4, 4]);
        assert_eq!(reading.up_to[11..], [4, 5]);
        assert_eq!(reading.count, 7);
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn each_range_counts_what_is_not_longer(times in prop::collection::vec(0..20_000_000_u64, 0..200)) {
            let histogram = Histogram::default();
            for time in &times {
                histogram.observe(*time);
            }
            let reading = histogram.read();
            for (bound, up_to) in BOUNDS.iter().zip(reading.up_to) {
                let expected = times.iter().filter(|time| *time <= bound).count();
                prop_assert_eq!(up_to, expected as u64);
            }
            prop_assert_eq!(reading.count, times.len() as u64);
            prop_assert_eq!(reading.sum, times.iter().sum::<u64>());
        }

        /// Whatever another process may have written.
        #[test]
        fn any_bits_are_survived(counts in prop::collection::vec(any::<u64>(), 14)) {
            let histogram = Histogram::default();
            for (range, count) in histogram.ranges.iter().zip(&counts) {
                range.store(*count, Ordering::Relaxed);
            }
            let reading = histogram.read();
            prop_assert!(reading.up_to.is_sorted() && reading.up_to[12] <= reading.count);
        }
    }
}
