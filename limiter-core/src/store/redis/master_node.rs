//! One master: its connection, the scripts on it, its circuit breaker, and the
//! requests that wait for it. What is wrong with one is nothing to another.

use std::{fmt, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use redis::{ConnectionInfo, Value};

use super::{
    connection::{Connection, Source},
    error::CallError,
    script_runner::ScriptRunner,
    url::host_and_port,
};
use crate::{
    error::StoreError,
    store::{
        ServerHealth,
        circuit_breaker::{BreakerSettings, CircuitBreaker},
        prober::{Probe, spawn_prober},
        remote::{
            backend::{Reply, StoreRequest},
            batcher::Batcher,
            builder::server_timeout,
            probe_check::{probe, probe_client},
            runtime_batchers::RuntimeBatchers,
        },
    },
};

pub(super) struct Master {
    /// Where it is; of a service of Sentinel the first sentinel.
    info: ConnectionInfo,
    /// The batcher of the store's thread.
    batcher: Batcher<Arc<ScriptRunner>>,
    runtime_batchers: Arc<RuntimeBatchers<Arc<ScriptRunner>>>,
    /// Kept for the prober, which ends with it.
    probe: Arc<dyn Probe>,
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Master").field(&self.address()).finish()
    }
}

impl Master {
    /// Starts to connect, and to probe while it fails, on the runtime of the
    /// caller.
    pub(super) fn start(
        source: Source,
        info: ConnectionInfo,
        runner: impl FnOnce(Connection) -> ScriptRunner,
        settings: &BreakerSettings,
    ) -> Self {
        let timeout = settings.timeout;
        let runner = Arc::new(runner(Connection::start(
            source.clone(),
            timeout,
            Some(server_timeout(timeout)),
        )));
        let breaker = CircuitBreaker::new(format!("Redis at {}", info.addr()), settings);
        let of_store = Arc::clone(&runner);
        let runtime_batchers = Arc::new(RuntimeBatchers::new(Arc::clone(&breaker), move || {
            let connection = Connection::start(source.clone(), timeout, None);
            Some(Arc::new(of_store.over(connection)))
        }));
        let probe: Arc<dyn Probe> = Arc::new(MasterProbe {
            runner: Arc::clone(&runner),
            runtime_batchers: Arc::clone(&runtime_batchers),
            timeout,
        });
        spawn_prober(&breaker, &probe);
        Self { info, batcher: Batcher::new(runner, breaker, timeout), runtime_batchers, probe }
    }

    pub(super) fn runner(&self) -> &ScriptRunner {
        self.batcher.executor()
    }

    pub(super) fn connection(&self) -> &Connection {
        self.runner().connection()
    }

    pub(super) fn health(&self) -> ServerHealth {
        self.batcher.health()
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

    /// Does one step, at once or together with others that wait.
    pub(super) async fn run(&self, request: StoreRequest) -> Result<Reply, StoreError> {
        match self.runtime_batchers.of_caller(&request, &self.batcher) {
            Some(batcher) => batcher.run(request).await,
            None => self.batcher.run(request).await,
        }
    }

    /// Sends one command that only reads.
    pub(super) async fn read(&self, command: redis::Cmd) -> Result<Value, CallError> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(command);
        let answer = self.connection().send(&pipeline).await?.pop();
        Ok(answer.unwrap_or(Value::Nil).extract_error()?)
    }

    /// Checks that it does all that a check needs.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        self.probe.probe().await
    }

    /// Checks that it is no node of a cluster of several masters: what is kept
    /// there for a client would depend on the slot.
    pub(super) async fn check_is_alone(&self) -> Result<(), CallError> {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        // A server that is none has an error to say.
        match self.read(slots).await {
            Ok(Value::Array(ranges)) if ranges.len() != 1 => Err(CallError::IsClusterNode),
            _ => Ok(()),
        }
    }
}

impl Master {
    /// Returns the rule by which the server removes keys once its memory is full. `None` if
    /// it removes none, has no limit, or does not say: managed servers deny the command.
    pub(super) async fn eviction_rule(&self) -> Option<String> {
        let mut memory = redis::cmd("INFO");
        memory.arg("memory");
        let text: String = redis::from_redis_value(self.read(memory).await.ok()?).ok()?;
        let of =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let rule = of("maxmemory_policy")?;
        let evicts = rule != "noeviction" && of("maxmemory")? != "0";
        evicts.then(|| rule.to_owned())
    }
}

/// The probe of one master.
struct MasterProbe {
    runner: Arc<ScriptRunner>,
    runtime_batchers: Arc<RuntimeBatchers<Arc<ScriptRunner>>>,
    timeout: Duration,
}

impl Probe for MasterProbe {
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // A cluster that has taken all slots away from it has no client there.
            let Some(client) = self.runner.client_here(probe_client) else { return Ok(()) };
            probe(&self.runner, &client, None, self.timeout).await
        })
    }

    fn reconnect(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.runtime_batchers.reconnect();
            self.runner.connection().discard();
            let _ = self.runner.connection().ready().await;
        })
    }
}
