//! The conformance suite, run by every store.

use std::sync::Arc;

use limiter_core::{
    ManualClock, MemoryStore, Timestamp,
    conformance::{Model, Trial},
};

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

limiter_core::conformance_tests!(memory, memory());
limiter_core::conformance_tests!(model, model());
