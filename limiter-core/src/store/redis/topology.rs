//! The masters that keep the state: one, or those of a cluster.

use std::sync::Arc;

use super::{cluster::Cluster, error::CallError, master::Master, probe, slot::slot_of};

/// So many names are tried for one of a slot of a master: more than ten times as
/// many as there are slots.
const MAX_NAMES: usize = 200_000;

/// The masters.
pub(super) enum Topology {
    Single(Arc<Master>),
    Cluster(Arc<Cluster>),
}

impl Topology {
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Returns the master that keeps the state of that client.
    pub(super) fn master_of(&self, client: &str) -> Result<Arc<Master>, CallError> {
        match self {
            Self::Single(master) => Ok(Arc::clone(master)),
            Self::Cluster(cluster) => cluster.master_of(slot_of(client)),
        }
    }

    /// Returns all masters.
    pub(super) fn masters(&self) -> Vec<Arc<Master>> {
        match self {
            Self::Single(master) => vec![Arc::clone(master)],
            Self::Cluster(cluster) => cluster.masters(),
        }
    }

    /// Returns the name of a client whose state that master keeps, and nobody's.
    pub(super) fn client_at(&self, master: &Arc<Master>) -> Option<String> {
        match self {
            Self::Single(_) => probe::clients().next(),
            Self::Cluster(cluster) => {
                let is_there = |client: &String| {
                    let found = cluster.master_of(slot_of(client));
                    found.is_ok_and(|found| Arc::ptr_eq(&found, master))
                };
                probe::clients().take(MAX_NAMES).find(is_there)
            }
        }
    }

    /// Returns the node that a redirection names, and remembers it where the slot
    /// is there to stay.
    pub(super) fn redirected(&self, client: &str, node: &str, stays: bool) -> Option<Arc<Master>> {
        let Self::Cluster(cluster) = self else { return None };
        let (host, port) = node.rsplit_once(':')?;
        Some(cluster.redirected(slot_of(client), host, port.parse().ok()?, stays))
    }
}
