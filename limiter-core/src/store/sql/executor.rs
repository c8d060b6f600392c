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

use super::{Dialect, dialect::Charged, error::SqlError, fast_path::charge, pool::Pool};
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

/// Where the decision of a batch begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store) enum Step {
    /// By [`Dialect::charge`], and [`Dialect::run`] decides what that leaves.
    Charge,
    /// By [`Dialect::run`].
    Run,
}

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

impl<D: Dialect> BatchExecutor for Arc<SqlExecutor<D>> {
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
            in_shares: false,
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
        self.execute_from(Step::Charge, batch).boxed()
    }

    fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

impl<D: Dialect> SqlExecutor<D> {
    pub(in crate::store) const fn pool(&self) -> &Arc<Pool<D>> {
        &self.pool
    }

    /// Decides a batch that another connection was closed beneath, and that has changed
    /// nothing.
    pub(in crate::store) async fn execute_again(
        &self,
        batch: &[BatchEntry],
    ) -> Result<Vec<Reply>, StoreError> {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.execute_from(Step::Charge, batch).await
    }

    /// Decides a batch, from one step on.
    pub(in crate::store) async fn execute_from(
        &self,
        step: Step,
        batch: &[BatchEntry],
    ) -> Result<Vec<Reply>, StoreError> {
        // A request that waits beyond its deadline, because this process lags, has moved it.
        let deadline = Instant::now() + self.pool.timeout();
        for _ in 1..MAX_SENDS {
            match self.run(step, batch, deadline).await {
                Err(error) if error.is_closed && error.did_nothing => {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                }
                result => return result.map_err(StoreError::from),
            }
        }
        self.run(step, batch, deadline).await.map_err(StoreError::from)
    }

    async fn run(
        &self,
        step: Step,
        batch: &[BatchEntry],
        deadline: Instant,
    ) -> Result<Vec<Reply>, SqlError> {
        let batch = batch.to_vec();
        let work = self.pool.run(deadline, move |dialect, connection| {
            async move {
                match step {
                    Step::Charge => decide(dialect, connection, &batch).await,
                    Step::Run => dialect.run(connection, &batch).await,
                }
            }
            .boxed()
        });
        work.await
    }
}

/// Charges what single statements can, and decides the rest.
async fn decide<D: Dialect>(
    dialect: &D,
    connection: &mut D::Connection,
    batch: &[BatchEntry],
) -> Result<Vec<Reply>, SqlError> {
    let charged = charge(dialect, connection, batch).await?;
    let left = left(batch, &charged);
    if left.is_empty() {
        return Ok(charged.into_iter().flatten().collect());
    }
    let has_charged = left.len() < batch.len();
    let decided = dialect.run(connection, &left).await;
    let decided = decided.map_err(|error| if has_charged { error.partly_applied() } else { error });
    Ok(merge(charged, decided?))
}

/// Returns the entries that were not charged.
pub(super) fn left(batch: &[BatchEntry], charged: &Charged) -> Vec<BatchEntry> {
    let pairs = batch.iter().zip(charged).filter(|(_, reply)| reply.is_none());
    pairs.map(|(entry, _)| entry.clone()).collect()
}

/// Returns the replies of all entries, in their order.
pub(super) fn merge(charged: Charged, decided: Vec<Reply>) -> Vec<Reply> {
    let mut decided = decided.into_iter();
    charged.into_iter().filter_map(|reply| reply.or_else(|| decided.next())).collect()
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        if error.did_nothing { Self::not_applied(error) } else { Self::new(error) }
    }
}
