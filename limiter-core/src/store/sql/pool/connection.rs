//! A connection, and who uses it.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_core::future::BoxFuture;
use futures_util::{FutureExt, future::Shared};
use sqlx::Connection as _;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{Job, SqlError, Task, batch::Batch};
use crate::store::{remote::builder::CONNECT_TIMEOUT, sql::Dialect};

/// A connection that was idle that long is asked whether it is still there.
const IDLE: Duration = Duration::from_secs(30);

/// A connection, which does one thing at a time.
pub(in crate::store) struct PooledConnection<D: Dialect> {
    dialect: Arc<D>,
    patience: Duration,
    state: Mutex<State<D::Connection>>,
}

enum State<C> {
    Free(IdleConnection<C>),
    /// Its task uses it.
    Taken,
    /// A request uses it.
    Lent(BorrowedWork),
}

/// A connection, if there is one, and since when it was not used.
pub(in crate::store) type IdleConnection<C> = Option<(C, Instant)>;

/// What a request does on a connection, which others may see to its end: it must
/// not depend on the request, which may go away, or on its thread, which may be
/// busy with something else.
type BorrowedWork = Shared<BoxFuture<'static, ()>>;

impl<D: Dialect> PooledConnection<D> {
    pub(in crate::store) fn new(dialect: Arc<D>, patience: Duration) -> Self {
        Self { dialect, patience, state: Mutex::new(State::Taken) }
    }

    /// A new connection, if one can be made.
    pub(in crate::store) async fn connect(&self) -> IdleConnection<D::Connection> {
        self.live(None).await.ok().map(|connection| (connection, Instant::now()))
    }

    /// Takes the connection once it is free, and till then sees through what a
    /// request has begun on it.
    pub(in crate::store) async fn take(&self) -> IdleConnection<D::Connection> {
        loop {
            let work = match mem::replace(&mut *self.state(), State::Taken) {
                State::Free(idle) => return idle,
                State::Taken => return None,
                State::Lent(work) => work,
            };
            work.await;
        }
    }

    pub(in crate::store) fn free(&self, idle: IdleConnection<D::Connection>) {
        *self.state() = State::Free(idle);
    }

    /// Whether a job is but one statement, that may be left to whoever asks: it
    /// takes no lock that is held until its thread has time again.
    pub(in crate::store) fn is_single_statement(&self, job: &Job) -> bool {
        matches!(&job.task, Task::StoreRequest(run, _) if self.dialect.is_single_statement(run))
    }

    /// Begins a job on the connection, if that is free and can be used at once.
    fn borrow(self: &Arc<Self>, job: Job) -> Result<BorrowedWork, Job> {
        let mut state = self.state();
        let idle = match &mut *state {
            State::Free(idle) if idle.as_ref().is_some_and(is_fresh) => idle.take(),
            _ => return Err(job),
        };
        let line = Arc::clone(self);
        let work = async move {
            let idle = line.perform(idle, Batch::alone(job)).await;
            line.free(idle);
        };
        let work = work.boxed().shared();
        *state = State::Lent(work.clone());
        Ok(work)
    }

    /// Does a batch on that connection or on a new one; returns the one that
    /// serves the next.
    pub(in crate::store) async fn perform(
        &self,
        idle: IdleConnection<D::Connection>,
        batch: Batch,
    ) -> IdleConnection<D::Connection> {
        let Some(batch) = batch.drop_expired() else { return idle };
        let mut connection = match self.live(idle).await {
            Ok(connection) => connection,
            Err(fault) => {
                batch.refuse(&fault);
                return None;
            }
        };
        // Connecting may have taken longer than there was time.
        let healthy = match batch.drop_expired() {
            Some(batch) => batch.perform(&*self.dialect, &mut connection, self.patience).await,
            None => true,
        };
        healthy.then(|| (connection, Instant::now()))
    }

    /// The connection if it still lives, else a new one.
    async fn live(&self, idle: IdleConnection<D::Connection>) -> Result<D::Connection, SqlError> {
        if let Some(idle) = idle {
            let fresh = is_fresh(&idle);
            let (mut connection, _) = idle;
            if fresh || matches!(timeout(CONNECT_TIMEOUT, connection.ping()).await, Ok(Ok(()))) {
                return Ok(connection);
            }
        }
        match timeout(CONNECT_TIMEOUT, self.dialect.connect()).await {
            Ok(connection) => connection.map_err(SqlError::unconnected),
            Err(_) => Err(SqlError::new("it does not answer; is it running there?")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<D::Connection>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh<C>((_, since): &(C, Instant)) -> bool {
    since.elapsed() < IDLE
}

/// Does a job in the caller's own time, which saves two changes of tasks, if the
/// connection is free. On `runtime` it comes to its end should the caller go away.
pub(in crate::store) async fn run_inline<D: Dialect>(
    line: &Arc<PooledConnection<D>>,
    job: Job,
    runtime: &Handle,
) -> Result<(), Job> {
    let mut work = RunToCompletion { work: Some(line.borrow(job)?), runtime };
    std::future::poll_fn(|context| work.poll(context)).await;
    Ok(())
}

/// BorrowedWork that is seen to its end.
struct RunToCompletion<'a> {
    work: Option<BorrowedWork>,
    runtime: &'a Handle,
}

impl RunToCompletion<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Its timers are to be of the runtime that outlives the request.
        let _entered = self.runtime.enter();
        match self.work.as_mut().map(|work| work.poll_unpin(context)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(())) | None => {
                self.work = None;
                Poll::Ready(())
            }
        }
    }
}

impl Drop for RunToCompletion<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(work);
        }
    }
}
