//! Redis and Valkey: one call of a script, however many quotas, under load for
//! several checks, and the server's clock.

mod byte_stream;
mod cluster;
mod command;
mod compare_and_set;
mod connect;
mod connection;
mod cross_slot;
mod encoding;
mod error;
mod error_advice;
mod fast_path;
mod hash_slot;
mod list_bans;
mod master_node;
mod reconnect;
mod script_runner;
mod scripts;
mod sentinel;
mod slot_map;
mod split_batch;
mod topology;
mod url;

use std::{fmt, sync::Arc};

use futures_core::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::runtime::Handle;

pub(super) use self::connect::connect;
use self::{error::CallError, scripts::Scripts, topology::Topology};
use super::{
    ServerHealth,
    remote::{
        backend::{Backend, BanQuery, ListedBans, Reply, StoreRequest},
        operation::Operation,
        storage_key,
    },
};
use crate::{ban::Ban, error::StoreError, time::Timestamp};

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
            let is_apart = self.topology.is_cluster() && cross_slot::spans_clients(&run.items);
            match run.operation {
                Operation::Decide(cost) if is_apart => {
                    // To its end, though the request may go away meanwhile.
                    let redis = self.clone();
                    let task = self
                        .runtime
                        .spawn(async move { cross_slot::decide(&redis, run, cost).await });
                    task.await.map_err(StoreError::new)?
                }
                Operation::Settle if is_apart => cross_slot::settle(self, run).await,
                Operation::Look if is_apart => cross_slot::look(self, run).await,
                _ => self.run_on_slot(run).await,
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

    fn health(&self) -> Vec<ServerHealth> {
        self.topology.masters().iter().map(|master| master.health()).collect()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.check_masters())
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Redis {
    /// Does one step for items of one slot.
    async fn run_on_slot(&self, request: StoreRequest) -> Result<Reply, StoreError> {
        let client = request.items.first().map_or("", |item| &item.client);
        self.topology.master_of(client)?.run(request).await
    }

    /// Sends one command that only reads, about a key of that client: again where
    /// the slot has just moved.
    async fn read(&self, client: &str, command: Cmd) -> Result<Value, CallError> {
        let answer = self.topology.master_of(client)?.read(command.clone()).await;
        match answer {
            Err(error) => match self.topology.redirected(client, &error) {
                Some(master) => master.read(command).await,
                None => Err(error),
            },
            answer => answer,
        }
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
