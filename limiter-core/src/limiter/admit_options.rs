//! [`AdmitOptions`].

use super::Permit;
use crate::{key::Key, response::Refusal};

/// How a request is admitted, where that is not by the policies alone.
#[derive(Clone, Debug, Default)]
pub struct AdmitOptions {
    pub(super) key: Option<Key>,
    pub(super) cost: Option<u64>,
    pub(super) previous: Option<Permit>,
    pub(super) refusal: Option<Refusal>,
}

impl AdmitOptions {
    /// Counts by this key instead of the policies' own. Defaults to theirs.
    #[must_use]
    pub fn with_key(self, key: Option<Key>) -> Self {
        Self { key, ..self }
    }

    /// The units that the request takes of each quota; 0 looks without writing.
    /// A CORS preflight takes 1. Defaults to 1.
    #[must_use]
    pub const fn with_cost(mut self, cost: u64) -> Self {
        self.cost = Some(cost);
        self
    }

    /// The last permit that the request got from a limit before this one, as
    /// with nested scopes, several guards, a forward. A policy that has counted
    /// the request for the same key is charged the difference to the highest
    /// cost alone. Defaults to none.
    #[must_use]
    pub fn after(self, previous: Option<Permit>) -> Self {
        Self { previous, ..self }
    }

    /// The refusal that the request got before, such as from a guard that a
    /// catcher asks again. A policy in it that is met again for the same key
    /// refuses without a second strike. Defaults to none.
    #[must_use]
    pub fn after_refusal(self, refusal: Option<Refusal>) -> Self {
        Self { refusal, ..self }
    }
}
