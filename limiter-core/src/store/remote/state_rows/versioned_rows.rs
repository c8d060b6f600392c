//! Rows as they are read from a database and written to it, each with its version.

use crate::{ban::Ban, policy::Policy, store::remote::counter_states::CounterStates};

/// The rows that were read, in the order of the names. `V` is the form in which the
/// database returns values and versions: text, or the bytes of Redis.
pub(in crate::store) struct LoadedRows<V = String> {
    /// The instant by the server's clock, in microseconds.
    pub(in crate::store) now: Option<u64>,
    pub(in crate::store) counters: Vec<Option<LoadedRow<V>>>,
    pub(in crate::store) bans: Vec<Option<LoadedRow<V>>>,
}

/// A row that is there.
pub(in crate::store) struct LoadedRow<V = String> {
    /// The version of the row, where the database compares versions; else empty.
    pub(in crate::store) version: V,
    /// The state, in the encoding of the database.
    pub(in crate::store) value: V,
}

/// The names of the rows to read.
pub(in crate::store) struct Names<'a> {
    pub(in crate::store) counters: Vec<&'a str>,
    pub(in crate::store) bans: Vec<&'a str>,
}

/// A counter or strikes to write.
pub(in crate::store) struct CounterRow<'a, V = String> {
    pub(in crate::store) name: &'a str,
    /// The version that was read; `None` where the row is new.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redis")),
        allow(dead_code, reason = "only PostgreSQL and Redis compare it")
    )]
    pub(in crate::store) version: Option<&'a V>,
    /// `None` where the row is to be removed.
    pub(in crate::store) states: Option<&'a CounterStates>,
    /// `None` where it is strikes.
    #[cfg_attr(
        not(feature = "_sql"),
        allow(dead_code, reason = "only the columns of SQL databases need the quota")
    )]
    pub(in crate::store) policy: Option<&'a Policy>,
    pub(in crate::store) expires_at: u64,
}

/// A ban to write.
pub(in crate::store) struct BanRow<'a, V = String> {
    pub(in crate::store) name: &'a str,
    /// The version that was read; `None` where the row is new.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redis")),
        allow(dead_code, reason = "only PostgreSQL and Redis compare it")
    )]
    pub(in crate::store) version: Option<&'a V>,
    /// `None` where the row is to be removed.
    pub(in crate::store) ban: Option<Ban>,
    pub(in crate::store) expires_at: u64,
}

/// The rows to write or to remove, in the order of their names, as every
/// transaction does.
pub(in crate::store) struct Changes<'a, V = String> {
    pub(in crate::store) counters: Vec<CounterRow<'a, V>>,
    pub(in crate::store) bans: Vec<BanRow<'a, V>>,
}

impl<V> Changes<'_, V> {
    pub(in crate::store) const fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.bans.is_empty()
    }
}
