//! Tests of your own: a limited handler under a clock that the test moves.

use limiter_rocket::{
    Limiter, RateLimitFairing, RateLimited,
    limiter_core::{Clock, ConfigError, LimiterBuilder, MemoryStore},
};
use rocket::{Build, Rocket, get, routes};

/// A handler.
#[get("/hello")]
pub fn hello(_limit: RateLimited) -> &'static str {
    "hello"
}

/// The limiter of a configuration, with a clock: tests give it a `ManualClock`.
///
/// # Errors
/// If the configuration is wrong.
pub async fn limiter(toml: &str, clock: impl Clock) -> Result<Limiter, ConfigError> {
    let store = MemoryStore::builder().clock(clock).build();
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

    #[rocket::async_test]
    async fn the_third_request_of_a_minute_waits_thirty_seconds() {
        // A test client has no address of its own.
        let config = "fallback_address = \"192.0.2.1\"\n[policies.default]\nquota = \"2/minute\"\n";
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let limiter = limiter(config, clock.clone()).await.unwrap();
        let client = Client::untracked(rocket(limiter)).await.unwrap();
        let status = async || client.get("/hello").dispatch().await.status().code;
        assert_eq!([status().await, status().await, status().await], [200, 200, 429]);

        clock.advance(Duration::from_secs(30) - Duration::from_micros(1));
        assert_eq!(status().await, 429);
        clock.advance(Duration::from_micros(1));
        assert_eq!(status().await, 200);
    }
}
