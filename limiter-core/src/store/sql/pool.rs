//! Connections, each with a task of its own.
//!
//! A pool would lend its connections to the requests, and a request that is
//! dropped would leave one in the middle of a transaction. Here a request hands
//! its work in and may go away: what has begun comes to its end, what has not
//! is left out. (sqlx's pool also asks the server after each use whether it is
//! still there, which is a round trip.) Where nothing else waits, a request does
//! what is but one statement [itself](mod@connection): it saves two changes of tasks.
//!
//! Under load it [coalesces](batch): a transaction takes whatever has come in
//! while the one before was under way.

mod batch;

mod connection;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::yield_now,
    time::Instant,
};

use self::{
    batch::Batch,
    connection::{PooledConnection, run_inline},
};
use super::{Dialect, TextRows, error::SqlError};
use crate::store::remote::{
    backend::{Reply, StoreRequest},
    in_flight::InFlight,
};

/// How much may wait for one connection.
const QUEUE: usize = 1_024;

/// Up to so many requests a connection, all connections are used: each answers
/// soon. Beyond that, as many as have `TARGET_BATCH` to do (at least two, of which one
/// is heard while the other is told): transactions of 32 checks cost the
/// database and us a third less than such of 16.
const LOW_LOAD: usize = 2;
const TARGET_BATCH: usize = 32;

pub(in crate::store) struct Pool<D: Dialect> {
    pool: Box<[Slot<D>]>,
    deadline: Duration,
    runtime: Handle,
    /// How many requests wait for an answer.
    in_flight: AtomicUsize,
}

struct Slot<D: Dialect> {
    line: Arc<PooledConnection<D>>,
    jobs: mpsc::Sender<Job>,
}

struct Job {
    until: Instant,
    task: Task,
}

enum Task {
    StoreRequest(StoreRequest, Responder<Reply>),
    Rows(String, Responder<TextRows>),
}

type Responder<T> = oneshot::Sender<Result<T, SqlError>>;

impl<D: Dialect> Pool<D> {
    /// Starts as many connections.
    pub(in crate::store) fn start(
        dialect: &Arc<D>,
        connections: usize,
        deadline: Duration,
    ) -> Self {
        let lane = |_| {
            let (jobs, receiver) = mpsc::channel(QUEUE);
            let line = Arc::new(PooledConnection::new(Arc::clone(dialect), deadline));
            tokio::spawn(serve(Arc::clone(&line), receiver));
            Slot { line, jobs }
        };
        Self {
            pool: (0..connections).map(lane).collect(),
            deadline,
            runtime: Handle::current(),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Does what is asked, on the connection for that number.
    pub(in crate::store) async fn run(
        &self,
        number: u64,
        run: StoreRequest,
    ) -> Result<Reply, SqlError> {
        let (_waiting, others) = InFlight::new(&self.in_flight);
        let lane = usize::try_from(number % self.used(others + 1) as u64).unwrap_or_default();
        self.submit(lane, self.deadline, |reply| Task::StoreRequest(run, reply)).await
    }

    /// How many connections to use while so many requests wait.
    fn used(&self, in_flight: usize) -> usize {
        let all = self.pool.len();
        match in_flight <= LOW_LOAD * all {
            true => all,
            false => (in_flight / TARGET_BATCH).clamp(all.min(2), all),
        }
    }

    /// Runs statements, and returns all rows of two columns.
    pub(in crate::store) async fn rows(&self, sql: String) -> Result<TextRows, SqlError> {
        self.submit(0, self.deadline, |reply| Task::Rows(sql, reply)).await
    }

    /// The same for statements that may take longer than the deadline.
    pub(in crate::store) async fn rows_within(
        &self,
        patience: Duration,
        sql: String,
    ) -> Result<TextRows, SqlError> {
        self.submit(0, patience, |reply| Task::Rows(sql, reply)).await
    }

    async fn submit<T>(
        &self,
        lane: usize,
        patience: Duration,
        task: impl FnOnce(Responder<T>) -> Task,
    ) -> Result<T, SqlError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { until: Instant::now() + patience, task: task(reply) };
        self.pool[lane].perform(job, &self.runtime).await?;
        answer.await.unwrap_or_else(|_| Err(SqlError::unfinished()))
    }
}

impl<D: Dialect> Slot<D> {
    /// Does a short job here, if nothing else is to be done; else hands it in.
    async fn perform(&self, job: Job, runtime: &Handle) -> Result<(), SqlError> {
        let idle = self.jobs.capacity() == self.jobs.max_capacity();
        let job = match idle && self.line.is_single_statement(&job) {
            true => match run_inline(&self.line, job, runtime).await {
                Ok(()) => return Ok(()),
                Err(job) => job,
            },
            false => job,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SqlError::new("too many requests wait for it"),
            mpsc::error::TrySendError::Closed(_) => SqlError::new("its runtime has ended"),
        })
    }
}

/// Serves one connection, until nobody can ask for it any more. What has come
/// in meanwhile goes into one transaction.
async fn serve<D: Dialect>(line: Arc<PooledConnection<D>>, mut jobs: mpsc::Receiver<Job>) {
    // Reply there is work, so that the first request need not wait for it.
    line.free(line.connect().await);
    let mut next = None;
    loop {
        let job = match next.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        let idle = line.take().await;
        // Those who have just been answered may ask again at once.
        yield_now().await;
        let batch = Batch::gather(job, &mut jobs, &mut next);
        line.free(line.perform(idle, batch).await);
    }
}
