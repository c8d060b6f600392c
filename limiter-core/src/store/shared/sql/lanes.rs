//! Connections, each with a task of its own.
//!
//! A pool would lend its connections to the requests, and a request that is
//! dropped would leave one in the middle of a transaction. Here a request hands
//! its work in and may go away: what has begun comes to its end, what has not
//! is left out. (sqlx's pool also asks the server after each use whether it is
//! still there, which is a round trip.)

use std::{error::Error as StdError, fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;

use sqlx::{Connection as _, error::DatabaseError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::{Dialect, Rows};
use crate::{
    error::StoreError,
    store::shared::{
        backend::{Before, Run},
        builder::PATIENCE,
    },
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
        answer.await.unwrap_or_else(|_| {
            Err(Fault { did_nothing: false, ..Fault::new("its runtime has ended") })
        })
    }
}

/// Serves one connection, until nobody can ask for it any more.
async fn serve<D: Dialect>(dialect: Arc<D>, mut jobs: mpsc::Receiver<Job>, patience: Duration) {
    // Before there is work, so that the first request need not wait for it.
    let mut idle = live(&*dialect, None).await.ok().map(|first| (first, Instant::now()));
    while let Some(Job { until, task }) = jobs.recv().await {
        if task.is_abandoned() || Instant::now() >= until {
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
        // Connecting may have taken longer than there was time.
        let healthy = if Instant::now() >= until {
            task.refuse(Fault::late());
            true
        } else {
            task.perform(&*dialect, &mut connection, until, patience).await
        };
        if healthy {
            idle = Some((connection, Instant::now()));
        }
    }
}

impl Task {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Run(_, reply) => reply.is_closed(),
            Self::Rows(_, reply) => reply.is_closed(),
        }
    }

    fn refuse(self, fault: Fault) {
        // Nobody may be waiting any more.
        let _ = match self {
            Self::Run(_, reply) => reply.send(Err(fault)).is_ok(),
            Self::Rows(_, reply) => reply.send(Err(fault)).is_ok(),
        };
    }

    /// Does it to its end, and replies. Returns whether the connection can be
    /// used again.
    async fn perform<D: Dialect>(
        self,
        dialect: &D,
        connection: &mut D::Connection,
        until: Instant,
        patience: Duration,
    ) -> bool {
        match self {
            Self::Run(run, reply) => {
                finish(until, patience, dialect.run(connection, run), reply).await
            }
            // Statements of whatever kind may have left a transaction open
            // where one of them failed.
            Self::Rows(sql, reply) => {
                let mut failed = false;
                let work = D::rows(connection, sql).inspect(|rows| failed = rows.is_err());
                finish(until, patience, work, reply).await && !failed
            }
        }
    }
}

/// Sees some work to its end, and replies. That may come too late for whoever
/// asked; but to cut it off would cost the connection.
async fn finish<T>(
    until: Instant,
    patience: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
    reply: Reply<T>,
) -> bool {
    let mut work = pin!(work);
    let in_time = timeout_at(until, &mut work).await;
    let late = in_time.is_err();
    let result = match in_time {
        Ok(result) => Ok(result),
        Err(_) => timeout(patience, &mut work).await,
    };
    let result = result.map(|result| result.map_err(Fault::from));
    let healthy = match &result {
        Ok(Ok(_)) => true,
        Ok(Err(fault)) => fault.is_healthy,
        Err(_) => false,
    };
    let _ = reply.send(match result {
        Ok(result) if !late => result,
        _ => Err(Fault::unfinished()),
    });
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
        Ok(connection) => connection.map_err(Fault::unconnected),
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
    /// Whether nothing was done: it has not begun, or was rolled back.
    did_nothing: bool,
    /// Whether tables or functions are missing.
    pub(super) is_missing: bool,
    source: Option<sqlx::Error>,
}

impl Fault {
    fn new(message: &str) -> Self {
        let message = message.to_owned();
        Self { message, is_healthy: false, did_nothing: true, is_missing: false, source: None }
    }

    /// It has not begun in time.
    fn late() -> Self {
        Self::new("it did not answer in time")
    }

    /// It has begun, and whether it comes to its end is not known.
    fn unfinished() -> Self {
        Self { did_nothing: false, ..Self::late() }
    }

    /// A connection that could not be made.
    fn unconnected(error: sqlx::Error) -> Self {
        Self { did_nothing: true, ..Self::from(error) }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
        let is_missing = matches!(&*code, "42P01" | "42883" | "3F000" | "42S02")
            || error.to_string().contains("no such table");
        let told = error.to_string();
        let wants_tls = matches!(error, sqlx::Error::Tls(_)) || told.contains("RSA");
        let message = match is_missing {
            false if wants_tls && !cfg!(feature = "tls") => {
                format!("{told}; enable the feature \"tls\"")
            }
            // MySQL asks for the password in clear.
            false if told.contains("RSA") => format!("{told}; add ?ssl-mode=REQUIRED to the URL"),
            true => format!(
                "tables or functions of the store are missing or of another version ({error}); \
                 leave out `migrate = false`, or let a role that may make them run what \
                 SharedStoreBuilder::schema() says"
            ),
            false => told,
        };
        // PostgreSQL ends connections with 57P.., and 08... are broken. Who may
        // not write is no primary any more: another connection may find it.
        let is_healthy = matches!(error, sqlx::Error::Database(_))
            && !code.starts_with("57P")
            && !code.starts_with("08")
            && code != "25006"
            && !error.to_string().contains("read-only");
        let did_nothing = matches!(error, sqlx::Error::Database(_));
        Self { message, is_healthy, did_nothing, is_missing, source: Some(error) }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        if fault.did_nothing { Self::nothing_done(fault) } else { Self::new(fault) }
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
