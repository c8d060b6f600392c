//! Counters of the calls to one server of a store.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::Serialize;

use super::histogram::{Histogram, HistogramCounters};
use crate::time::micros;

/// Bounds of the time that calls take, in microseconds.
const LATENCY: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000,
];

/// Bounds of the number of requests that a call decides.
const BATCH: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024, 4_096];

/// Counts the calls to one server. Plain atomics: a call costs a thousand times what
/// two threads lose that count at once.
#[derive(Debug)]
pub(crate) struct CallCounters {
    failed: AtomicU64,
    latency: HistogramCounters<15>,
    batches: HistogramCounters<12>,
}

impl Default for CallCounters {
    fn default() -> Self {
        Self {
            failed: AtomicU64::new(0),
            latency: HistogramCounters::new(&LATENCY),
            batches: HistogramCounters::new(&BATCH),
        }
    }
}

impl CallCounters {
    /// Counts a call that was answered.
    pub(crate) fn answered(&self, took: Duration) {
        self.latency.observe(micros(took));
    }

    /// Counts a call that has failed, or whose answer was too late.
    pub(crate) fn failed(&self, took: Duration) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.answered(took);
    }

    /// Counts the requests that one call decides.
    #[cfg(feature = "_shared")]
    pub(crate) fn batched(&self, requests: u64) {
        self.batches.observe(requests);
    }

    pub(crate) fn snapshot(&self) -> CallStats {
        let latency = self.latency.snapshot();
        CallStats {
            calls: latency.count,
            failed: self.failed.load(Ordering::Relaxed),
            retries: 0,
            latency_micros: latency,
            batch_sizes: self.batches.snapshot(),
        }
    }
}

/// The calls to one server of a store, since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CallStats {
    /// Calls that have ended, probes and waiting in this process left out.
    pub calls: u64,
    /// Calls of these that failed or took too long.
    pub failed: u64,
    /// How often a call was sent again over another connection, since the one before was
    /// found closed and the call provably had changed nothing.
    pub retries: u64,
    /// How long the calls took, in microseconds.
    pub latency_micros: Histogram,
    /// How many requests each call has decided.
    pub batch_sizes: Histogram,
}
