//! Several policies on one route, decided together: a refusal by one charges none.

use limiter_actix::{Limiter, RateLimit, UnknownPolicy};

/// The configuration: bursts by address, a day's worth by user, and all clients
/// together by endpoint.
pub const CONFIG: &str = r#"
[policies.burst]
quota = "3/second"

[policies.daily]
quota = "4/day"
key = "user"

[policies.everybody]
quota = "1000/minute"
key = "endpoint"
"#;

/// The middleware.
///
/// # Errors
/// If a policy is not configured.
pub fn together(limiter: &Limiter) -> Result<RateLimit, UnknownPolicy> {
    Ok(RateLimit::new(limiter.policies(["burst", "daily", "everybody"])?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::{App, HttpResponse, test, test::TestRequest, web};
    use limiter_actix::{
        Config,
        limiter_core::{LimiterBuilder, ManualClock, MemoryStore, Timestamp},
    };

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn a_refusal_by_one_charges_none() {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let config = Config::from_toml(CONFIG).unwrap();
        let limiter = LimiterBuilder::from_config(config).store(store).build().await.unwrap();
        let app = App::new()
            .wrap(together(&limiter).unwrap())
            .route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(send(&app, TestRequest::get()).await.status);
        }
        assert_eq!(statuses, [200, 200, 200, 429, 429]);
        // The two that the burst refused left the day's count alone.
        clock.advance(Duration::from_secs(1));
        let last = send(&app, TestRequest::get()).await;
        assert_eq!(last.status, 200);
        assert!(
            last.header("ratelimit").contains(r#""daily";r=0"#),
            "{}",
            last.header("ratelimit")
        );
        assert_eq!(send(&app, TestRequest::get()).await.status, 429);
    }
}
