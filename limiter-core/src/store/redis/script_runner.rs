//! Runs the scripts on one server, which may not have them yet: the executor of
//! a master's batches.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_core::future::BoxFuture;
use redis::{Pipeline, Value};

use super::{
    cluster::Cluster,
    command::{self, ScriptCall},
    compare_and_set,
    connection::Connection,
    error::{CallError, Redirection},
    fast_path,
    hash_slot::slot_of,
    scripts::{Scripts, is_scripted},
    split_batch::{Part, parts},
};
use crate::{
    error::StoreError,
    store::remote::{
        backend::{Reply, StoreRequest},
        batcher::{BatchEntry, BatchExecutor, BatchLimits},
        runtime_batchers::RuntimeExecutor,
    },
};

/// The size of a batch to one server, and the number of batches: enough that the server
/// decides one while others are on their way, and few enough that the cost of a call in
/// itself is small. With 8, 16 and 64 checks in flight on one thread, 95,000, 155,000 and
/// 235,000 checks a second by four shares; by two 60,000, 120,000 and 190,000; by five as
/// many as by four, or fewer.
const LIMITS: BatchLimits = BatchLimits {
    entries: 32,
    in_shares: true,
    // Lua takes some thousand numbers at once.
    quotas: 256,
    times: 1_024,
    min_in_flight: 4,
    max_in_flight: 4,
    max_in_flight_slow: 24,
};

/// The same for one of several masters: the others are at work meanwhile, so that two calls
/// keep it busy, and larger ones cost all of them less.
const LIMITS_OF_MASTER: BatchLimits = BatchLimits { min_in_flight: 2, max_in_flight: 3, ..LIMITS };

/// The most attempts of a call that the server has refused to begin: with the
/// pauses between, for about 30 ms.
const MAX_ATTEMPTS: u32 = 6;

/// Calls the scripts on one server.
pub(super) struct ScriptRunner {
    connection: Connection,
    scripts: Arc<Scripts>,
    /// The cluster that the server is a master of, if it is of one.
    cluster: Option<Weak<Cluster>>,
}

/// The answer to each call, in their order.
type Answers = Vec<Result<Reply, CallError>>;

/// The same of one script; none where it has left a call undecided.
type PartAnswers = Vec<Result<Option<Reply>, CallError>>;

impl BatchExecutor for Arc<ScriptRunner> {
    fn limits(&self) -> BatchLimits {
        if self.cluster.is_some() { LIMITS_OF_MASTER } else { LIMITS }
    }

    fn is_batchable(&self, request: &StoreRequest) -> bool {
        is_scripted(request.operation)
    }

    fn execute<'a>(
        &'a self,
        batch: &'a [BatchEntry],
    ) -> BoxFuture<'a, Result<Vec<Reply>, StoreError>> {
        Box::pin(async move {
            let calls: Vec<_> = batch.iter().map(ScriptCall::of_entry).map(Arc::new).collect();
            let mut replies = Vec::with_capacity(calls.len());
            for (call, answer) in calls.iter().zip(self.run(&calls).await) {
                replies.push(match answer {
                    Err(error) if error.has_not_begun() => self.run_elsewhere(call, error).await?,
                    answer => answer?,
                });
            }
            Ok(replies)
        })
    }

    fn reconnect(&self) {
        self.connection.discard();
    }

    fn retries(&self) -> u64 {
        self.connection.retries()
    }
}

impl RuntimeExecutor for Arc<ScriptRunner> {
    fn takes(request: &StoreRequest) -> bool {
        is_scripted(request.operation)
    }

    fn folds(&self) -> bool {
        false
    }

    fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    fn has_ended(&self) -> bool {
        self.connection.has_ended()
    }
}

impl ScriptRunner {
    pub(super) fn new(
        connection: Connection,
        scripts: &Arc<Scripts>,
        cluster: Option<Weak<Cluster>>,
    ) -> Self {
        Self { connection, scripts: Arc::clone(scripts), cluster }
    }

