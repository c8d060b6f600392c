//! Redis and Valkey: one script, however many quotas, and the server's clock.

mod apart;
mod link;
mod listing;
mod server;
mod url;

use std::{fmt, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use tokio::runtime::Handle;

use self::link::Link;
use super::{
    SharedStoreBuilder,
    backend::{Backend, Before, Kept, Listed, Named, Page, Run, parse_ban},
    naming,
    operation::{Operation, slack},
    wire,
};
use crate::{ban::Ban, error::StoreError, time::Timestamp};

const SCRIPT: &str =
    concat!(include_str!("redis/algorithms.lua"), "\n", include_str!("redis/decide.lua"));

/// How often a call is repeated that the server has refused to begin.
const TRIES: u32 = 8;

#[derive(Clone)]
pub(super) struct Redis {
    link: Link,
    prefix: String,
    sha: String,
    runtime: Handle,
}

pub(super) async fn connect(builder: &SharedStoreBuilder) -> Result<Arc<dyn Backend>, String> {
    let link = Link::connect(&builder.url, builder.deadline).await?;
    let sha = redis::Script::new(SCRIPT).get_hash().to_owned();
    let runtime = Handle::current();
    Ok(Arc::new(Redis { link, prefix: builder.prefix.clone(), sha, runtime }))
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Backend for Redis {
    fn run(&self, run: Run) -> BoxFuture<'_, Result<Before, StoreError>> {
        Box::pin(async move {
            let apart = self.link.is_cluster() && apart::is_apart(&run.items);
            match run.operation {
                Operation::Decide(cost) if apart => {
                    // To its end, though the request may go away meanwhile.
                    let redis = self.clone();
                    let task =
                        self.runtime.spawn(async move { apart::decide(&redis, run, cost).await });
                    task.await.map_err(StoreError::new)?
                }
                Operation::Strike if apart => apart::strike(self, run).await,
                Operation::Owe => {
                    let owed = owed(&run);
                    self.run_script(run, &owed).await
                }
                _ => self.run_script(run, &[]).await,
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
    /// Runs the script for items of one slot.
    async fn run_script(&self, run: Run, further: &[String]) -> Result<Before, StoreError> {
        let mut keys = Vec::with_capacity(3 * run.items.len());
        for item in &run.items {
            let parts = naming::parts(item.scope());
            let used = if item.policy.ban().is_some() { &parts[..] } else { &parts[..1] };
            keys.extend(used.iter().map(|part| self.name(&item.client, part)));
        }
        let now = run.now.map_or_else(String::new, |now| now.as_micros().to_string());
        let mut arguments = vec![run.operation.name().to_owned(), now];
        let Run { operation, .. } = run;
        let numbers = [slack(run.now), operation.told_cost(), operation.duration()];
        let items = operation.numbers(run.items.iter().map(Named::item));
        arguments.extend(numbers.iter().chain(&items).map(u64::to_string));
        arguments.extend_from_slice(further);
        let answer = self.call(&keys, &arguments).await.map_err(|error| {
            if has_not_begun(&error) || is_unsent(&error) {
                StoreError::nothing_done(error)
            } else {
                StoreError::new(error)
            }
        })?;
        before(answer)
    }

    /// Calls the script, again where the server says that it has not begun.
    async fn call(&self, keys: &[String], arguments: &[String]) -> RedisResult<Value> {
        let mut by_hash = true;
        let mut pause = Duration::from_millis(1);
        for _ in 1..TRIES {
            let error = match self.link.send(&self.command(by_hash, keys, arguments)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) {
                // As after a restart. EVAL leaves it there; SCRIPT LOAD would
                // have to reach every node of a cluster.
                by_hash = false;
                continue;
            }
            if !has_not_begun(&error) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.link.send(&self.command(by_hash, keys, arguments)).await
    }

    fn command(&self, by_hash: bool, keys: &[String], arguments: &[String]) -> Cmd {
        let mut command = match by_hash {
            true => redis::cmd("EVALSHA"),
            false => redis::cmd("EVAL"),
        };
        command.arg(if by_hash { &self.sha } else { SCRIPT });
        command.arg(keys.len()).arg(keys).arg(arguments);
        command
    }

    async fn find_ban(
        &self,
        scope: u64,
        client: &str,
        now: Option<Timestamp>,
    ) -> RedisResult<Option<Ban>> {
        let mut command = redis::cmd("GET");
        command.arg(self.name(client, &naming::part('b', scope)));
        let kept: Option<String> = redis::from_redis_value(self.link.send(&command).await?)?;
        let Some(ban) = kept.as_deref().and_then(parse_ban) else { return Ok(None) };
        let now = self.now(now).await?;
        Ok(Some(ban).filter(|ban| ban.holds(now)))
    }

    /// The instant by the store's own clock, or by the server's.
    async fn now(&self, own: Option<Timestamp>) -> RedisResult<Timestamp> {
        if let Some(now) = own {
            return Ok(now);
        }
        let time = self.link.send(&redis::cmd("TIME")).await?;
        let (seconds, micros): (u64, u64) = redis::from_redis_value(time)?;
        Ok(Timestamp::from_micros(seconds * 1_000_000 + micros))
    }

    /// A key's name. What is in braces is what a Redis cluster places by: all
    /// of a client's state is in one slot, and no client's name has a brace.
    fn name(&self, client: &str, part: &str) -> String {
        format!("{}:{{{client}}}:{part}", self.prefix)
    }
}

/// Whether the error proves that nothing was applied. (A script writes last,
/// so that a replica refuses it before anything was written.)
fn has_not_begun(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    matches!(
        error.kind(),
        ErrorKind::Server(
            Moved | Ask | TryAgain | ClusterDown | MasterDown | BusyLoading | ReadOnly
        )
    )
}

/// Whether the server cannot have heard of it.
fn is_unsent(error: &RedisError) -> bool {
    error.is_connection_refusal() || error.kind() == ErrorKind::ClusterConnectionNotFound
}

/// What items owe: the numbers of each quota, and those of a ban.
fn owed(run: &Run) -> Vec<String> {
    let numbers = run.owed.iter().flat_map(|owed| {
        let (left, duration) = owed.ban_left().unwrap_or_default();
        owed.numbers().flatten().chain([left, duration])
    });
    numbers.map(|number| number.to_string()).collect()
}

/// What the script has answered.
fn before(answer: Value) -> Result<Before, StoreError> {
    let answer: Vec<String> = redis::from_redis_value(answer).map_err(StoreError::new)?;
    let mut answer = answer.into_iter();
    let now = answer.next().and_then(|now| now.parse().ok());
    let now = now.ok_or_else(|| StoreError::new("the script answered without the time"))?;
    let now = Timestamp::from_micros(now);
    let kept = std::iter::from_fn(|| {
        let counter = answer.next()?;
        let (strikes, ban) = (answer.next()?, answer.next()?);
        let states = match counter.as_str() {
            "" => Default::default(),
            counter => wire::states(counter).collect(),
        };
        Some(Kept { now, states, strikes: wire::state(&strikes), ban: parse_ban(&ban) })
    });
    Ok(Before { now, kept: kept.collect() })
}
