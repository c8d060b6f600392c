//! Coalescing: what waits for a connection goes into its next transaction, all
//! of it, and is decided there one after the other, as it would have been alone.
//!
//! No timer: a check that finds the connection idle goes at once, alone.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{Job, Responder, SqlError, Task};
use crate::store::{
    remote::{
        backend::{Reply, StoreRequest},
        operation::Operation,
    },
    sql::{Dialect, TextRows},
};

/// How many checks go into one transaction at most.
const MAX_BATCH: usize = 128;

pub(in crate::store) enum Batch {
    Runs(Vec<QueuedRequest>),
    Rows(Instant, String, Responder<TextRows>),
}

/// A run, and who waits for it until when.
pub(in crate::store) struct QueuedRequest {
    until: Instant,
    run: StoreRequest,
    reply: Responder<Reply>,
}

impl Batch {
    /// One job.
    pub(in crate::store) fn alone(job: Job) -> Self {
        let until = job.until;
        match job.task {
            Task::Rows(sql, reply) => Self::Rows(until, sql, reply),
            Task::StoreRequest(run, reply) => Self::Runs(vec![QueuedRequest { until, run, reply }]),
        }
    }

    /// A job with those that wait behind it and go with it. The first one that
    /// does not is what comes `next`.
    pub(in crate::store) fn gather(
        first: Job,
        jobs: &mut mpsc::Receiver<Job>,
        next: &mut Option<Job>,
    ) -> Self {
        let mut asked = match Self::alone(first) {
            Self::Runs(asked) => asked,
            rows @ Self::Rows(..) => return rows,
        };
        while asked.len() < MAX_BATCH && asked.iter().all(QueuedRequest::is_batchable) {
            match jobs.try_recv() {
                Ok(Job { until, task: Task::StoreRequest(run, reply) }) if is_batchable(&run) => {
                    asked.push(QueuedRequest { until, run, reply });
                }
                Ok(other) => {
                    *next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        Self::Runs(asked)
    }

    /// What of it somebody still waits for, and has time left; the others are
    /// told.
    pub(in crate::store) fn drop_expired(self) -> Option<Self> {
        let now = Instant::now();
        match self {
            Self::Rows(until, _, reply) if until <= now || reply.is_closed() => {
                send_replies(reply, Err(SqlError::late()));
                None
            }
            rows @ Self::Rows(..) => Some(rows),
            Self::Runs(asked) => {
                let is_timely =
                    |asked: &QueuedRequest| asked.until > now && !asked.reply.is_closed();
                let (drop_expired, late): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_timely);
                late.into_iter().for_each(|asked| send_replies(asked.reply, Err(SqlError::late())));
                (!drop_expired.is_empty()).then_some(Self::Runs(drop_expired))
            }
        }
    }

    pub(in crate::store) fn refuse(self, fault: &SqlError) {
        match self {
            Self::Rows(_, _, reply) => send_replies(reply, Err(fault.again())),
            Self::Runs(asked) => {
                asked.into_iter().for_each(|asked| send_replies(asked.reply, Err(fault.again())));
            }
        }
    }

    /// Does it to its end, and replies. Returns whether the connection can be
    /// used again.
    pub(in crate::store) async fn perform<D: Dialect>(
        self,
        dialect: &D,
        connection: &mut D::Connection,
        patience: Duration,
    ) -> bool {
        match self {
            // Statements of whatever kind may have left a transaction open
            // where one of them failed.
            Self::Rows(until, sql, reply) => {
                let mut failed = false;
                let work = D::rows(connection, sql).inspect(|rows| failed = rows.is_err());
                let (result, healthy) = finish(until, patience, work).await;
                send_replies(reply, result);
                healthy && !failed
            }
            Self::Runs(asked) => run(asked, dialect, connection, patience).await,
        }
    }
}

impl QueuedRequest {
    fn is_batchable(&self) -> bool {
        is_batchable(&self.run)
    }
}

/// Whether others may be decided in the same transaction.
fn is_batchable(run: &StoreRequest) -> bool {
    matches!(run.operation, Operation::Decide(_) | Operation::Strike)
}

async fn run<D: Dialect>(
    asked: Vec<QueuedRequest>,
    dialect: &D,
    connection: &mut D::Connection,
    patience: Duration,
) -> bool {
    let until = asked.iter().map(|asked| asked.until).max().unwrap_or_else(Instant::now);
    let requests: Vec<&StoreRequest> = asked.iter().map(|asked| &asked.run).collect();
    let mut replies: Vec<Option<Reply>> = asked.iter().map(|_| None).collect();
    let work = dialect.run(connection, &requests, &mut replies);
    let (result, healthy) = finish(until, patience, work).await;
    let now = Instant::now();
    let mut undone = Vec::new();
    for (asked, reply) in asked.into_iter().zip(replies) {
        match reply {
            Some(reply) if asked.until > now => send_replies(asked.reply, Ok(reply)),
            Some(_) => send_replies(asked.reply, Err(SqlError::unfinished())),
            None => undone.push(asked),
        }
    }
    let fault = match result {
        Err(fault) => fault,
        Ok(()) if undone.is_empty() => return healthy,
        Ok(()) => SqlError::unfinished(),
    };
    // One of them may be at fault: the others are not to suffer for it.
    if healthy && fault.did_nothing && undone.len() > 1 {
        let mut healthy = true;
        for asked in undone {
            healthy = healthy && Box::pin(run(vec![asked], dialect, connection, patience)).await;
        }
        return healthy;
    }
    undone.into_iter().for_each(|asked| send_replies(asked.reply, Err(fault.again())));
    healthy
}

/// Sees some work to its end, though that may come too late for whoever asked:
/// to cut it off would cost the connection. Returns whether that can be used
/// again as well.
async fn finish<T>(
    until: Instant,
    patience: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> (Result<T, SqlError>, bool) {
    let mut work = pin!(work);
    let in_time = timeout_at(until, &mut work).await;
    let late = in_time.is_err();
    let result = match in_time {
        Ok(result) => Ok(result),
        Err(_) => timeout(patience, &mut work).await,
    };
    match result.map(|result| result.map_err(SqlError::from)) {
        Ok(Ok(done)) if !late => (Ok(done), true),
        Ok(Err(fault)) if !late => {
            let healthy = fault.is_healthy;
            (Err(fault), healthy)
        }
        Ok(Ok(_)) => (Err(SqlError::unfinished()), true),
        Ok(Err(fault)) => (Err(SqlError::unfinished()), fault.is_healthy),
        Err(_) => (Err(SqlError::unfinished()), false),
    }
}

/// Nobody may be waiting any more.
fn send_replies<T>(reply: Responder<T>, result: Result<T, SqlError>) {
    let _ = reply.send(result);
}
