//! The conformance suite, run by every store.

use std::sync::Arc;

use limiter_core::{
    ManualClock, MemoryStore, Timestamp,
    conformance::{Harness, ReferenceStore},
};

use crate::databases::{
    bouncer_url, clocked_store, cluster_url, mysql_url, postgres_url, redis_url, sentinel_url,
    sqlite_url,
};

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000))
}

async fn memory() -> Harness {
    let clock = clock();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Harness::new(Arc::new(store), clock)
}

/// The reference itself: a case that the pure functions do not pass is wrong.
async fn model() -> Harness {
    let clock = clock();
    Harness::new(Arc::new(ReferenceStore::new(clock.clone())), clock)
}

async fn shared(url: &str) -> Harness {
    let clock = clock();
    Harness::new(Arc::new(clocked_store(url, "conformance", clock.clone()).await), clock)
}

limiter_core::conformance_tests!(memory, memory());
limiter_core::conformance_tests!(model, model());
limiter_core::conformance_tests!(redis, shared(redis_url()));
limiter_core::conformance_tests!(redis_sentinel, shared(sentinel_url()));
limiter_core::conformance_tests!(redis_cluster, shared(cluster_url()));
limiter_core::conformance_tests!(postgres, shared(postgres_url()));
limiter_core::conformance_tests!(postgres_behind_a_pooler, shared(bouncer_url()));
limiter_core::conformance_tests!(mariadb, shared(mysql_url()));
limiter_core::conformance_tests!(sqlite, shared(sqlite_url()));
