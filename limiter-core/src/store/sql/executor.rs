//! The executor of batches on a SQL database: see [`BatchExecutor`].
//!
//! Input: entries of a batch. Output: the state before each.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{Dialect, error::SqlError, pool::Pool};
use crate::{
    error::StoreError,
    store::remote::{
        backend::{Reply, StoreRequest},
        batcher::{BatchEntry, BatchExecutor, BatchLimits},
        operation::Operation,
    },
};

/// How often a batch is sent that found its connection closed and has changed nothing.
const MAX_SENDS: u32 = 3;

/// Sends batches over the connections of a pool.
pub(in crate::store) struct SqlExecutor<D: Dialect> {
    pool: Arc<Pool<D>>,
    retries: AtomicU64,
}

impl<D: Dialect> SqlExecutor<D> {
    pub(in crate::store) fn new(pool: Arc<Pool<D>>) -> Self {
        Self { pool, retries: AtomicU64::new(0) }
    }
}

impl<D: Dialect> BatchExecutor for SqlExecutor<D> {
    /// Two calls keep a server busy, one of which is on its way while the other is
    /// done. The other connections are for listings, the sweep and probes.
    fn limits(&self) -> BatchLimits {
        let size = self.pool.size();
        let min_in_flight = (size / 2).clamp(1, 2);
        let max_in_flight = (size - min_in_flight).max(min_in_flight);
        BatchLimits {
            entries: 128,
            // Each statement costs more than the time that it would overlap with: PostgreSQL
            // answered 17,000 checks a second with 8 in flight in halves, and 26,000 so.
            in_halves: false,
            quotas: 1_024,
            times: 4_096,
            min_in_flight,
            max_in_flight,
            max_in_flight_slow: max_in_flight,
        }
    }

    fn is_batchable(&self, request: &StoreRequest) -> bool {
        matches!(request.operation, Operation::Decide(_) | Operation::Settle)
    }

    fn execute<'a>(
        &'a self,
        batch: &'a [BatchEntry],
    ) -> BoxFuture<'a, Result<Vec<Reply>, StoreError>> {
        // A request that waits beyond its deadline, because this process lags, has moved it.
        let deadline = Instant::now() + self.pool.timeout();
        async move {
            for _ in 1..MAX_SENDS {
                match self.run(batch, deadline).await {
                    Err(error) if error.is_closed && error.did_nothing => {
                        self.retries.fetch_add(1, Ordering::Relaxed);
                    }
                    result => return result.map_err(StoreError::from),
                }
            }
            self.run(batch, deadline).await.map_err(StoreError::from)
        }
        .boxed()
    }

    fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

impl<D: Dialect> SqlExecutor<D> {
    async fn run(&self, batch: &[BatchEntry], deadline: Instant) -> Result<Vec<Reply>, SqlError> {
        let batch = batch.to_vec();
        let work = self.pool.run(deadline, |dialect, connection| {
            async move { dialect.run(connection, &batch).await }.boxed()
        });
        work.await
    }
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        if error.did_nothing { Self::not_applied(error) } else { Self::new(error) }
    }
}
