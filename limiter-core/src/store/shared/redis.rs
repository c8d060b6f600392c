//! Redis and Valkey: one call of a script, however many quotas, under load for
//! several checks, and the server's clock.

mod apart;
mod call;
mod fault;
mod lanes;
mod link;
mod listing;
mod packed;
mod scripts;
mod server;
mod url;

use std::{fmt, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use redis::RedisResult;
use tokio::runtime::Handle;

use self::{call::Ask, fault::Fault, lanes::Lanes, link::Link, scripts::Scripts};
use super::{
    SharedStoreBuilder,
    backend::{Backend, Before, Listed, Page, Run},
    naming,
    operation::Operation,
};
use crate::{ban::Ban, error::StoreError, time::Timestamp};

/// How often a call is repeated that the server has refused to begin.
const TRIES: u32 = 8;

#[derive(Clone)]
pub(super) struct Redis {
    scripts: Arc<Scripts>,
    /// Where there is one server; those of a cluster are asked one by one.
    lanes: Option<Arc<Lanes>>,
    runtime: Handle,
}

pub(super) async fn connect(builder: &SharedStoreBuilder) -> Result<Arc<dyn Backend>, String> {
    let link = Link::connect(&builder.url, builder.deadline).await?;
    let is_cluster = link.is_cluster();
    let scripts = Arc::new(Scripts::new(link, &builder.prefix));
    let lanes = (!is_cluster).then(|| Arc::new(Lanes::start(&scripts)));
    Ok(Arc::new(Redis { scripts, lanes, runtime: Handle::current() }))
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.scripts.prefix()).finish_non_exhaustive()
    }
}

impl Backend for Redis {
    fn run(&self, run: Run) -> BoxFuture<'_, Result<Before, StoreError>> {
        Box::pin(async move {
            let apart = self.lanes.is_none() && apart::is_apart(&run.items);
            match run.operation {
                Operation::Decide(cost) if apart => {
                    // To its end, though the request may go away meanwhile.
                    let redis = self.clone();
                    let task =
                        self.runtime.spawn(async move { apart::decide(&redis, run, cost).await });
                    task.await.map_err(StoreError::new)?
                }
                Operation::Strike if apart => apart::strike(self, run).await,
                _ => self.run_script(Ask::new(run)).await,
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

    fn bans(&self, page: Page) -> BoxFuture<'_, Result<Listed, StoreError>> {
        Box::pin(async move { listing::bans(self, page).await })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Redis {
    /// Runs a script for items of one slot, again where the server says that it
    /// has not begun.
    async fn run_script(&self, ask: Ask) -> Result<Before, StoreError> {
        let ask = Arc::new(ask);
        let mut pause = Duration::from_millis(1);
        for _ in 1..TRIES {
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

    async fn try_script(&self, ask: &Arc<Ask>) -> Result<Before, Fault> {
        match &self.lanes {
            Some(lanes) => lanes.run(ask).await,
            None => self.scripts.call_one(ask).await,
        }
    }

    fn link(&self) -> &Link {
        self.scripts.link()
    }

    async fn find_ban(
        &self,
        scope: u64,
        client: &str,
        now: Option<Timestamp>,
    ) -> RedisResult<Option<Ban>> {
        let mut command = redis::cmd("GET");
        command.arg(self.name(client, &naming::part('b', scope)));
        let kept: Option<Vec<u8>> = redis::from_redis_value(self.link().send(&command).await?)?;
        let Some(ban) = kept.as_deref().and_then(packed::parse_ban) else { return Ok(None) };
        let now = self.now(now).await?;
        Ok(Some(ban).filter(|ban| ban.holds(now)))
    }

    /// The instant by the store's own clock, or by the server's.
    async fn now(&self, own: Option<Timestamp>) -> RedisResult<Timestamp> {
        if let Some(now) = own {
            return Ok(now);
        }
        let time = self.link().send(&redis::cmd("TIME")).await?;
        let (seconds, micros): (u64, u64) = redis::from_redis_value(time)?;
        Ok(Timestamp::from_micros(seconds * 1_000_000 + micros))
    }

    fn name(&self, client: &str, part: &str) -> String {
        let mut name = String::new();
        call::write_name(&mut name, self.scripts.prefix(), client);
        name + part
    }
}
