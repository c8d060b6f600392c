//! Histograms with fixed buckets: of the time that calls take, and of their sizes.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

/// Counts values in buckets. `BUCKETS` is one more than there are bounds.
#[derive(Debug)]
pub(crate) struct HistogramCounters<const BUCKETS: usize> {
    bounds: &'static [u64],
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl<const BUCKETS: usize> HistogramCounters<BUCKETS> {
    /// Counts values up to each of the bounds, which ascend, and those beyond.
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        assert_eq!(bounds.len() + 1, BUCKETS, "one bucket is for what is beyond the bounds");
        Self { bounds, buckets: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        let mut count = 0;
        let mut up_to_here = self.buckets.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let bounds = self.bounds.iter();
        let buckets = bounds
            .zip(&mut up_to_here)
            .map(|(bound, count)| HistogramBucket { up_to: *bound, count });
        let buckets = buckets.collect();
        let count = up_to_here.next().unwrap_or_default();
        Histogram { buckets, count, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// The distribution of a value over fixed buckets.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Histogram {
    /// The buckets, the smallest first. Each holds those before it, too.
    pub buckets: Vec<HistogramBucket>,
    /// How many values there were.
    pub count: u64,
    /// The sum of all values.
    pub sum: u64,
}

/// One bucket of a [`Histogram`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HistogramBucket {
    /// The largest value that it holds.
    pub up_to: u64,
    /// How many values were at most that large.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_buckets_from_its_own_on() {
        let counters = HistogramCounters::<3>::new(&[10, 100]);
        for value in [0, 10, 11, 100, 101, 5_000] {
            counters.observe(value);
        }
        let histogram = counters.snapshot();
        let counts: Vec<_> = histogram.buckets.iter().map(|b| (b.up_to, b.count)).collect();
        assert_eq!(counts, [(10, 2), (100, 4)]);
        assert_eq!((histogram.count, histogram.sum), (6, 5_222));
    }
}
