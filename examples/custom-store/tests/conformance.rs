//! The suite that every store passes.

use std::sync::Arc;

use custom_store::MapStore;
use limiter_core::{ManualClock, Timestamp, conformance::Harness};

#[allow(clippy::unused_async, reason = "the suite awaits the store")]
async fn maps() -> Harness {
    let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
    Harness::new(Arc::new(MapStore::new(clock.clone())), clock)
}

limiter_core::conformance_tests!(conformance, maps());
