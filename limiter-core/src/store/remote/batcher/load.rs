//! Load of a batcher: the requests that wait or are in flight.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of requests that wait or are in flight.
#[derive(Debug, Default)]
pub(super) struct Load(AtomicUsize);

/// A request that counts until this is dropped.
pub(super) struct Counted<'a>(&'a Load);

impl Load {
    /// Counts one more request.
    pub(super) fn count(&self) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }

    #[cfg(feature = "redis")]
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns the entries of one batch at most: half of all requests, so that one half is at
    /// the server while this process works on the other. (With 16 checks in flight on one
    /// thread, Redis answered 70,000 a second when all went together, and 100,000 so.)
    pub(super) fn half(&self) -> usize {
        (self.0.load(Ordering::Relaxed) / 2).max(2)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
