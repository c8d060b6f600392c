//! The errors of a call to a server, and what each says about whether the call
//! was applied.

use redis::{ErrorKind, ParsingError, RedisError, ServerErrorKind};

use crate::error::StoreError;

/// Why a call was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The server said so, or the answer was lost.
    #[error("{}", words(.0))]
    Redis(#[from] RedisError),
    /// The call never left this process.
    #[error("{}", words(.0))]
    Unsent(RedisError),
    /// No node has the slot, by the map of the cluster.
    #[error("no master of the cluster has slot {0}")]
    NoMaster(u16),
    /// A server of its own is named, and is none.
    #[error("the server is a node of a cluster of several masters")]
    IsClusterNode,
    /// The keys have changed again and again between reading and writing.
    #[error("its keys change all the time")]
    Contended,
    #[error("its runtime has ended")]
    Ended,
}

impl CallError {
    /// Returns whether the server proves that nothing was applied, and may answer
    /// in a moment. (A script writes last, so that a replica refuses it before
    /// anything was written.)
    pub(super) fn has_not_begun(&self) -> bool {
        use ServerErrorKind::{
            Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain,
        };
        let Self::Redis(error) = self else { return false };
        matches!(
            error.kind(),
            ErrorKind::Server(
                Moved | Ask | TryAgain | ClusterDown | MasterDown | BusyLoading | ReadOnly
            )
        )
    }

    /// Returns whether the server lacks the script.
    pub(super) fn is_no_script(&self) -> bool {
        let Self::Redis(error) = self else { return false };
        error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
    }

    /// Returns the node that the slot of the call is at, and whether it stays
    /// there (MOVED) or is only about to (ASK).
    pub(super) fn redirection(&self) -> Option<(Redirection, &str)> {
        let Self::Redis(error) = self else { return None };
        let (node, _) = error.redirect_node()?;
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Ask) => Some((Redirection::Ask, node)),
            _ => Some((Redirection::Moved, node)),
        }
    }
}

impl From<ParsingError> for CallError {
    fn from(error: ParsingError) -> Self {
        Self::Redis(error.into())
    }
}

/// The server's own words, or the system's.
fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

/// The redirection of a call by a node of a cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Redirection {
    Moved,
    Ask,
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        let is_unsent =
            matches!(error, CallError::Unsent(_) | CallError::NoMaster(_) | CallError::Contended);
        if is_unsent || error.has_not_begun() { Self::not_applied(error) } else { Self::new(error) }
    }
}
