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

use super::{Fault, Job, Task, batch::Batch};
use crate::store::shared::{builder::PATIENCE, sql::Dialect};

/// A connection that was idle that long is asked whether it is still there.
const IDLE: Duration = Duration::from_secs(30);

/// A connection, which does one thing at a time.
pub(super) struct Line<D: Dialect> {
    dialect: Arc<D>,
    patience: Duration,
    state: Mutex<State<D::Connection>>,
}

enum State<C> {
    Free(Idle<C>),
    /// Its task uses it.
    Taken,
    /// A request uses it.
    Lent(Work),
}

/// A connection, if there is one, and since when it was not used.
pub(super) type Idle<C> = Option<(C, Instant)>;

/// What a request does on a connection, which others may see to its end: it must
/// not depend on the request, which may go away, or on its thread, which may be
/// busy with something else.
type Work = Shared<BoxFuture<'static, ()>>;

impl<D: Dialect> Line<D> {
    pub(super) fn new(dialect: Arc<D>, patience: Duration) -> Self {
        Self { dialect, patience, state: Mutex::new(State::Taken) }
    }

    /// A new connection, if one can be made.
    pub(super) async fn connect(&self) -> Idle<D::Connection> {
        self.live(None).await.ok().map(|connection| (connection, Instant::now()))
    }

    /// Takes the connection once it is free, and till then sees through what a
    /// request has begun on it.
    pub(super) async fn take(&self) -> Idle<D::Connection> {
        loop {
            let work = match mem::replace(&mut *self.state(), State::Taken) {
                State::Free(idle) => return idle,
                State::Taken => return None,
                State::Lent(work) => work,
            };
            work.await;
        }
    }

    pub(super) fn free(&self, idle: Idle<D::Connection>) {
        *self.state() = State::Free(idle);
    }

    /// Whether a job is but one statement, that may be left to whoever asks: it
    /// takes no lock that is held until its thread has time again.
    pub(super) fn is_short(&self, job: &Job) -> bool {
        matches!(&job.task, Task::Run(run, _) if self.dialect.is_short(run))
    }

    /// Begins a job on the connection, if that is free and can be used at once.
    fn lend(self: &Arc<Self>, job: Job) -> Result<Work, Job> {
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
    pub(super) async fn perform(
        &self,
        idle: Idle<D::Connection>,
        batch: Batch,
    ) -> Idle<D::Connection> {
        let Some(batch) = batch.timely() else { return idle };
        let mut connection = match self.live(idle).await {
            Ok(connection) => connection,
            Err(fault) => {
                batch.refuse(&fault);
                return None;
            }
        };
        // Connecting may have taken longer than there was time.
        let healthy = match batch.timely() {
            Some(batch) => batch.perform(&*self.dialect, &mut connection, self.patience).await,
            None => true,
        };
        healthy.then(|| (connection, Instant::now()))
    }

    /// The connection if it still lives, else a new one.
    async fn live(&self, idle: Idle<D::Connection>) -> Result<D::Connection, Fault> {
        if let Some(idle) = idle {
            let fresh = is_fresh(&idle);
            let (mut connection, _) = idle;
            if fresh || matches!(timeout(PATIENCE, connection.ping()).await, Ok(Ok(()))) {
                return Ok(connection);
            }
        }
        match timeout(PATIENCE, self.dialect.connect()).await {
            Ok(connection) => connection.map_err(Fault::unconnected),
            Err(_) => Err(Fault::new("it does not answer; is it running there?")),
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
pub(super) async fn perform_here<D: Dialect>(
    line: &Arc<Line<D>>,
    job: Job,
    runtime: &Handle,
) -> Result<(), Job> {
    let mut work = Finished { work: Some(line.lend(job)?), runtime };
    std::future::poll_fn(|context| work.poll(context)).await;
    Ok(())
}

/// Work that is seen to its end.
struct Finished<'a> {
    work: Option<Work>,
    runtime: &'a Handle,
}

impl Finished<'_> {
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

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(work);
        }
    }
}
