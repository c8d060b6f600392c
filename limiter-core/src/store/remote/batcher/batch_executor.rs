//! Executor of batches: the trait of a server that a [`Batcher`](super::Batcher) sends
//! to, and the bounds of a batch.

use std::sync::Arc;

use futures_core::future::BoxFuture;

use crate::{
    error::StoreError,
    store::remote::{
        backend::{Reply, StoreRequest},
        operation::Operation,
    },
};

/// Sends batches to one server.
pub(in crate::store) trait BatchExecutor: Send + Sync + 'static {
    /// The size of a batch, and the number of batches at a time.
    fn limits(&self) -> BatchLimits;

    /// Returns true if the request may share a batch with others.
    fn is_batchable(&self, request: &StoreRequest) -> bool;

    /// Decides each entry in one atomic step, `times` times in a row, in the order of
    /// the batch, and returns the state before each entry. Several entries may be of
    /// one client.
    ///
    /// A server that cannot count in closed form may stop at the first repetition
    /// that changes nothing. The call ends within the timeout of the store by itself.
    /// If the future is dropped, the connection has to stay of use.
    fn execute<'a>(
        &'a self,
        batch: &'a [BatchEntry],
    ) -> BoxFuture<'a, Result<Vec<Reply>, StoreError>>;

    /// Makes its connection anew: a call was not answered that another connection would have
    /// been. Does nothing where the executor watches its connections itself.
    fn reconnect(&self) {}

    /// Returns how often a call was sent again that provably had not been carried out.
    fn retries(&self) -> u64;
}

/// The size of a batch, and the number of calls at a time.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct BatchLimits {
    /// Entries of one batch.
    pub(in crate::store) entries: usize,
    /// True if a batch takes one of [`min_in_flight`](Self::min_in_flight) equal shares of all
    /// requests at most, so that the others are at the server, or on their way, while this
    /// process works on one.
    pub(in crate::store) in_shares: bool,
    /// Quotas of all entries, beside those of the first.
    pub(in crate::store) quotas: usize,
    /// Repetitions of one entry.
    pub(in crate::store) times: u32,
    /// Calls in flight up to which every request is sent at once.
    pub(in crate::store) min_in_flight: usize,
    /// Calls in flight at most.
    pub(in crate::store) max_in_flight: usize,
    /// The same of a server whose calls take long, because it is far away or slow.
    pub(in crate::store) max_in_flight_slow: usize,
}

/// A request, and how often it is decided in a row.
#[derive(Clone, Debug)]
pub(in crate::store) struct BatchEntry {
    pub(in crate::store) request: Arc<StoreRequest>,
    pub(in crate::store) times: u32,
    /// Settlements of the same items that are applied in place of the further times, one
    /// each; empty where the request itself is decided again.
    pub(in crate::store) settlements: Vec<Arc<StoreRequest>>,
}

impl BatchEntry {
    /// Returns an entry of a request that is decided once.
    pub(in crate::store) const fn once(request: Arc<StoreRequest>) -> Self {
        Self { request, times: 1, settlements: Vec::new() }
    }

    /// Returns an entry of equal requests, or of settlements that fold.
    pub(in crate::store) fn of(first: &Arc<StoreRequest>, further: &[Arc<StoreRequest>]) -> Self {
        let times = u32::try_from(1 + further.len()).unwrap_or(u32::MAX);
        let settlements = match first.operation {
            Operation::Settle => further.to_vec(),
            _ => Vec::new(),
        };
        Self { request: Arc::clone(first), times, settlements }
    }

    /// Returns the request of each time in turn.
    #[cfg(feature = "_sql")]
    pub(in crate::store) fn requests(&self) -> impl Iterator<Item = &Arc<StoreRequest>> {
        let further = self.settlements.iter().chain(std::iter::repeat(&self.request));
        std::iter::once(&self.request).chain(further).take(self.times as usize)
    }
}
