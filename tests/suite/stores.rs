//! The conformance suite, run by every store.

use std::{sync::Arc, time::Duration};

use limiter_core::{
    ManualClock, MemoryStore, RedisStore, Timestamp,
    conformance::{Model, Trial},
};

use crate::servers::redis_url;

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000))
}

async fn memory() -> Trial {
    let clock = clock();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Trial::new(Arc::new(store), clock)
}

/// The reference itself: a case that the pure functions do not pass is wrong.
async fn model() -> Trial {
    let clock = clock();
    Trial::new(Arc::new(Model::new(clock.clone())), clock)
}

pub(crate) async fn redis_store(clock: ManualClock, prefix: &str) -> RedisStore {
    RedisStore::builder(redis_url())
        .prefix(prefix)
        .key_secret("for tests")
        .deadline(Duration::from_secs(5))
        .clock(clock)
        .connect()
        .await
        .expect("the server was started")
}

async fn redis() -> Trial {
    let clock = clock();
    Trial::new(Arc::new(redis_store(clock.clone(), "conformance").await), clock)
}

limiter_core::conformance_tests!(memory, memory());
limiter_core::conformance_tests!(model, model());
limiter_core::conformance_tests!(redis, redis());
