//! The scripts, and how they are called on one server, which may not have them
//! yet.

use std::sync::Arc;

use redis::{Cmd, Pipeline, Value};

use super::{
    command::{self, ScriptCall},
    connection::Connection,
    error::CallError,
    slot::slot_of,
};
use crate::store::remote::{backend::Reply, operation::Operation};

macro_rules! script {
    ($($part:literal),+) => { concat!($(include_str!($part), "\n"),+) };
}

/// A script, and the hash by which a server knows it.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    pub(super) const fn text(&self) -> &str {
        self.text
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

/// All scripts, and what the names of all keys begin with.
pub(super) struct Scripts {
    pub(super) prefix: String,
    /// Whether a call may have keys of one slot alone.
    pub(super) is_cluster: bool,
    decide: Script,
    by_hand: Script,
}

impl Scripts {
    pub(super) fn new(prefix: &str, is_cluster: bool) -> Self {
        Self {
            prefix: prefix.to_owned(),
            is_cluster,
            decide: Script::new(script!(
                "lua/fast_path.lua",
                "lua/algorithms.lua",
                "lua/state.lua",
                "lua/check.lua"
            )),
            by_hand: Script::new(script!("lua/algorithms.lua", "lua/state.lua", "lua/admin.lua")),
        }
    }

    fn command(&self, calls: &[Arc<ScriptCall>], by_hash: bool) -> Cmd {
        let script = match calls {
            [call, ..] if !is_batchable(call) => &self.by_hand,
            _ => &self.decide,
        };
        command::command(script, by_hash, &self.prefix, calls)
    }
}

/// Calls the scripts on one server.
pub(super) struct ScriptRunner {
    connection: Connection,
    scripts: Arc<Scripts>,
}

/// What each call was answered, in their order.
pub(super) type Answers = Vec<Result<Reply, CallError>>;

impl ScriptRunner {
    pub(super) fn new(connection: Connection, scripts: &Arc<Scripts>) -> Self {
        Self { connection, scripts: Arc::clone(scripts) }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs one call.
    pub(super) async fn run_one(&self, call: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        self.run(std::slice::from_ref(call)).await.pop().unwrap_or(Err(CallError::Ended))
    }

    /// Runs calls, in one write: one, or several of which each is
    /// [batchable](is_batchable). On a cluster each slot has a script run of its
    /// own.
    pub(super) async fn run(&self, calls: &[Arc<ScriptCall>]) -> Answers {
        if !self.scripts.is_cluster || calls.len() == 1 {
            let answer = self.send(&[calls]).await;
            return answer.into_iter().next().unwrap_or_default();
        }
        let mut order: Vec<usize> = (0..calls.len()).collect();
        order.sort_by_key(|at| slot_of(calls[*at].client()));
        let sorted: Vec<_> = order.iter().map(|at| Arc::clone(&calls[*at])).collect();
        let groups: Vec<_> =
            sorted.chunk_by(|a, b| slot_of(a.client()) == slot_of(b.client())).collect();
        let answers = self.send(&groups).await.into_iter().flatten();
        let mut answers: Vec<_> = order.into_iter().zip(answers).collect();
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Runs a call on a node that its keys are about to move to.
    pub(super) async fn run_asking(&self, call: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        let calls = std::slice::from_ref(call);
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").add_command(self.scripts.command(calls, false));
        let answer = self.connection.send(&pipeline).await?.pop();
        read(answer, calls).pop().unwrap_or(Err(CallError::Ended))
    }

    /// Runs one script for each group of calls.
    async fn send(&self, groups: &[&[Arc<ScriptCall>]]) -> Vec<Answers> {
        let pipeline = self.pipeline(groups.iter().copied(), true);
        let mut answers = self.read_all(&pipeline, groups).await;
        // As after a restart. EVAL leaves the script there.
        let lacks = |answers: &Answers| {
            answers
                .first()
                .is_some_and(|answer| answer.as_ref().is_err_and(CallError::is_no_script))
        };
        let missing: Vec<usize> = (0..groups.len()).filter(|at| lacks(&answers[*at])).collect();
        if !missing.is_empty() {
            let again: Vec<_> = missing.iter().map(|at| groups[*at]).collect();
            let pipeline = self.pipeline(again.iter().copied(), false);
            for (at, answer) in missing.into_iter().zip(self.read_all(&pipeline, &again).await) {
                answers[at] = answer;
            }
        }
        answers
    }

    fn pipeline<'a>(
        &self,
        groups: impl Iterator<Item = &'a [Arc<ScriptCall>]>,
        by_hash: bool,
    ) -> Pipeline {
        let mut pipeline = redis::pipe();
        for calls in groups {
            pipeline.add_command(self.scripts.command(calls, by_hash));
        }
        pipeline
    }

    async fn read_all(&self, pipeline: &Pipeline, groups: &[&[Arc<ScriptCall>]]) -> Vec<Answers> {
        match self.connection.send(pipeline).await {
            Ok(values) => {
                let mut values = values.into_iter();
                groups.iter().map(|calls| read(values.next(), calls)).collect()
            }
            Err(error) => {
                groups.iter().map(|calls| vec![Err(error.clone()); calls.len()]).collect()
            }
        }
    }
}

/// Reads what a script has answered, to each of its calls.
fn read(answer: Option<Value>, calls: &[Arc<ScriptCall>]) -> Answers {
    let answer = answer.unwrap_or(Value::Nil).extract_error();
    match answer.and_then(|answer| command::answers(answer, calls)) {
        Ok(replies) => replies.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(CallError::Redis(error)); calls.len()],
    }
}

/// Returns whether `check.lua` does it, with others in one call.
pub(super) fn is_batchable(call: &ScriptCall) -> bool {
    matches!(call.operation(), Operation::Decide(_) | Operation::Charge(_) | Operation::Strike)
}
