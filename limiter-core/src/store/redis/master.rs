//! One master: its connection, the scripts on it, and the checks that wait for
//! it. What is wrong with one is nothing to another.

use std::{fmt, sync::Arc, time::Duration};

use redis::{ConnectionInfo, Value};

use super::{
    batcher::Batcher,
    command::ScriptCall,
    connection::{Connection, Source},
    error::CallError,
    scripts::{ScriptRunner, Scripts},
    url::host_and_port,
};
use crate::store::remote::backend::Reply;

pub(super) struct Master {
    /// Where it is; of a service of Sentinel the first sentinel.
    info: ConnectionInfo,
    runner: Arc<ScriptRunner>,
    batcher: Batcher,
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Master").field(&self.address()).finish()
    }
}

impl Master {
    /// Starts to connect to that address.
    pub(super) fn start_at(
        info: ConnectionInfo,
        scripts: &Arc<Scripts>,
        call_timeout: Duration,
    ) -> Self {
        let source = Source::Server(Box::new(info.clone()));
        Self::start(source, info, scripts, call_timeout)
    }

    /// Starts to connect, on the runtime of the caller.
    pub(super) fn start(
        source: Source,
        info: ConnectionInfo,
        scripts: &Arc<Scripts>,
        call_timeout: Duration,
    ) -> Self {
        let connection = Connection::start(source, call_timeout);
        let runner = Arc::new(ScriptRunner::new(connection, scripts));
        Self { info, batcher: Batcher::start(&runner), runner }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.runner.connection()
    }

    pub(super) const fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        host_and_port(&self.info) == (host, port)
    }

    /// Returns `host:port`.
    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }

    /// Runs a script, at once or together with others that wait.
    pub(super) async fn run(&self, call: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        self.batcher.run(call).await
    }

    /// Runs a script at once, past those that wait.
    pub(super) async fn run_alone(&self, call: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        self.runner.run_one(call).await
    }

    /// Checks that it is no node of a cluster of several masters: what is kept
    /// there for a client would depend on the slot.
    pub(super) async fn check_is_alone(&self) -> Result<(), CallError> {
        let mut slots = redis::pipe();
        slots.cmd("CLUSTER").arg("SLOTS");
        let answer = self.connection().send(&slots).await?.pop();
        // A server that is none has an error to say.
        match answer {
            Some(Value::Array(ranges)) if ranges.len() != 1 => Err(CallError::IsClusterNode),
            _ => Ok(()),
        }
    }

    /// Runs a script on keys that are about to move here (ASK).
    pub(super) async fn run_asking(&self, call: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        self.runner.run_asking(call).await
    }
}
