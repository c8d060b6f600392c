//! Redis and Valkey: one call of a script, however many quotas, under load for
//! several checks, and the server's clock.

mod advice;
mod batcher;
mod cluster;
mod command;
mod connection;
mod cross_slot;
mod encoding;
mod error;
mod list_bans;
mod master;
mod probe;
mod scripts;
mod sentinel;
mod slot;
mod slot_map;
mod start;
mod stream;
mod topology;
mod url;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::runtime::Handle;

pub(super) use self::start::connect;
use self::{
    command::ScriptCall,
    error::{CallError, Redirection},
    master::Master,
    scripts::Scripts,
    topology::Topology,
};
use super::remote::{
    backend::{Backend, BanQuery, ListedBans, Reply, StoreRequest},
    operation::Operation,
    storage_key,
};
use crate::{ban::Ban, error::StoreError, time::Timestamp};

/// How often a call is repeated that the server has refused to begin: with the
/// pauses between, for about 30 ms.
const MAX_ATTEMPTS: u32 = 6;

#[derive(Clone)]
pub(super) struct Redis {
    topology: Arc<Topology>,
    scripts: Arc<Scripts>,
    runtime: Handle,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.scripts.prefix).finish_non_exhaustive()
    }
}

impl Backend for Redis {
    fn run(&self, run: StoreRequest) -> BoxFuture<'_, Result<Reply, StoreError>> {
        Box::pin(async move {
            let is_apart = self.topology.is_cluster() && cross_slot::spans_slots(&run.items);
            match run.operation {
                Operation::Decide(cost) if is_apart => {
                    // To its end, though the request may go away meanwhile.
                    let redis = self.clone();
                    let task = self
                        .runtime
                        .spawn(async move { cross_slot::decide(&redis, run, cost).await });
                    task.await.map_err(StoreError::new)?
                }
                Operation::Strike if is_apart => cross_slot::strike(self, run).await,
                _ => self.run_script(ScriptCall::new(run)).await,
            }
        })
    }

    fn ban(
        &self,
        scope: u64,
        client: String,
        now: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Option<Ban>, StoreError>> {
        Box::pin(async move { Ok(self.find_ban(scope, &client, now).await?) })
    }

    fn bans(&self, page: BanQuery) -> BoxFuture<'_, Result<ListedBans, StoreError>> {
        Box::pin(async move { list_bans::bans(self, page).await })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Redis {
    /// Runs a script for items of one slot.
    async fn run_script(&self, call: ScriptCall) -> Result<Reply, StoreError> {
        let call = Arc::new(call);
        let run = |master: Arc<Master>, is_asking| {
            let call = Arc::clone(&call);
            async move {
                if is_asking { master.run_asking(&call).await } else { master.run(&call).await }
            }
        };
        Ok(self.routed(call.client(), run).await?)
    }

    /// Sends one command that only reads, about a key of that client.
    async fn read(&self, client: &str, command: Cmd) -> Result<Value, CallError> {
        let send = |master: Arc<Master>, is_asking| {
            let mut pipeline = redis::pipe();
            if is_asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(command.clone());
            async move {
                let answer = master.connection().send(&pipeline).await?.pop();
                Ok(answer.unwrap_or(Value::Nil).extract_error()?)
            }
        };
        self.routed(client, send).await
    }

    /// Does something at the master that keeps the state of that client: again
    /// where it says that it has not begun, and elsewhere where it says so.
    async fn routed<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        client: &str,
        attempt: impl Fn(Arc<Master>, bool) -> F,
    ) -> Result<T, CallError> {
        let (mut pause, mut next) = (Duration::from_millis(1), None);
        for _ in 1..MAX_ATTEMPTS {
            let (master, is_asking) = match next.take() {
                Some(next) => next,
                None => (self.topology.master_of(client)?, false),
            };
            match attempt(master, is_asking).await {
                Err(error) if error.has_not_begun() => next = self.redirected(client, &error),
                answer => return answer,
            }
            if next.is_none() {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        attempt(self.topology.master_of(client)?, false).await
    }

    /// Returns where the server sends a call, and whether it has to be asked there
    /// (ASK).
    fn redirected(&self, client: &str, error: &CallError) -> Option<(Arc<Master>, bool)> {
        let (kind, node) = error.redirection()?;
        let stays = kind == Redirection::Moved;
        Some((self.topology.redirected(client, node, stays)?, !stays))
    }

    async fn find_ban(
        &self,
        scope: u64,
        client: &str,
        now: Option<Timestamp>,
    ) -> Result<Option<Ban>, CallError> {
        let mut command = redis::cmd("GET");
        command.arg(self.name(client, &storage_key::part('b', scope)));
        let kept: Option<Vec<u8>> = redis::from_redis_value(self.read(client, command).await?)?;
        let Some(ban) = kept.as_deref().and_then(encoding::parse_ban) else { return Ok(None) };
        let now = self.time_at(client, now).await?;
        Ok(Some(ban).filter(|ban| ban.holds(now)))
    }

    /// The instant by the store's own clock, or by the server of that client.
    async fn time_at(&self, client: &str, own: Option<Timestamp>) -> Result<Timestamp, CallError> {
        if let Some(now) = own {
            return Ok(now);
        }
        let time = self.read(client, redis::cmd("TIME")).await?;
        let (seconds, micros): (u64, u64) = redis::from_redis_value(time)?;
        Ok(Timestamp::from_micros(seconds * 1_000_000 + micros))
    }

    fn name(&self, client: &str, part: &str) -> String {
        let mut name = String::new();
        command::write_name(&mut name, &self.scripts.prefix, client);
        name + part
    }
}