    /// Returns one for the same server over another connection.
    pub(super) fn over(&self, connection: Connection) -> Self {
        let connection = connection.counting_with(&self.connection);
        Self::new(connection, &self.scripts, self.cluster.clone())
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns the first of so many names that is of a client whose state is here.
    pub(super) fn client_here(&self, name: fn(u64) -> String) -> Option<String> {
        let Some(cluster) = &self.cluster else { return Some(name(0)) };
        cluster.upgrade()?.client_at(&self.connection, name)
    }

    /// Returns the prefix of the names of all keys.
    pub(super) fn prefix(&self) -> &str {
        &self.scripts.prefix
    }

    /// Runs one call.
    pub(super) async fn run_one(&self, call: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        self.run(std::slice::from_ref(call)).await.pop().unwrap_or(Err(CallError::Ended))
    }

    /// Runs calls, in one write: one, or several of which each is
    /// [scripted](is_scripted). Calls that the fast path leaves undecided are decided
    /// by a second write.
    async fn run(&self, calls: &[Arc<ScriptCall>]) -> Answers {
        if let [call] = calls
            && !is_scripted(call.operation())
        {
            return vec![compare_and_set::run(self, call.request(), false).await];
        }
        let mut answers: Vec<Option<Result<Reply, CallError>>> = vec![None; calls.len()];
        for may_be_fast in [true, false] {
            let open: Vec<usize> = (0..calls.len()).filter(|at| answers[*at].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let parts = parts(calls, open, self.cluster.is_some(), may_be_fast);
            for (part, answer) in parts.iter().zip(self.send(&parts).await) {
                for (at, answer) in part.positions.iter().zip(answer) {
                    answers[*at] = answer.transpose();
                }
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(CallError::Ended))).collect()
    }

    /// Runs a call again that the server has not begun: at the node that it names,
    /// or after a pause.
    async fn run_elsewhere(
        &self,
        call: &Arc<ScriptCall>,
        mut error: CallError,
    ) -> Result<Reply, CallError> {
        let mut pause = Duration::from_millis(1);
        for _ in 1..MAX_ATTEMPTS {
            let cluster = self.cluster.as_ref().and_then(Weak::upgrade);
            let next = cluster.as_ref().and_then(|cluster| {
                let (kind, node) = error.redirection()?;
                Some((kind, cluster.redirected(slot_of(call.client()), kind, node)?))
            });
            let answer = match &next {
                Some((Redirection::Ask, node)) => node.runner().run_asking(call).await,
                Some((Redirection::Moved, node)) => node.runner().run_one(call).await,
                None => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    match cluster {
                        Some(cluster) => {
                            let master = cluster.master_of(slot_of(call.client()))?;
                            master.runner().run_one(call).await
                        }
                        None => self.run_one(call).await,
                    }
                }
            };
            match answer {
                Err(again) if again.has_not_begun() => error = again,
                answer => return answer,
            }
        }
        Err(error)
    }

    /// Runs a call on a node that its keys are about to move to.
    async fn run_asking(&self, call: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        if !is_scripted(call.operation()) {
            return compare_and_set::run(self, call.request(), true).await;
        }
        let parts = parts(std::slice::from_ref(call), vec![0], false, false);
        let mut pipeline = redis::pipe();
        for part in &parts {
            pipeline.cmd("ASKING").add_command(self.scripts.command(part, false));
        }
        let answer = self.connection.send(&pipeline).await?.pop();
        let reply = parts.first().and_then(|part| read(answer, part).pop());
        reply.unwrap_or(Err(CallError::Ended))?.ok_or(CallError::Ended)
    }

    /// Runs one script for each part.
    async fn send(&self, parts: &[Part]) -> Vec<PartAnswers> {
        let all: Vec<&Part> = parts.iter().collect();
        let mut answers = self.send_once(&all, true).await;
        // A server lacks scripts after a restart. EVAL leaves the script there.
        let lacks = |answers: &PartAnswers| match answers.first() {
            Some(Err(error)) => error.is_no_script(),
            _ => false,
        };
        let missing: Vec<usize> = (0..parts.len()).filter(|at| lacks(&answers[*at])).collect();
        if !missing.is_empty() {
            let again: Vec<_> = missing.iter().map(|at| &parts[*at]).collect();
            for (at, answer) in missing.into_iter().zip(self.send_once(&again, false).await) {
                answers[at] = answer;
            }
        }
        answers
    }

    async fn send_once(&self, parts: &[&Part], by_hash: bool) -> Vec<PartAnswers> {
        let mut pipeline = Pipeline::with_capacity(parts.len());
        for part in parts {
            pipeline.add_command(self.scripts.command(part, by_hash));
        }
        match self.connection.send(&pipeline).await {
            Ok(values) => {
                let mut values = values.into_iter();
                parts.iter().map(|part| read(values.next(), part)).collect()
            }
            Err(error) => {
                parts.iter().map(|part| vec![Err(error.clone()); part.calls.len()]).collect()
            }
        }
    }
}

/// Reads what a script has answered, to each of its calls.
fn read(answer: Option<Value>, part: &Part) -> PartAnswers {
    let answer = answer.unwrap_or(Value::Nil).extract_error();
    let replies = answer.and_then(|answer| match part.is_fast {
        true => fast_path::replies(answer, &part.calls),
        false => command::answers(answer, &part.calls)
            .map(|replies| replies.into_iter().map(Some).collect()),
    });
    match replies {
        Ok(replies) => replies.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(CallError::Redis(error)); part.calls.len()],
    }
}
