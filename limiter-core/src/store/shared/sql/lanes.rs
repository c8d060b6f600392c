//! Connections, each with a task of its own.
//!
//! A pool would lend its connections to the requests, and a request that is
//! dropped would leave one in the middle of a transaction. Here a request hands
//! its work in and may go away: what has begun comes to its end, what has not
//! is left out. (sqlx's pool also asks the server after each use whether it is
//! still there, which is a round trip.)
//!
//! Under load it [coalesces](batch): a transaction takes whatever has come in
//! while the one before was under way.

mod batch;
mod fault;

use std::{sync::Arc, time::Duration};

use sqlx::Connection as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use self::batch::Batch;
pub(in crate::store::shared) use self::fault::Fault;
use super::{Dialect, Rows};
use crate::store::shared::{
    backend::{Before, Run},
    builder::PATIENCE,
};

/// How much may wait for one connection.
const QUEUE: usize = 1_024;

/// A connection that was idle that long is asked whether it is still there.
const IDLE: Duration = Duration::from_secs(30);

pub(super) struct Lanes {
    lanes: Box<[mpsc::Sender<Job>]>,
    deadline: Duration,
}

struct Job {
    until: Instant,
    task: Task,
}

enum Task {
    Run(Run, Reply<Before>),
    Rows(String, Reply<Rows>),
}

type Reply<T> = oneshot::Sender<Result<T, Fault>>;

impl Lanes {
    /// Starts as many connections.
    pub(super) fn start<D: Dialect>(
        dialect: &Arc<D>,
        connections: usize,
        deadline: Duration,
    ) -> Self {
        let lane = |_| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(serve(Arc::clone(dialect), receiver, deadline));
            sender
        };
        Self { lanes: (0..connections).map(lane).collect(), deadline }
    }

    /// Does what is asked, on the connection for that number.
    pub(super) async fn run(&self, number: u64, run: Run) -> Result<Before, Fault> {
        self.submit(number, self.deadline, |reply| Task::Run(run, reply)).await
    }

    /// Runs statements, and returns all rows of two columns.
    pub(super) async fn rows(&self, sql: String) -> Result<Rows, Fault> {
        self.submit(0, self.deadline, |reply| Task::Rows(sql, reply)).await
    }

    /// The same for statements that may take longer than the deadline.
    pub(super) async fn rows_within(&self, patience: Duration, sql: String) -> Result<Rows, Fault> {
        self.submit(0, patience, |reply| Task::Rows(sql, reply)).await
    }

    async fn submit<T>(
        &self,
        number: u64,
        patience: Duration,
        task: impl FnOnce(Reply<T>) -> Task,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let job = Job { until: Instant::now() + patience, task: task(reply) };
        let lane = usize::try_from(number % self.lanes.len() as u64).unwrap_or_default();
        self.lanes[lane].try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Fault::new("too many requests wait for it"),
            mpsc::error::TrySendError::Closed(_) => Fault::new("its runtime has ended"),
        })?;
        answer.await.unwrap_or_else(|_| Err(Fault::unfinished()))
    }
}

/// Serves one connection, until nobody can ask for it any more. What has come
/// in meanwhile goes into one transaction.
async fn serve<D: Dialect>(dialect: Arc<D>, mut jobs: mpsc::Receiver<Job>, patience: Duration) {
    // Before there is work, so that the first request need not wait for it.
    let mut idle = live(&*dialect, None).await.ok().map(|first| (first, Instant::now()));
    let mut next = None;
    loop {
        let job = match next.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        let Some(batch) = Batch::gather(job, &mut jobs, &mut next).timely() else { continue };
        let mut connection = match live(&*dialect, idle.take()).await {
            Ok(connection) => connection,
            Err(fault) => {
                batch.refuse(&fault);
                continue;
            }
        };
        // Connecting may have taken longer than there was time.
        let healthy = match batch.timely() {
            Some(batch) => batch.perform(&*dialect, &mut connection, patience).await,
            None => true,
        };
        if healthy {
            idle = Some((connection, Instant::now()));
        }
    }
}

/// The connection if it still lives, else a new one.
async fn live<D: Dialect>(
    dialect: &D,
    idle: Option<(D::Connection, Instant)>,
) -> Result<D::Connection, Fault> {
    if let Some((mut connection, since)) = idle {
        let fresh = since.elapsed() < IDLE;
        if fresh || matches!(timeout(PATIENCE, connection.ping()).await, Ok(Ok(()))) {
            return Ok(connection);
        }
    }
    match timeout(PATIENCE, dialect.connect()).await {
        Ok(connection) => connection.map_err(Fault::unconnected),
        Err(_) => Err(Fault::new("it does not answer; is it running there?")),
    }
}
