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
use tokio::{sync::Notify, time::timeout};

use super::{error::CallError, master::Master, scripts::Scripts, slot_map::SlotMap, url};

/// The time between two looks at the masters, and the shortest between two
/// questions for the map.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Cluster {
    settings: Settings,
    map: RwLock<Arc<SlotMap>>,
    outdated: Notify,
}

/// What connections to nodes are made by.
pub(super) struct Settings {
    /// The nodes that the URL names.
    pub(super) seeds: Vec<ConnectionInfo>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) call_timeout: Duration,
}

impl Cluster {
    /// Asks the nodes of the URL for the masters, and starts to connect to these
    /// and to follow the map, on the runtime of the caller.
    pub(super) async fn connect(settings: Settings) -> Result<Arc<Self>, CallError> {
        let map = SlotMap::default().ask_anew(&settings).await?;
        let map = RwLock::new(Arc::new(map));
        let cluster = Arc::new(Self { settings, map, outdated: Notify::new() });
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

    /// Returns the node at that address, and remembers it where the slot is there
    /// to stay.
    pub(super) fn redirected(&self, slot: u16, host: &str, port: u16, stays: bool) -> Arc<Master> {
        let map = self.map();
        let known = map.masters().iter().find(|master| master.is_at(host, port));
        let master = known.map_or_else(|| self.settings.master(host, port), Arc::clone);
        if stays {
            self.set_map(map.with(slot, &master));
        }
        self.outdated.notify_one();
        master
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_map(&self, map: SlotMap) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
    }
}

impl Settings {
    /// Starts to connect to the node at that address.
    pub(super) fn master(&self, host: &str, port: u16) -> Arc<Master> {
        let info = url::at(&self.seeds[0], host.to_owned(), port);
        Arc::new(Master::start_at(info, &self.scripts, self.call_timeout))
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
            && let Ok(map) = map.ask_anew(&cluster.settings).await
        {
            cluster.set_map(map);
        }
    }
}
