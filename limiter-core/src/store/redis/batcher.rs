//! Coalescing: what comes while other calls are under way waits for one of them
//! to end, and then all that waits goes to the server by one call, to be decided
//! there one after the other, as it would have been alone.
//!
//! No timer, and no detour: what finds nothing under way is sent at once by its
//! own request. (The connection sees through what it was given, even if that
//! request goes away.) What waits is sent by a task, since a request that is
//! dropped must not take others with it.

use std::sync::{Arc, atomic::AtomicUsize};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    command::ScriptCall,
    error::CallError,
    scripts::{ScriptRunner, is_batchable},
};
use crate::store::remote::{backend::Reply, in_flight::InFlight};

/// How many calls may be under way, beside that of a request that found none:
/// one is decided while the answers of the other are told.
const CONCURRENT_BATCHES: usize = 2;

/// How much may wait.
const QUEUE: usize = 1_024;

/// How many checks go by one call at most: enough that what a call costs in itself
/// is little, and few enough that both lanes have some.
const MAX_BATCH: usize = 32;

/// How many quotas these may have together, beside those of the first: Lua takes
/// some thousand numbers at once.
const MAX_BATCH_QUOTAS: usize = 256;

pub(super) struct Batcher {
    scripts: Arc<ScriptRunner>,
    queue: mpsc::Sender<Job>,
    /// How many requests wait for an answer.
    in_flight: AtomicUsize,
}

struct Job {
    ask: Arc<ScriptCall>,
    reply: Responder,
}

type Responder = oneshot::Sender<Result<Reply, CallError>>;

/// What waits, and the job that had no room in the last call.
struct Queue {
    jobs: mpsc::Receiver<Job>,
    next: Option<Job>,
}

impl Batcher {
    /// Starts the tasks, on the runtime of the caller.
    pub(super) fn start(scripts: &Arc<ScriptRunner>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let shared = Arc::new(Mutex::new(Queue { jobs, next: None }));
        for _ in 0..CONCURRENT_BATCHES {
            tokio::spawn(serve(Arc::clone(scripts), Arc::clone(&shared)));
        }
        Self { scripts: Arc::clone(scripts), queue, in_flight: AtomicUsize::new(0) }
    }

    /// Does what is asked, at once or with others.
    pub(super) async fn run(&self, ask: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        let (_waiting, others) = InFlight::new(&self.in_flight);
        if others == 0 {
            return self.scripts.run_one(ask).await;
        }
        let (reply, answer) = oneshot::channel();
        let job = Job { ask: Arc::clone(ask), reply };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Full,
            mpsc::error::TrySendError::Closed(_) => CallError::Ended,
        })?;
        answer.await.unwrap_or(Err(CallError::Ended))
    }
}

/// Sends what waits, call by call, until nobody can ask any more.
async fn serve(scripts: Arc<ScriptRunner>, queue: Arc<Mutex<Queue>>) {
    loop {
        let Some(mut jobs) = queue.lock().await.gather().await else { return };
        // That may take long: whoever has gone meanwhile is left out.
        let ready = scripts.connection().ready().await;
        jobs.retain(|job| !job.reply.is_closed());
        if jobs.is_empty() {
            continue;
        }
        let (calls, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.ask, job.reply)).unzip();
        let answers = match ready {
            Ok(()) => scripts.run(&calls).await,
            Err(error) => vec![Err(CallError::Unsent(error)); calls.len()],
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Nobody may be waiting any more.
            let _ = reply.send(answer);
        }
    }
}

impl Queue {
    /// The jobs of the next call: all that wait, as far as there is room.
    async fn gather(&mut self) -> Option<Vec<Job>> {
        let first = match self.next.take() {
            Some(job) => job,
            None => self.jobs.recv().await?,
        };
        // Those who have just been answered may ask again at once.
        tokio::task::yield_now().await;
        let mut company = is_batchable(&first.ask);
        let (mut jobs, mut quotas) = (vec![first], 0);
        while company
            && jobs.len() < MAX_BATCH
            && let Ok(job) = self.jobs.try_recv()
        {
            quotas += job.ask.quotas();
            company = quotas <= MAX_BATCH_QUOTAS && is_batchable(&job.ask);
            if company {
                jobs.push(job);
            } else {
                self.next = Some(job);
            }
        }
        Some(jobs)
    }
}
