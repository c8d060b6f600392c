//! The operations of a store request.

use crate::{ban::BanChange, time::Timestamp};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store) enum Operation {
    Decide(u64),
    /// Decides without strikes for a refusal: other servers decide
    /// too.
    #[cfg(feature = "redis")]
    Charge(u64),
    /// Charges the outage usage of the items, see `StoreRequest::outage_usage`.
    Reconcile,
    /// Settles what a request came to, see `StoreRequest::settlements`.
    Settle,
    ChangeBan(BanChange),
    Reset,
    /// Reads all that is kept of the items, and writes nothing.
    Look,
}

/// State outlives its use by a minute, so that a clock that steps back finds
/// it; with a clock of the caller's own, by a day.
const TTL_GRACE: u64 = 60_000_000;
const TTL_GRACE_OWN_CLOCK: u64 = 86_400_000_000;

/// How long state is kept beyond its use, in microseconds.
pub(in crate::store) const fn ttl_grace(own_clock: Option<Timestamp>) -> u64 {
    match own_clock {
        None => TTL_GRACE,
        Some(_) => TTL_GRACE_OWN_CLOCK,
    }
}
