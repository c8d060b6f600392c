//! Units of slices that nobody has used are given back: when a slice has ended, when the
//! rules change or a key is banned, and when the limiter is dropped.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use super::{slice::Remainder, tracked_key::TrackedKey};
use crate::{
    check::Item,
    limiter::{Inner, Limiter, settlement_future::Settling},
    stats::counters::LimiterCounter,
};

/// How often slices that have ended are looked for, while there are slices.
const SWEEP: Duration = Duration::from_millis(50);

impl Limiter {
    /// Gives back what is left of the slice before, and begins the task that ends the new one.
    pub(super) fn keep_slice(&self, before: Option<Remainder>) {
        before.into_iter().for_each(|before| self.0.give_back(before));
        let leases = &self.0.leases;
        let runtime = self.0.runtime.or_current();
        let Some(handle) = runtime.handle() else { return };
        leases.runtime.get_or_init(|| handle.clone());
        if !leases.is_sweeping.swap(true, Ordering::SeqCst) {
            let limiter = Arc::downgrade(&self.0);
            handle.spawn(Sweeper { limiter, has_ended: false }.run());
        }
    }
}

impl Inner {
    /// Ends the slices that have units of that item: it was banned.
    pub(in crate::limiter) fn end_slices_of(&self, item: Item<'_>) {
        let is_shared = item.policy.ban().is_some_and(|ban| ban.group().is_some());
        if item.policy.has_lease() || is_shared {
            let is_meant = |key: &TrackedKey| key.items().any(|own| own.is_same_offender(&item));
            let remainders = self.leases.end(is_meant, true);
            remainders.into_iter().for_each(|remainder| self.give_back(remainder));
        }
    }

    /// Ends the slices that have units of that item, whose count was reset: what is left of them is
    /// charged no more.
    pub(in crate::limiter) fn discard_slices_of(&self, item: Item<'_>) {
        let has_counters = |own: Item<'_>| {
            own.policy.has_counters_of(item.policy) && own.subject.key == item.subject.key
        };
        if item.policy.has_lease() {
            self.leases.end(|key| key.items().any(has_counters), false);
        }
    }

    /// Ends all slices.
    pub(in crate::limiter) fn end_slices(&self) {
        for remainder in self.leases.end(|_| true, true) {
            self.give_back(remainder);
        }
    }

    /// Gives back what slices that have ended have left. Returns true if there are others.
    pub(super) fn end_old_slices(&self) -> bool {
        let swept = self.leases.sweep(self.leases.now());
        swept.remainders.into_iter().for_each(|remainder| self.give_back(remainder));
        swept.has_slices
    }

    /// Gives units back in the background. If the store fails they stay charged, as those of a
    /// process that has died.
    fn give_back(&self, remainder: Remainder) {
        let (store, counters) = (Arc::clone(&self.store), Arc::clone(&self.counters));
        let work = async move {
            if let Err(error) = store.settle(remainder.refunds()).await {
                counters.add(LimiterCounter::of_store_error(error.kind()));
                counters.add(LimiterCounter::LostSettlements);
            }
        };
        let runtime = self.runtime.or_current();
        match runtime.handle().or(self.leases.runtime.get()) {
            // Not polled here: a runtime that has ended drops it, but its timers panic.
            Some(handle) => drop(handle.spawn(work)),
            // Slices were taken without a runtime, so that the store needs none.
            None => drop(Settling::begin(Box::pin(work), runtime)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end_slices();
    }
}

/// The task that ends slices, as long as there are any.
struct Sweeper {
    limiter: Weak<Inner>,
    has_ended: bool,
}

impl Sweeper {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let Some(inner) = self.limiter.upgrade() else { return };
            if inner.end_old_slices() {
                continue;
            }
            inner.leases.is_sweeping.store(false, Ordering::SeqCst);
            // A slice may have been put there in between, by a request that saw this task.
            let is_needed = inner.end_old_slices();
            if !is_needed || inner.leases.is_sweeping.swap(true, Ordering::SeqCst) {
                self.has_ended = true;
                return;
            }
        }
    }
}

impl Drop for Sweeper {
    /// Lets another begin if the runtime has ended first.
    fn drop(&mut self) {
        if !self.has_ended
            && let Some(inner) = self.limiter.upgrade()
        {
            inner.leases.is_sweeping.store(false, Ordering::SeqCst);
        }
    }
}
