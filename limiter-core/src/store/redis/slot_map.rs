//! The map of a cluster's slots: which master has which.

use std::{sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, ConnectionInfo, Pipeline, RedisResult, Value};
use tokio::time::timeout;

use super::{
    byte_stream::{self, Opened},
    cluster::Cluster,
    error::CallError,
    hash_slot::SLOTS,
    master_node::Master,
    url::{self, host_and_port},
};

/// The longest time of a call for the map to one node.
const MAP_TIMEOUT: Duration = Duration::from_millis(500);

/// The position of no master.
const NONE: u16 = u16::MAX;

/// Which master has which slot.
#[derive(Clone)]
pub(super) struct SlotMap {
    masters: Vec<Arc<Master>>,
    /// The position of the master of each slot.
    slots: Box<[u16]>,
    /// All nodes, replicas included, any of which may send the next map.
    nodes: Vec<ConnectionInfo>,
}

impl Default for SlotMap {
    fn default() -> Self {
        let slots = vec![NONE; usize::from(SLOTS)].into_boxed_slice();
        Self { masters: Vec::new(), slots, nodes: Vec::new() }
    }
}

/// Slots that follow each other, and the nodes that have them, the master first.
type Range = (u16, u16, Vec<(String, u16)>);

impl SlotMap {
    pub(super) fn masters(&self) -> &[Arc<Master>] {
        &self.masters
    }

    pub(super) fn master_of(&self, slot: u16) -> Option<Arc<Master>> {
        let position = self.slots.get(usize::from(slot))?;
        self.masters.get(usize::from(*position)).cloned()
    }

    /// Returns whether there is a connection to each master.
    pub(super) fn is_served(&self) -> bool {
        self.masters.iter().all(|master| master.connection().is_connected())
    }

    /// Returns the same map with that slot at that master.
    pub(super) fn with(&self, slot: u16, master: &Arc<Master>) -> Self {
        let mut map = self.clone();
        map.slots[usize::from(slot)] = map.position(master);
        map
    }

    fn position(&mut self, master: &Arc<Master>) -> u16 {
        let known = self.masters.iter().position(|known| Arc::ptr_eq(known, master));
        if known.is_none() {
            self.masters.push(Arc::clone(master));
        }
        known.unwrap_or(self.masters.len() - 1) as u16
    }

    /// Reads the map from one node after the other, until one sends it: first the masters
    /// that there is a connection to. Returns the map by the first that answers,
    /// with the masters of this one that are masters still.
    pub(super) async fn ask_anew(&self, cluster: &Arc<Cluster>) -> Result<Self, CallError> {
        let mut slots = redis::pipe();
        slots.cmd("CLUSTER").arg("SLOTS");
        for master in self.masters.iter().filter(|master| master.connection().is_connected()) {
            if let Ok(Ok(values)) = timeout(MAP_TIMEOUT, master.connection().send(&slots)).await
                && let Ok(map) = self.next(values, master.info(), cluster)
            {
                return Ok(map);
            }
        }
        let mut last = CallError::Ended;
        for node in self.nodes.iter().chain(cluster.seeds()) {
            let answer = timeout(MAP_TIMEOUT, ask(node, &slots)).await.map_err(|_| late());
            match answer.flatten().and_then(|values| self.next(values, node, cluster)) {
                Ok(map) => return Ok(map),
                Err(error) => last = CallError::Unsent(error),
            }
        }
        Err(last)
    }

    /// Reads the map that a node has answered.
    fn next(
        &self,
        mut values: Vec<Value>,
        asked: &ConnectionInfo,
        cluster: &Arc<Cluster>,
    ) -> RedisResult<Self> {
        let answer = values.pop().unwrap_or(Value::Nil).extract_error()?;
        let mut map = Self::default();
        for range in redis::from_redis_value::<Vec<Value>>(answer)? {
            let (first, last, nodes) = read_range(range, asked)?;
            for (host, port) in &nodes {
                map.nodes.push(url::at(&cluster.seeds()[0], host.clone(), *port));
            }
            let Some((host, port)) = nodes.first() else { continue };
            let mut known = map.masters.iter().chain(&self.masters);
            let known = known.find(|master| master.is_at(host, *port)).cloned();
            let master = known.unwrap_or_else(|| cluster.start_master(host, *port));
            let position = map.position(&master);
            let slots = usize::from(first)..=usize::from(last.min(SLOTS - 1));
            if let Some(slots) = map.slots.get_mut(slots) {
                slots.fill(position);
            }
        }
        map.nodes.sort_by_key(|node| node.addr().to_string());
        map.nodes.dedup_by_key(|node| node.addr().to_string());
        Ok(map)
    }
}

/// Reads the map from a node without a connection.
async fn ask(node: &ConnectionInfo, commands: &Pipeline) -> RedisResult<Vec<Value>> {
    let Opened { mut connection, driver, .. } =
        byte_stream::open(node, AsyncConnectionConfig::new()).await?;
    tokio::select! {
        answer = connection.send_packed_commands(commands, 0, commands.len()) => answer,
        () = driver => Err((redis::ErrorKind::Io, "the node closed the connection").into()),
    }
}

fn late() -> redis::RedisError {
    (redis::ErrorKind::Io, "the node does not answer").into()
}

/// Reads `first last node*`, where a node is `host port ...`. A node that does
/// not know its own host means that of the node that sent the map.
fn read_range(range: Value, asked: &ConnectionInfo) -> RedisResult<Range> {
    let mut parts = redis::from_redis_value::<Vec<Value>>(range)?.into_iter();
    let mut number = || redis::from_redis_value::<u16>(parts.next().unwrap_or(Value::Nil));
    let (first, last) = (number()?, number()?);
    let nodes = parts.map(|node| {
        let mut parts = redis::from_redis_value::<Vec<Value>>(node)?.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        let host = redis::from_redis_value::<Option<String>>(next())?;
        let port = redis::from_redis_value::<u16>(next())?;
        let host = host.filter(|host| !host.is_empty() && host != "?");
        Ok((host.unwrap_or_else(|| host_and_port(asked).0.to_owned()), port))
    });
    Ok((first, last, nodes.collect::<RedisResult<_>>()?))
}
