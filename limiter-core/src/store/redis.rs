//! Redis and Valkey: one call of a script, however many quotas, under load for
//! several checks, and the server's clock.

mod batcher;
mod cluster;
mod command;
mod connection;
mod encoding;
mod error;
mod list_bans;
mod scripts;
mod single_node;
mod url;

use std::{fmt, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use redis::RedisResult;
use tokio::runtime::Handle;

use self::{
    batcher::Batcher, command::ScriptCall, connection::Connection, error::CallError,
    scripts::ScriptRunner,
};
use super::remote::{
    RemoteStoreBuilder,
    backend::{Backend, BanQuery, ListedBans, Reply, StoreRequest},
    operation::Operation,
    storage_key,
};
use crate::{ban::Ban, error::StoreError, time::Timestamp};

/// How often a call is repeated that the server has refused to begin.
const MAX_ATTEMPTS: u32 = 8;

#[derive(Clone)]
pub(super) struct Redis {
    scripts: Arc<ScriptRunner>,
    /// Where there is one server; those of a cluster are asked one by one.
    batcher: Option<Arc<Batcher>>,
    runtime: Handle,
}

pub(super) async fn connect(builder: &RemoteStoreBuilder) -> Result<Arc<dyn Backend>, String> {
    let connection = Connection::connect(&builder.url, builder.timeout).await?;
    let is_cluster = connection.is_cluster();
    let scripts = Arc::new(ScriptRunner::new(connection, &builder.prefix));
    let batcher = (!is_cluster).then(|| Arc::new(Batcher::start(&scripts)));
    Ok(Arc::new(Redis { scripts, batcher, runtime: Handle::current() }))
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.scripts.prefix()).finish_non_exhaustive()
    }
}

impl Backend for Redis {
    fn run(&self, run: StoreRequest) -> BoxFuture<'_, Result<Reply, StoreError>> {
        Box::pin(async move {
            let cluster = self.batcher.is_none() && cluster::spans_slots(&run.items);
            match run.operation {
                Operation::Decide(cost) if cluster => {
                    // To its end, though the request may go away meanwhile.
                    let redis = self.clone();
                    let task =
                        self.runtime.spawn(async move { cluster::decide(&redis, run, cost).await });
                    task.await.map_err(StoreError::new)?
                }
                Operation::Strike if cluster => cluster::strike(self, run).await,
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
        Box::pin(async move { self.find_ban(scope, &client, now).await.map_err(StoreError::new) })
    }

    fn bans(&self, page: BanQuery) -> BoxFuture<'_, Result<ListedBans, StoreError>> {
        Box::pin(async move { list_bans::bans(self, page).await })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Redis {
    /// Runs a script for items of one slot, again where the server says that it
    /// has not begun.
    async fn run_script(&self, ask: ScriptCall) -> Result<Reply, StoreError> {
        let ask = Arc::new(ask);
        let mut pause = Duration::from_millis(1);
        for _ in 1..MAX_ATTEMPTS {
            match self.try_script(&ask).await {
                Err(fault) if fault.has_not_begun() => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return Ok(answer?),
            }
        }
        Ok(self.try_script(&ask).await?)
    }

    async fn try_script(&self, ask: &Arc<ScriptCall>) -> Result<Reply, CallError> {
        match &self.batcher {
            Some(batcher) => batcher.run(ask).await,
            None => self.scripts.call_one(ask).await,
        }
    }

    fn connection(&self) -> &Connection {
        self.scripts.connection()
    }

    async fn find_ban(
        &self,
        scope: u64,
        client: &str,
        now: Option<Timestamp>,
    ) -> RedisResult<Option<Ban>> {
        let mut command = redis::cmd("GET");
        command.arg(self.name(client, &storage_key::part('b', scope)));
        let kept: Option<Vec<u8>> =
            redis::from_redis_value(self.connection().send(&command).await?)?;
        let Some(ban) = kept.as_deref().and_then(encoding::parse_ban) else { return Ok(None) };
        let now = self.now(now).await?;
        Ok(Some(ban).filter(|ban| ban.holds(now)))
    }

    /// The instant by the store's own clock, or by the server's.
    async fn now(&self, own: Option<Timestamp>) -> RedisResult<Timestamp> {
        if let Some(now) = own {
            return Ok(now);
        }
        let time = self.connection().send(&redis::cmd("TIME")).await?;
        let (seconds, micros): (u64, u64) = redis::from_redis_value(time)?;
        Ok(Timestamp::from_micros(seconds * 1_000_000 + micros))
    }

    fn name(&self, client: &str, part: &str) -> String {
        let mut name = String::new();
        command::write_name(&mut name, self.scripts.prefix(), client);
        name + part
    }
}
