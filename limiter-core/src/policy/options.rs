//! Options of a policy: [`Mode`], [`OnStoreError`], and leases.

use super::Policy;
use crate::name::words;

impl Policy {
    /// Sets if this process takes slices of the budget of keys that it checks more than about
    /// 100 times a second, and admits requests from them without a call to the store: see
    /// [the guide](crate::guide::leased_quota). Defaults to false.
    ///
    /// It has no effect where the store is this process's memory, in shadow mode, and
    /// in a check together with a policy that has no lease.
    #[must_use]
    pub fn with_lease(self, lease: bool) -> Self {
        self.with(|rule| rule.lease = lease)
    }

    /// Returns true if keys that are checked often may be leased.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.0.lease
    }
}

/// The treatment of a request that is over its quota.
///
/// The order is that of leniency: [`Off`](Self::Off) is the most lenient.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Mode {
    /// Requests over the quota are refused.
    #[default]
    Enforce,
    /// Requests over the quota pass. The decision holds what would have been
    /// refused, and a log line at level `info` reports it. No header is sent.
    /// Counters, strikes and bans are kept apart from those of
    /// [`Enforce`](Self::Enforce): a policy that is enforced later bans nobody
    /// for what happened in the shadow.
    Shadow,
    /// Nothing is counted and nothing is refused; the store is not called.
    Off,
}

/// The treatment of requests while the store cannot answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnStoreError {
    /// Counts in the memory of this process until the store is back, and then
    /// charges the store with what was admitted, at most once. Meanwhile n
    /// servers admit up to n times the limit, unless they
    /// [divide](crate::LimiterBuilder::local_share) it.
    #[default]
    Local,
    /// Admits everything, without `RateLimit` fields.
    Allow,
    /// Refuses everything with 503.
    Deny,
}

impl Mode {
    /// The mode as configuration writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

words!(Mode: "enforce" => Self::Enforce, "shadow" => Self::Shadow, "off" => Self::Off);
words!(OnStoreError: "local" => Self::Local, "allow" => Self::Allow, "deny" => Self::Deny);
