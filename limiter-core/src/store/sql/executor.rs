//! What sends batches to a SQL database: see [`BatchExecutor`].
//!
//! Input: entries of a batch. Output: the state before each.

use std::{sync::Arc, time::Instant};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;

use super::{Dialect, error::SqlError, pool::Pool};
use crate::{
    error::StoreError,
    store::remote::{
        backend::{Reply, StoreRequest},
        batcher::{BatchEntry, BatchExecutor, BatchLimits},
        operation::Operation,
    },
};

/// Sends batches over the connections of a pool.
pub(in crate::store) struct SqlExecutor<D: Dialect> {
    pub(in crate::store) pool: Arc<Pool<D>>,
}

impl<D: Dialect> BatchExecutor for SqlExecutor<D> {
    /// Two calls keep a server busy, one of which is on its way while the other is
    /// done. A request that makes its call itself leaves a connection to the others.
    fn limits(&self) -> BatchLimits {
        let size = self.pool.size();
        let min_in_flight = (size / 2).clamp(1, 2);
        BatchLimits {
            entries: 128,
            quotas: 1_024,
            times: 4_096,
            min_in_flight,
            max_in_flight: (size - min_in_flight).max(min_in_flight),
        }
    }

    fn is_batchable(&self, request: &StoreRequest) -> bool {
        matches!(request.operation, Operation::Decide(_) | Operation::Strike)
    }

    fn execute<'a>(
        &'a self,
        batch: &'a [BatchEntry],
    ) -> BoxFuture<'a, Result<Vec<Reply>, StoreError>> {
        let deadline = batch.iter().map(|entry| entry.request.deadline).max();
        let deadline = deadline.unwrap_or_else(Instant::now).into();
        let is_inline = D::IS_ONE_STATEMENT && self.pool.size() > 1 && batch.len() == 1;
        let batch = batch.to_vec();
        async move {
            let work = self.pool.run(deadline, is_inline, |dialect, connection| {
                async move { dialect.run(connection, &batch).await }.boxed()
            });
            work.await.map_err(StoreError::from)
        }
        .boxed()
    }
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        if error.did_nothing { Self::not_applied(error) } else { Self::new(error) }
    }
}
