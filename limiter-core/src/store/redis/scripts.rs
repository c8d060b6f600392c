//! The scripts, and how one is called that the server may not have yet.

use std::sync::Arc;

use redis::{ErrorKind, ServerErrorKind};

use super::{
    command::{self, ScriptCall},
    connection::Connection,
    error::CallError,
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

/// Calls scripts on the server, or on the cluster.
pub(super) struct ScriptRunner {
    connection: Connection,
    prefix: String,
    decide: Script,
    by_hand: Script,
}

impl ScriptRunner {
    pub(super) fn new(connection: Connection, prefix: &str) -> Self {
        Self {
            connection,
            prefix: prefix.to_owned(),
            decide: Script::new(script!(
                "lua/fast_path.lua",
                "lua/algorithms.lua",
                "lua/state.lua",
                "lua/check.lua"
            )),
            by_hand: Script::new(script!("lua/algorithms.lua", "lua/state.lua", "lua/admin.lua")),
        }
    }

    /// The connection that they are called by.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the names of all keys begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Does one thing.
    pub(super) async fn call_one(&self, ask: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        let mut answers = self.call(std::slice::from_ref(ask)).await?;
        Ok(answers.remove(0))
    }

    /// Does what is asked by one call: one thing, or several of which each
    /// [has company](has_company).
    pub(super) async fn call(&self, asked: &[Arc<ScriptCall>]) -> Result<Vec<Reply>, CallError> {
        let script = match asked {
            [ask, ..] if !is_batchable(ask) => &self.by_hand,
            _ => &self.decide,
        };
        let command = |by_hash| command::command(script, by_hash, &self.prefix, asked);
        let answer = match self.connection.send(&command(true)).await {
            // As after a restart. EVAL leaves it there; SCRIPT LOAD would have
            // to reach every node of a cluster.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.connection.send(&command(false)).await
            }
            answer => answer,
        };
        Ok(command::answers(answer?, asked)?)
    }
}

/// Whether `decide.lua` does it, with others in one call.
pub(super) fn is_batchable(ask: &ScriptCall) -> bool {
    matches!(ask.operation(), Operation::Decide(_) | Operation::Charge(_) | Operation::Strike)
}
