//! Tests of your own: a limited handler under a clock that the test moves.

use actix_web::{HttpResponse, web};
use limiter_actix::{
    Limiter, Policy, RateLimit,
    limiter_core::{Clock, ConfigError, MemoryStore, UnknownPolicy},
};

/// The application's limiter. Tests give it a `ManualClock`, `main` a
/// `SystemClock`.
///
/// # Errors
/// None with these numbers.
pub async fn limiter(clock: impl Clock) -> Result<Limiter, ConfigError> {
    let store = MemoryStore::builder().clock(clock).build();
    let policy = Policy::new("api", "2/minute")?;
    Limiter::builder().store(store).policy(policy).build().await
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

    #[actix_web::test]
    async fn the_third_request_of_a_minute_waits_thirty_seconds() {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let limiter = limiter(clock.clone()).await.unwrap();
        let app = test::init_service(App::new().configure(routes(&limiter).unwrap())).await;
        // A test client has no address of its own.
        let peer = "192.0.2.1:5000".parse().unwrap();
        let hello = || TestRequest::get().uri("/hello").peer_addr(peer).to_request();
        assert_eq!(test::call_service(&app, hello()).await.status(), 200);
        assert_eq!(test::call_service(&app, hello()).await.status(), 200);
        let refused = test::call_service(&app, hello()).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers().get("retry-after").unwrap(), "30");

        clock.advance(Duration::from_secs(30) - Duration::from_micros(1));
        assert_eq!(test::call_service(&app, hello()).await.status(), 429);
        clock.advance(Duration::from_micros(1));
        assert_eq!(test::call_service(&app, hello()).await.status(), 200);
    }
}
