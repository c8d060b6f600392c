//! The bans in force, by walking over all keys (SCAN): no index would be in
//! the slot of every client.

use futures_util::future::try_join_all;
use redis::RedisResult;

use super::{Redis, encoding::parse_ban};
use crate::{
    ban::Ban,
    error::StoreError,
    store::remote::{
        backend::{BanQuery, ListedBans},
        storage_key,
    },
};

/// Keys that one step of the walk looks at.
const STEP: usize = 1_000;

/// Where the walk stands: in a node (empty where there is but one), and at
/// which cursor of it.
#[derive(Clone, Debug)]
struct ScanCursor {
    cursor: u64,
    node: String,
}

impl ScanCursor {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let (cursor, node) = text.split_once('@').unwrap_or((text, ""));
        let cursor = cursor.parse().map_err(|_| {
            StoreError::new(format!("{text:?} is not where a page of bans has ended"))
        })?;
        Ok(Self { cursor, node: node.to_owned() })
    }
}

pub(super) async fn bans(redis: &Redis, page: BanQuery) -> Result<ListedBans, StoreError> {
    let mut nodes = redis.connection().masters().await.map_err(StoreError::new)?;
    nodes.sort();
    let mut place = match &page.after {
        Some(text) => Some(ScanCursor::parse(text)?),
        None => nodes.first().map(|node| ScanCursor { cursor: 0, node: node.clone() }),
    };
    let now = redis.now(page.now).await.map_err(StoreError::new)?;
    let mut listed = ListedBans::default();
    while let Some(at) = place.take().filter(|_| listed.bans.len() < page.limit) {
        let (cursor, found) = step(redis, &at, page.scope).await.map_err(StoreError::new)?;
        for (client, ban) in found {
            let is_new = listed.bans.iter().all(|(known, _)| *known != client);
            if ban.holds(now) && is_new {
                listed.bans.push((client, ban));
            }
        }
        place = match cursor {
            0 => nodes.iter().find(|node| **node > at.node).map(|node| (0, node.clone())),
            cursor => Some((cursor, at.node)),
        }
        .map(|(cursor, node)| ScanCursor { cursor, node });
        listed.next = place.as_ref().map(|ScanCursor { cursor, node }| format!("{cursor}@{node}"));
    }
    Ok(listed)
}

/// One step of the walk: the next cursor, and the bans met.
async fn step(
    redis: &Redis,
    at: &ScanCursor,
    scope: u64,
) -> RedisResult<(u64, Vec<(String, Ban)>)> {
    let part = storage_key::part('b', scope);
    let mut scan = redis::cmd("SCAN");
    scan.arg(at.cursor).arg("MATCH").arg(redis.name("*", &part)).arg("COUNT").arg(STEP);
    let answer = redis.connection().send_to(&at.node, &scan).await?;
    let (cursor, names): (u64, Vec<String>) = redis::from_redis_value(answer)?;
    let found = try_join_all(names.iter().map(async |name| {
        let mut get = redis::cmd("GET");
        get.arg(name);
        let kept: Option<Vec<u8>> = redis::from_redis_value(redis.connection().send(&get).await?)?;
        let ban = kept.as_deref().and_then(parse_ban);
        RedisResult::Ok(redis.client_of(name, &part).zip(ban))
    }))
    .await?;
    Ok((cursor, found.into_iter().flatten().collect()))
}

impl Redis {
    /// The client that a key's name is of.
    fn client_of(&self, name: &str, part: &str) -> Option<String> {
        let rest = name.strip_prefix(&format!("{}:{{", self.scripts.prefix()))?;
        rest.strip_suffix(&format!("}}:{part}")).map(str::to_owned)
    }
}
