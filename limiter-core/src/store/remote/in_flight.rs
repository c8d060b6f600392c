//! How many requests wait for a server.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A request that waits, until it is dropped.
pub(in crate::store) struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    /// One more, beside so many others.
    pub(in crate::store) fn new(all: &'a AtomicUsize) -> (Self, usize) {
        let others = all.fetch_add(1, Ordering::Relaxed);
        (Self(all), others)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
