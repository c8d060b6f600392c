//! Tests of your own: a limited handler under a clock that the test moves, a store that is
//! emptied between tests, and limits that are off where a test is about something else.
//!
//! A test suite that is not about limits at all runs with `LIMITER_MODE=off`: then nothing
//! is counted, and no store is needed.

use actix_web::{HttpResponse, web};
use limiter_actix::{
    Limiter, Policy, RateLimit,
    limiter_core::{ConfigError, MemoryStore, Mode, UnknownPolicy},
};

/// The application's limiter. Tests give it a store with a `ManualClock`, which
/// [`MemoryStore::clear`] empties.
///
/// # Errors
/// None with these numbers.
pub async fn limiter(store: MemoryStore, mode: Mode) -> Result<Limiter, ConfigError> {
    let policy = Policy::new("api", "2/minute")?;
    Limiter::builder().store(store).policy(policy).mode(mode).build().await
}

/// The application's routes, as `App::configure` takes them.
///
/// # Errors
/// If the limiter has no policy `api`.
pub fn routes(
    limiter: &Limiter,
) -> Result<impl FnOnce(&mut web::ServiceConfig) + Clone, UnknownPolicy> {
    let api = RateLimit::new(limiter.policy("api")?);
    Ok(move |config: &mut web::ServiceConfig| {
        let hello = || async { HttpResponse::Ok().body("hello") };
        config.service(web::resource("/hello").wrap(api).route(web::get().to(hello)));
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::{App, test, test::TestRequest};
    use limiter_actix::limiter_core::{ManualClock, Timestamp};

    use super::*;

    fn store(clock: &ManualClock) -> MemoryStore {
        MemoryStore::builder().clock(clock.clone()).build()
    }

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000))
    }

    /// A test client has no address of its own.
    fn hello() -> TestRequest {
        let peer = "192.0.2.1:5000".parse().unwrap();
        TestRequest::get().uri("/hello").peer_addr(peer)
    }

    #[actix_web::test]
    async fn the_third_request_of_a_minute_waits_thirty_seconds() {
        let clock = clock();
        let limiter = limiter(store(&clock), Mode::Enforce).await.unwrap();
        let app = test::init_service(App::new().configure(routes(&limiter).unwrap())).await;
        assert_eq!(test::call_service(&app, hello().to_request()).await.status(), 200);
        assert_eq!(test::call_service(&app, hello().to_request()).await.status(), 200);
        let refused = test::call_service(&app, hello().to_request()).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers().get("retry-after").unwrap(), "30");

        clock.advance(Duration::from_secs(30) - Duration::from_micros(1));
        assert_eq!(test::call_service(&app, hello().to_request()).await.status(), 429);
        clock.advance(Duration::from_micros(1));
        assert_eq!(test::call_service(&app, hello().to_request()).await.status(), 200);
    }

    #[actix_web::test]
    async fn a_store_that_is_cleared_counts_anew() {
        let store = store(&clock());
        let limiter = limiter(store.clone(), Mode::Enforce).await.unwrap();
        let app = test::init_service(App::new().configure(routes(&limiter).unwrap())).await;
        for expected in [200, 200, 429] {
            assert_eq!(test::call_service(&app, hello().to_request()).await.status(), expected);
        }
        store.clear();
        assert_eq!(test::call_service(&app, hello().to_request()).await.status(), 200);
    }

    #[actix_web::test]
    async fn limits_that_are_off_let_every_request_pass() {
        let limiter = limiter(store(&clock()), Mode::Off).await.unwrap();
        let app = test::init_service(App::new().configure(routes(&limiter).unwrap())).await;
        for _ in 0..10 {
            assert_eq!(test::call_service(&app, hello().to_request()).await.status(), 200);
        }
    }
}
