//! Why something was not done.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::StoreError;

/// Why something was not done, or may not have been.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("too many requests wait for it")]
    Full,
    #[error("its runtime has ended")]
    Ended,
}

impl CallError {
    /// Whether the server proves that nothing was applied, and may say otherwise
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

    /// Whether the server cannot have heard of it.
    fn is_unsent(&self) -> bool {
        match self {
            Self::Redis(error) => {
                error.is_connection_refusal()
                    || error.kind() == ErrorKind::ClusterConnectionNotFound
            }
            Self::Full => true,
            Self::Ended => false,
        }
    }
}

impl From<CallError> for StoreError {
    fn from(fault: CallError) -> Self {
        if fault.has_not_begun() || fault.is_unsent() {
            Self::not_applied(fault)
        } else {
            Self::new(fault)
        }
    }
}
