//! Connections, each with a task of its own.
//!
//! A pool would lend its connections to the requests, and a request that is
//! dropped would leave one in the middle of a transaction. Here a request hands
//! its work in and may go away: what has begun comes to its end, what has not
//! is left out. (sqlx's pool also asks the server after each use whether it is
//! still there, which is a round trip.)

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use sqlx::{Connection as _, error::DatabaseError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

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
            tokio::spawn(serve(Arc::clone(dialect), receiver));
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
        answer.await.unwrap_or_else(|_| Err(Fault::new("its runtime has ended")))
    }
}

/// Serves one connection, until nobody can ask for it any more.
async fn serve<D: Dialect>(dialect: Arc<D>, mut jobs: mpsc::Receiver<Job>) {
    // Before there is work, so that the first request need not wait for it.
    let mut idle = live(&*dialect, None).await.ok().map(|first| (first, Instant::now()));
    while let Some(Job { until, task }) = jobs.recv().await {
        if Instant::now() >= until {
            task.refuse(Fault::late());
            continue;
        }
        let mut connection = match live(&*dialect, idle.take()).await {
            Ok(connection) => connection,
            Err(fault) => {
                task.refuse(fault);
                continue;
            }
        };
        let healthy = match task {
            Task::Run(run, reply) => perform(until, dialect.run(&mut connection, run), reply).await,
            Task::Rows(sql, reply) => perform(until, D::rows(&mut connection, sql), reply).await,
        };
        if healthy {
            idle = Some((connection, Instant::now()));
        }
    }
}

impl Task {
    fn refuse(self, fault: Fault) {
        // Nobody may be waiting any more.
        let _ = match self {
            Self::Run(_, reply) => reply.send(Err(fault)).is_ok(),
            Self::Rows(_, reply) => reply.send(Err(fault)).is_ok(),
        };
    }
}

/// Does some work to its end, and replies. Returns whether the connection can be
/// used again.
async fn perform<T>(
    until: Instant,
    work: impl Future<Output = Result<T, sqlx::Error>>,
    reply: Reply<T>,
) -> bool {
    let result = match timeout_at(until, work).await {
        Ok(result) => result.map_err(Fault::from),
        Err(_) => Err(Fault::late()),
    };
    let healthy = result.as_ref().map_or_else(|fault| fault.is_healthy, |_| true);
    let _ = reply.send(result);
    healthy
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
        Ok(connection) => connection.map_err(Fault::from),
        Err(_) => Err(Fault::new("it does not answer; is it running there?")),
    }
}

/// Why work was not done, or not in time.
#[derive(Debug)]
pub(in crate::store::shared) struct Fault {
    message: String,
    /// Whether the connection can be used again: the database said no, and has
    /// ended the transaction.
    is_healthy: bool,
    /// Whether tables or functions are missing.
    pub(super) is_missing: bool,
    source: Option<sqlx::Error>,
}

impl Fault {
    fn new(message: &str) -> Self {
        let message = message.to_owned();
        Self { message, is_healthy: false, is_missing: false, source: None }
    }

    fn late() -> Self {
        Self::new("it did not answer in time")
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
        let is_missing = matches!(&*code, "42P01" | "42883" | "3F000" | "42S02")
            || error.to_string().contains("no such table");
        let message = match is_missing {
            false if matches!(error, sqlx::Error::Tls(_)) && !cfg!(feature = "tls") => {
                format!("{error}; enable the feature \"tls\"")
            }
            true => format!(
                "tables or functions of the store are missing or of another version ({error}); \
                 leave out `migrate = false`, or let a role that may make them run what \
                 SharedStoreBuilder::schema() says"
            ),
            false => error.to_string(),
        };
        // PostgreSQL ends connections with 57P.., and 08... are broken.
        let is_healthy = matches!(error, sqlx::Error::Database(_))
            && !code.starts_with("57P")
            && !code.starts_with("08");
        Self { message, is_healthy, is_missing, source: Some(error) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as &(dyn StdError + 'static))
    }
}
