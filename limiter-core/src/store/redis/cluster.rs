//! A cluster: which master has which slots, as the nodes themselves say.
//!
//! The map is this store's own, and so is the connection to each master. It is
//! asked for anew, from any node that answers, when one says that a slot is
//! elsewhere, and while a master cannot be reached. (The client library's own
//! cluster connection stands still after errors until somebody polls it, and
//! takes four times as long a call.)

use std::{
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use redis::ConnectionInfo;
use tokio::{runtime::Handle, sync::Notify, time::timeout};

use super::{
    connection::{Connection, Source},
    error::{CallError, Redirection},
    hash_slot::slot_of,
    master_node::Master,
    script_runner::ScriptRunner,
    scripts::Scripts,
    slot_map::SlotMap,
    url,
};
use crate::store::circuit_breaker::BreakerSettings;

/// The time between two looks at the masters, and the shortest between two
/// questions for the map.
const PAUSE: Duration = Duration::from_millis(200);

/// Names that are tried for one in a slot of a master: more than ten times as
/// many as there are slots.
const MAX_NAMES: u64 = 200_000;

pub(super) struct Cluster {
    /// The nodes that the URL names.
    seeds: Vec<ConnectionInfo>,
    scripts: Arc<Scripts>,
    breaker_settings: BreakerSettings,
    map: RwLock<Arc<SlotMap>>,
    outdated: Notify,
    /// The runtime of the store's thread, on which connections are made.
    runtime: Handle,
}

impl Cluster {
    /// Asks the nodes of the URL for the masters, and starts to connect to these
    /// and to follow the map, on the runtime of the caller.
    pub(super) async fn connect(
        seeds: Vec<ConnectionInfo>,
        scripts: &Arc<Scripts>,
        breaker_settings: BreakerSettings,
    ) -> Result<Arc<Self>, CallError> {
        let cluster = Arc::new(Self {
            seeds,
            scripts: Arc::clone(scripts),
            breaker_settings,
            map: RwLock::default(),
            outdated: Notify::new(),
            runtime: Handle::current(),
        });
        cluster.set_map(cluster.map().ask_anew(&cluster).await?);
        tokio::spawn(follow(Arc::downgrade(&cluster)));
        Ok(cluster)
    }

    /// Returns the master of a slot.
    pub(super) fn master_of(&self, slot: u16) -> Result<Arc<Master>, CallError> {
        let master = self.map().master_of(slot);
        master.ok_or_else(|| {
            self.outdated.notify_one();
            CallError::NoMaster(slot)
        })
    }

    /// Returns all masters.
    pub(super) fn masters(&self) -> Vec<Arc<Master>> {
        self.map().masters().to_vec()
    }

    /// Returns the node that a redirection names, and remembers it where the slot
    /// is there to stay.
    pub(super) fn redirected(
        self: &Arc<Self>,
        slot: u16,
        kind: Redirection,
        node: &str,
    ) -> Option<Arc<Master>> {
        let (host, port) = node.rsplit_once(':')?;
        let (map, port) = (self.map(), port.parse().ok()?);
        let known = map.masters().iter().find(|master| master.is_at(host, port));
        let master = known.map_or_else(|| self.start_master(host, port), Arc::clone);
        if kind == Redirection::Moved {
            self.set_map(map.with(slot, &master));
        }
        self.outdated.notify_one();
        Some(master)
    }

    /// Starts to connect to the node at that address, whatever runtime has met it first.
    pub(super) fn start_master(self: &Arc<Self>, host: &str, port: u16) -> Arc<Master> {
        let _entered = self.runtime.enter();
        let info = url::at(&self.seeds[0], host.to_owned(), port);
        let source = Source::Server(Box::new(info.clone()));
        let runner =
            |connection| ScriptRunner::new(connection, &self.scripts, Some(Arc::downgrade(self)));
        Arc::new(Master::start(source, info, runner, &self.breaker_settings))
    }

    /// Returns the first of so many names that is of a client whose state is at
    /// the server of that connection.
    pub(super) fn client_at(
        &self,
        connection: &Connection,
        name: fn(u64) -> String,
    ) -> Option<String> {
        let map = self.map();
        let is_there = |client: &String| {
            let master = map.master_of(slot_of(client));
            master.is_some_and(|master| master.connection().is(connection))
        };
        (0..MAX_NAMES).map(name).find(is_there)
    }

    pub(super) fn seeds(&self) -> &[ConnectionInfo] {
        &self.seeds
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_map(&self, map: SlotMap) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
    }
}

/// Keeps the map right, as long as the cluster is used.
async fn follow(cluster: Weak<Cluster>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let map = cluster.map();
        let is_outdated = timeout(Duration::ZERO, cluster.outdated.notified()).await.is_ok();
        if (is_outdated || !map.is_served())
            && let Ok(map) = map.ask_anew(&cluster).await
        {
            cluster.set_map(map);
        }
    }
}
