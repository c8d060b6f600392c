//! Load of a batcher: the requests that wait or are in flight.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The number of requests that wait or are in flight.
#[derive(Debug, Default)]
pub(super) struct Load {
    requests: AtomicUsize,
    finished: AtomicU64,
}

/// A request that counts until this is dropped.
pub(super) struct Counted<'a>(&'a Load);

impl Load {
    /// Counts one more request.
    pub(super) fn count(&self) -> Counted<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }

    pub(super) fn get(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns how many requests count no more.
    pub(super) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Returns one of so many equal shares of the requests, and 2 at least.
    pub(super) fn share(&self, shares: usize) -> usize {
        (self.requests.load(Ordering::Relaxed) / shares.max(1)).max(2)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}
