//! The bans in force, by walking over all keys (SCAN): no index would be in
//! the slot of every client.

use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::Value;

use super::{Redis, encoding::parse_ban, error::CallError, master_node::Master};
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
    let mut masters = redis.topology.masters();
    masters.sort_by_key(|master| master.address());
    // The one of an URL without a cluster may be another one after a failover.
    let address = |master: &Arc<Master>| match redis.topology.is_cluster() {
        true => master.address(),
        false => String::new(),
    };
    let nodes: Vec<(String, Arc<Master>)> =
        masters.iter().map(|master| (address(master), Arc::clone(master))).collect();
    let mut place = match &page.after {
        Some(text) => Some(ScanCursor::parse(text)?),
        None => nodes.first().map(|(node, _)| ScanCursor { cursor: 0, node: node.clone() }),
    };
    let now = redis.time_at("", page.now).await?;
    let mut listed = ListedBans::default();
    while let Some(at) = place.take().filter(|_| listed.bans.len() < page.limit) {
        // A node that has left goes on at the next one.
        let node = nodes.iter().find(|(node, _)| *node == at.node);
        let (cursor, found) = match node {
            Some((_, master)) => step(redis, master, at.cursor, page.scope).await?,
            None => (0, Vec::new()),
        };
        for (client, ban) in found {
            let is_new = listed.bans.iter().all(|(known, _)| *known != client);
            if ban.holds(now) && is_new {
                listed.bans.push((client, ban));
            }
        }
        place = match cursor {
            0 => nodes.iter().find(|(node, _)| *node > at.node).map(|(node, _)| (0, node.clone())),
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
    master: &Master,
    cursor: u64,
    scope: u64,
) -> Result<(u64, Vec<(String, Ban)>), CallError> {
    let part = storage_key::part('b', scope);
    let mut scan = redis::pipe();
    scan.cmd("SCAN").arg(cursor).arg("MATCH").arg(redis.name("*", &part)).arg("COUNT").arg(STEP);
    let answer = master.connection().send(&scan).await?.pop().unwrap_or(Value::Nil);
    let (cursor, names): (u64, Vec<String>) = redis::from_redis_value(answer.extract_error()?)?;
    let found = try_join_all(names.iter().filter_map(|name| {
        let client = redis.client_of(name, &part)?;
        Some(async move {
            let mut get = redis::cmd("GET");
            get.arg(name);
            let kept: Option<Vec<u8>> = redis::from_redis_value(redis.read(&client, get).await?)?;
            Ok::<_, CallError>(Some(client).zip(kept.as_deref().and_then(parse_ban)))
        })
    }))
    .await?;
    Ok((cursor, found.into_iter().flatten().collect()))
}

impl Redis {
    /// The client that a key's name is of.
    fn client_of(&self, name: &str, part: &str) -> Option<String> {
        let rest = name.strip_prefix(&format!("{}:{{", self.scripts.prefix))?;
        rest.strip_suffix(&format!("}}:{part}")).map(str::to_owned)
    }
}
