//! How many requests wait for a server.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A request that waits, until it is dropped.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    /// One more, beside so many others.
    pub(super) fn new(all: &'a AtomicUsize) -> (Self, usize) {
        let others = all.fetch_add(1, Ordering::Relaxed);
        (Self(all), others)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
