//! The numbers that a limiter has counted: a [`Snapshot`], from
//! [`Limiter::stats`](crate::Limiter::stats).
//!
//! A decision costs one addition in a slot of the thread's own. All names in a snapshot
//! are those of the configuration and of the store's servers, so that no client adds to
//! it. It serialises with `serde`.
//!
//! ```
//! use limiter_core::{Key, Limiter, Policy};
//!
//! # futures_executor::block_on(async {
//! let policy = Policy::new("api", "5/minute")?;
//! let limiter = Limiter::builder().policy(policy).build().await?;
//! let api = limiter.policy("api")?;
//! let client = api.subjects_of(&Key::ip("192.0.2.1".parse()?));
//! for _ in 0..8 {
//!     api.check(&client, 1).await?;
//! }
//!
//! let stats = &limiter.stats().policies["api"];
//! assert_eq!((stats.allowed, stats.near_limit, stats.limited), (5, 2, 3));
//!
//! let refused = limiter.top_refused("api", 10)?;
//! assert_eq!((refused[0].key.to_string().as_str(), refused[0].count), ("ip=192.0.2.1", 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

pub(crate) mod counters;
mod histogram;
mod refused_keys;
mod reloads;
mod sharded;
pub(crate) mod store_calls;

use std::{collections::BTreeMap, time::SystemTime};

use serde::Serialize;

use self::counters::{LimiterCounter, LimiterCounters, PolicyCounter, PolicyCounters};
pub use self::{
    histogram::{Histogram, HistogramBucket},
    refused_keys::RefusedKey,
    reloads::ReloadStats,
    store_calls::CallStats,
};
use crate::policy::Policy;

/// The numbers that a limiter has counted since it was built.
///
/// Each number is exact, but for what other threads are just counting: two numbers
/// may be of instants that differ by a moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The policies, by their names. `<policy>.address` is the count of addresses beside
    /// a policy whose key has a header; preflights are counted with their policy.
    pub policies: BTreeMap<String, PolicyStats>,
    /// Requests that no policy has counted.
    pub uncounted: UncountedStats,
    /// Refusals that were answered without a call to the store.
    pub deny_cache_hits: u64,
    /// Requests that were admitted from a slice of [leased quota](crate::guide::leased_quota),
    /// without a call to the store.
    pub leased_admissions: u64,
    /// Checks that were decided without the store, while it failed.
    pub fallback_decisions: u64,
    /// Strikes of responses that were lost because the store failed.
    pub lost_strikes: u64,
    /// Settlements that were lost because the store failed: the charge stands, or what was
    /// to be charged is not.
    pub lost_settlements: u64,
    /// The store.
    pub store: StoreStats,
    /// Reloads of the configuration.
    pub reloads: ReloadStats,
}

/// The outcomes of the requests that one policy has decided.
///
/// A request counts once for each policy that admits it or refuses it. One that another
/// policy of the same check refuses does not count, nor does one of cost 0 that passes.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PolicyStats {
    /// The treatment of a request over its quota: `enforce`, `shadow` or `off`.
    pub mode: &'static str,
    /// Its quotas, as they are configured.
    pub quotas: Vec<QuotaStats>,
    /// Requests that it has admitted; in shadow mode, would have admitted.
    pub allowed: u64,
    /// Requests of these that left at most a fifth of one of its quotas.
    pub near_limit: u64,
    /// Requests that a quota has refused.
    pub limited: u64,
    /// Requests that a ban has refused, with those that brought the ban.
    pub banned: u64,
    /// Requests that a quota would have refused in shadow mode.
    pub shadow_limited: u64,
    /// Requests that a ban would have refused in shadow mode.
    pub shadow_banned: u64,
    /// Requests that were refused with 503, because the store failed or too many
    /// requests waited for it.
    pub unavailable: u64,
    /// Requests that were admitted without being counted, because the store failed.
    pub uncounted: u64,
    /// Settlements that gave units of a request back: because of its outcome, or by
    /// [`Permit::charge_to`](crate::Permit::charge_to).
    pub refunded: u64,
    /// Strikes, of refusals and responses.
    pub strikes: u64,
    /// Strikes in shadow mode.
    pub shadow_strikes: u64,
    /// New bans, by what has brought them.
    pub bans: BanStats,
    /// Bans that there would have been in shadow mode.
    pub shadow_bans: u64,
    /// Refusals that are missing in [`top_refused`](crate::Limiter::top_refused), since
    /// another thread was noting one.
    pub unnoted_refusals: u64,
}

/// New bans, by what has brought them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct BanStats {
    /// Requests over a quota.
    pub refusals: u64,
    /// Responses whose status the rule names.
    pub responses: u64,
    /// Operators.
    pub operator: u64,
}

/// A quota as it is configured.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct QuotaStats {
    /// The quota, such as `10/1m`.
    pub quota: String,
    /// Units per window.
    pub limit: u64,
}

