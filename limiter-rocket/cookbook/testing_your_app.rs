//! Tests of your own: a limited handler under a clock that the test moves, a store that is
//! emptied between tests, and limits that are off where a test is about something else.
//!
//! A test suite that is not about limits at all runs with `ROCKET_LIMITER__MODE=off`: then
//! nothing is counted, and no store is needed.

use limiter_rocket::{
    Limiter, RateLimitFairing, RateLimited,
    limiter_core::{ConfigError, LimiterBuilder, MemoryStore},
};
use rocket::{Build, Rocket, get, routes};

/// A handler.
#[get("/hello")]
pub fn hello(_limit: RateLimited) -> &'static str {
    "hello"
}

/// The limiter of a configuration, with a store: tests give it one with a `ManualClock`,
/// which [`MemoryStore::clear`] empties.
///
/// # Errors
/// If the configuration is wrong.
pub async fn limiter(toml: &str, store: MemoryStore) -> Result<Limiter, ConfigError> {
    let config = limiter_rocket::Config::from_toml(toml)?;
    LimiterBuilder::from_config(config).store(store).build().await
}

/// The application, with the limiter that it is given.
#[must_use]
pub fn rocket(limiter: Limiter) -> Rocket<Build> {
    rocket::build().attach(RateLimitFairing::new(limiter)).mount("/", routes![hello])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use limiter_rocket::limiter_core::{ManualClock, Timestamp};
    use rocket::local::asynchronous::Client;

    use super::*;

    /// A test client has no address of its own.
    const CONFIG: &str =
        "fallback_address = \"192.0.2.1\"\n[policies.default]\nquota = \"2/minute\"\n";

    /// A client, the clock of its application, and the store.
    async fn application(config: &str) -> (Client, ManualClock, MemoryStore) {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let limiter = limiter(config, store.clone()).await.unwrap();
        (Client::untracked(rocket(limiter)).await.unwrap(), clock, store)
    }

    #[rocket::async_test]
    async fn the_third_request_of_a_minute_waits_thirty_seconds() {
        let (client, clock, _) = application(CONFIG).await;
        let status = async || client.get("/hello").dispatch().await.status().code;
        assert_eq!([status().await, status().await, status().await], [200, 200, 429]);

        clock.advance(Duration::from_secs(30) - Duration::from_micros(1));
        assert_eq!(status().await, 429);
        clock.advance(Duration::from_micros(1));
        assert_eq!(status().await, 200);
    }

    #[rocket::async_test]
    async fn a_store_that_is_cleared_counts_anew() {
        let (client, _, store) = application(CONFIG).await;
        let status = async || client.get("/hello").dispatch().await.status().code;
        assert_eq!([status().await, status().await, status().await], [200, 200, 429]);
        store.clear();
        assert_eq!(status().await, 200);
    }

    #[rocket::async_test]
    async fn limits_that_are_off_let_every_request_pass() {
        let (client, ..) = application(&format!("mode = \"off\"\n{CONFIG}")).await;
        for _ in 0..10 {
            assert_eq!(client.get("/hello").dispatch().await.status().code, 200);
        }
    }
}
