//! The masters that keep the state: one, or those of a cluster.

use std::sync::Arc;

use super::{
    cluster::Cluster,
    error::{CallError, Redirection},
    hash_slot::slot_of,
    master_node::Master,
};

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

    /// Returns the node that has the slot of that client, where an error says that
    /// it is there to stay.
    pub(super) fn redirected(&self, client: &str, error: &CallError) -> Option<Arc<Master>> {
        let (Self::Cluster(cluster), (Redirection::Moved, node)) = (self, error.redirection()?)
        else {
            return None;
        };
        cluster.redirected(slot_of(client), Redirection::Moved, node)
    }
}