/// Requests that no policy has counted. One that meets several limits, such as an
/// application's and a scope's, counts once for each.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct UncountedStats {
    /// Refused, since their address is in `block`.
    pub blocked: u64,
    /// Passed, since their address is in `allow`.
    pub allow_listed: u64,
    /// Passed, since their endpoint is exempt.
    pub exempt: u64,
    /// Refused, since the client's address could not be found.
    pub unidentified: u64,
}

/// The store and its servers.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct StoreStats {
    /// Checks and strikes to which the store gave no answer.
    pub errors: StoreErrorStats,
    /// Its servers; empty for a store in memory.
    pub servers: Vec<ServerStats>,
    /// Entries in the memory of this process, with their caps.
    pub entries: Vec<EntryStats>,
}

/// Checks and strikes to which the store gave no answer, by the reason. See
/// [`StoreErrorKind`](crate::StoreErrorKind).
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct StoreErrorStats {
    /// It failed or did not answer in time.
    pub failed: u64,
    /// It could not be reached, or has refused.
    pub not_applied: u64,
    /// It was not called: its circuit breaker is open.
    pub unavailable: u64,
    /// Too many requests waited for it.
    pub overloaded: u64,
}

/// One server of the store.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServerStats {
    /// The server: host and port, never a password.
    pub server: String,
    /// True if it answers.
    pub is_healthy: bool,
    /// When it ceased to answer, if it does not.
    pub unhealthy_since: Option<SystemTime>,
    /// The calls to it.
    #[serde(flatten)]
    pub calls: CallStats,
}

/// A bounded collection.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct EntryStats {
    /// The kind of its entries: `keys` (counters and strikes, an estimate), `bans`,
    /// `known_refusals` and `known_bans` (the deny cache).
    pub kind: &'static str,
    /// How many entries it holds.
    pub count: u64,
    /// How many it may hold.
    pub capacity: u64,
}

impl Snapshot {
    /// Reads the counters of those policies.
    pub(crate) fn new<'a>(
        counters: &LimiterCounters,
        policies: impl Iterator<Item = &'a Policy>,
        store: StoreStats,
        reloads: ReloadStats,
    ) -> Self {
        let named = policies.map(|policy| {
            let name = policy.reported_name();
            (name.to_owned(), PolicyStats::new(policy, &counters.of_policy(name)))
        });
        let sum = |counter| counters.sum(counter);
        Self {
            policies: named.collect(),
            uncounted: UncountedStats {
                blocked: sum(LimiterCounter::Blocked),
                allow_listed: sum(LimiterCounter::AllowListed),
                exempt: sum(LimiterCounter::ExemptEndpoint),
                unidentified: sum(LimiterCounter::Unidentified),
            },
            deny_cache_hits: sum(LimiterCounter::DenyCacheHits),
            leased_admissions: sum(LimiterCounter::LeasedAdmissions),
            fallback_decisions: sum(LimiterCounter::FallbackDecisions),
            lost_strikes: sum(LimiterCounter::LostStrikes),
            lost_settlements: sum(LimiterCounter::LostSettlements),
            store: StoreStats {
                errors: StoreErrorStats {
                    failed: sum(LimiterCounter::StoreFailed),
                    not_applied: sum(LimiterCounter::StoreNotApplied),
                    unavailable: sum(LimiterCounter::StoreUnavailable),
                    overloaded: sum(LimiterCounter::StoreOverloaded),
                },
                ..store
            },
            reloads,
        }
    }
}

impl PolicyStats {
    fn new(policy: &Policy, counters: &PolicyCounters) -> Self {
        let sum = |counter| counters.sum(counter);
        let near_limit = sum(PolicyCounter::AllowedNearLimit);
        let quotas = policy.quotas().iter();
        Self {
            mode: policy.mode().as_str(),
            quotas: quotas
                .map(|quota| QuotaStats { quota: quota.to_string(), limit: quota.limit() })
                .collect(),
            allowed: sum(PolicyCounter::Allowed) + near_limit,
            near_limit,
            limited: sum(PolicyCounter::Limited),
            banned: sum(PolicyCounter::Banned),
            shadow_limited: sum(PolicyCounter::ShadowLimited),
            shadow_banned: sum(PolicyCounter::ShadowBanned),
            unavailable: sum(PolicyCounter::Unavailable),
            uncounted: sum(PolicyCounter::Uncounted),
            refunded: sum(PolicyCounter::Refunded),
            strikes: sum(PolicyCounter::Strikes),
            shadow_strikes: sum(PolicyCounter::ShadowStrikes),
            bans: BanStats {
                refusals: sum(PolicyCounter::BansByRefusal),
                responses: sum(PolicyCounter::BansByResponse),
                operator: sum(PolicyCounter::BansByHand),
            },
            shadow_bans: sum(PolicyCounter::ShadowBans),
            unnoted_refusals: sum(PolicyCounter::UnnotedRefusals),
        }
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests;
