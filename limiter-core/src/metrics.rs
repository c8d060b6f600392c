//! Metrics by the facade `metrics`: the numbers of a [`Snapshot`] under names of their
//! own, for Prometheus and others.
//!
//! They are published once a second by a thread of the limiter's own, and on demand by
//! [`Limiter::publish_metrics`](crate::Limiter::publish_metrics). A request meets no
//! recorder, and since totals are published and the recorder is looked up each time, a
//! recorder that is installed later shows everything from the start.
//!
//! Labels hold names from the configuration, names of the store's servers and fixed
//! words: never a key, an address or a path. Totals are counters, others are gauges.

use std::{
    io,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::stats::{CallStats, PolicyStats, ServerStats, Snapshot};

/// How often metrics are published.
const INTERVAL: Duration = Duration::from_secs(1);

const COUNTERS: [(&str, &str); 18] = [
    ("limiter.requests", "Requests by policy and outcome."),
    ("limiter.near_limit", "Admitted requests that left at most a fifth of a quota."),
    ("limiter.refunds", "Requests that were given back because of their outcome."),
    ("limiter.strikes", "Strikes by policy and mode."),
    ("limiter.bans", "New bans by policy and cause; in shadow mode would-be bans."),
    ("limiter.uncounted", "Requests that no policy has counted, by reason."),
    ("limiter.deny_cache.hits", "Refusals that were answered without the store."),
    ("limiter.lease.admissions", "Requests that were admitted from a slice, without the store."),
    ("limiter.fallback.decisions", "Checks that were decided without the store."),
    ("limiter.lost", "Strikes and settlements that were lost because the store failed."),
    ("limiter.store.errors", "Checks and strikes without an answer of the store, by kind."),
    ("limiter.store.calls", "Calls to a server of the store, by result."),
    ("limiter.store.retries", "Calls that were sent again over another connection."),
    ("limiter.store.batched_requests", "Requests that these calls have decided."),
    ("limiter.store.latency_seconds_bucket", "Calls that took at most so many seconds."),
    ("limiter.store.latency_seconds_count", "Calls whose time was measured."),
    ("limiter.reloads", "Configurations that were read again, by result."),
    ("limiter.unnoted_refusals", "Refusals that are missing among the refused keys."),
];

const GAUGES: [(&str, &str); 6] = [
    ("limiter.limit", "Units per window, as they are configured."),
    ("limiter.store.up", "1 if a server of the store answers."),
    ("limiter.store.latency_seconds_sum", "The time of all calls."),
    ("limiter.reload.pending", "1 if the configuration that was read last was refused."),
    ("limiter.entries", "Entries that are kept in the memory of this process."),
    ("limiter.entries.capacity", "Entries that may be kept."),
];

/// Publishes all numbers of a snapshot.
pub(crate) fn publish(snapshot: &Snapshot) {
    for (name, description) in COUNTERS {
        describe_counter!(name, description);
    }
    for (name, description) in GAUGES {
        describe_gauge!(name, description);
    }
    for (name, policy) in &snapshot.policies {
        publish_policy(name, policy);
    }
    let uncounted = &snapshot.uncounted;
    for (reason, count) in [
        ("blocked", uncounted.blocked),
        ("allow_listed", uncounted.allow_listed),
        ("exempt", uncounted.exempt),
        ("unidentified", uncounted.unidentified),
    ] {
        counter!("limiter.uncounted", "reason" => reason).absolute(count);
    }
    counter!("limiter.deny_cache.hits").absolute(snapshot.deny_cache_hits);
    counter!("limiter.lease.admissions").absolute(snapshot.leased_admissions);
    counter!("limiter.fallback.decisions").absolute(snapshot.fallback_decisions);
    for (what, count) in
        [("strikes", snapshot.lost_strikes), ("settlements", snapshot.lost_settlements)]
    {
        counter!("limiter.lost", "what" => what).absolute(count);
    }
    for (result, count) in
        [("applied", snapshot.reloads.applied), ("refused", snapshot.reloads.refused)]
    {
        counter!("limiter.reloads", "result" => result).absolute(count);
    }
    let is_pending = snapshot.reloads.refused_since.is_some();
    gauge!("limiter.reload.pending").set(if is_pending { 1.0 } else { 0.0 });
    publish_store(snapshot);
}

fn publish_policy(name: &str, policy: &PolicyStats) {
    let counted = |metric: &'static str, label: &'static str, values: &[(&'static str, u64)]| {
        for (value, count) in values {
            counter!(metric, "policy" => name.to_owned(), label => *value).absolute(*count);
        }
    };
    let outcomes = [
        ("allowed", policy.allowed),
        ("limited", policy.limited),
        ("banned", policy.banned),
        ("shadow_limited", policy.shadow_limited),
        ("shadow_banned", policy.shadow_banned),
        ("unavailable", policy.unavailable),
        ("uncounted", policy.uncounted),
    ];
    counted("limiter.requests", "outcome", &outcomes);
    let strikes = [("enforce", policy.strikes), ("shadow", policy.shadow_strikes)];
    counted("limiter.strikes", "mode", &strikes);
    let bans = [
        ("refusals", policy.bans.refusals),
        ("responses", policy.bans.responses),
        ("operator", policy.bans.operator),
        ("shadow", policy.shadow_bans),
    ];
    counted("limiter.bans", "cause", &bans);
    counter!("limiter.near_limit", "policy" => name.to_owned()).absolute(policy.near_limit);
    counter!("limiter.refunds", "policy" => name.to_owned()).absolute(policy.refunded);
    counter!("limiter.unnoted_refusals", "policy" => name.to_owned())
        .absolute(policy.unnoted_refusals);
    for quota in &policy.quotas {
        let labels = [("policy", name.to_owned()), ("quota", quota.quota.clone())];
        gauge!("limiter.limit", &labels).set(quota.limit as f64);
    }
}

fn publish_store(snapshot: &Snapshot) {
    let errors = &snapshot.store.errors;
    for (kind, count) in [
        ("failed", errors.failed),
        ("not_applied", errors.not_applied),
        ("unavailable", errors.unavailable),
        ("overloaded", errors.overloaded),
    ] {
        counter!("limiter.store.errors", "kind" => kind).absolute(count);
    }
    for ServerStats { server, is_healthy, calls, .. } in &snapshot.store.servers {
        let up = if *is_healthy { 1.0 } else { 0.0 };
        gauge!("limiter.store.up", "server" => server.clone()).set(up);
        publish_calls(server, calls);
    }
    for entries in &snapshot.store.entries {
        gauge!("limiter.entries", "kind" => entries.kind).set(entries.count as f64);
        gauge!("limiter.entries.capacity", "kind" => entries.kind).set(entries.capacity as f64);
    }
}

/// The histogram is published as the counters that Prometheus makes of one: the facade's
/// own takes single values only, which a recorder that is installed later would miss.
fn publish_calls(server: &str, calls: &CallStats) {
    let succeeded = calls.calls.saturating_sub(calls.failed);
    for (result, count) in [("answered", succeeded), ("failed", calls.failed)] {
        counter!("limiter.store.calls", "server" => server.to_owned(), "result" => result)
            .absolute(count);
    }
    counter!("limiter.store.retries", "server" => server.to_owned()).absolute(calls.retries);
    counter!("limiter.store.batched_requests", "server" => server.to_owned())
        .absolute(calls.batch_sizes.sum);
    let latency = &calls.latency_micros;
    let buckets =
        latency.buckets.iter().map(|bucket| (seconds(bucket.up_to).to_string(), bucket.count));
    for (bound, count) in buckets.chain([("+Inf".to_owned(), latency.count)]) {
        let labels = [("server", server.to_owned()), ("le", bound)];
        counter!("limiter.store.latency_seconds_bucket", &labels).absolute(count);
    }
    counter!("limiter.store.latency_seconds_count", "server" => server.to_owned())
        .absolute(latency.count);
    gauge!("limiter.store.latency_seconds_sum", "server" => server.to_owned())
        .set(seconds(latency.sum));
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// The thread that publishes. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Publisher {
    _end: Sender<()>,
}

impl Publisher {
    /// Calls `snapshot` once a second and publishes what it returns, until it returns
    /// nothing or this is dropped.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn start(
        snapshot: impl Fn() -> Option<Snapshot> + Send + 'static,
    ) -> io::Result<Self> {
        let (end, ended) = channel();
        thread::Builder::new().name("limiter-metrics".to_owned()).spawn(move || {
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                match snapshot() {
                    Some(snapshot) => publish(&snapshot),
                    None => return,
                }
            }
        })?;
        Ok(Self { _end: end })
    }
}
