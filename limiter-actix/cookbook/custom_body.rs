//! A body of your own: what it says follows from the kind of refusal and its
//! numbers. Fields that it leaves out (`Retry-After`, `RateLimit`) are added.

use actix_web::{HttpResponse, dev::ServiceRequest, http::StatusCode};
use limiter_actix::{Refusal, RefusalKind};
use serde_json::json;

/// The response, for `RateLimit::on_refusal`.
#[must_use]
pub fn refused(_: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
    // The refusal's own status: not everything that is refused is over a limit.
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let error = match refusal.kind() {
        RefusalKind::Limited => "rate_limited",
        RefusalKind::Banned | RefusalKind::Blocked => "banned",
        RefusalKind::StoreUnavailable | RefusalKind::Overloaded => "try_later",
        _ => "bad_request",
    };
    HttpResponse::build(status).json(json!({
        "error": error,
        "policy": refusal.policy(),
        "retry_after_ms": refusal.retry_after().map(|wait| wait.as_millis() as u64),
    }))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest, web};
    use limiter_actix::{
        Limiter, Policy, RateLimit,
        limiter_core::{ManualClock, MemoryStore, Timestamp},
    };

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn the_body_is_ours_and_the_fields_are_added() {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let limiter = Limiter::builder()
            .store(MemoryStore::builder().clock(clock).build())
            .policy(Policy::new("api", "1/minute").unwrap());
        let limiter = limiter.build().await.unwrap();
        let limit = RateLimit::new(limiter.policy("api").unwrap()).on_refusal(refused);
        let app = App::new().wrap(limit).route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        send(&app, TestRequest::get()).await;
        let answer = send(&app, TestRequest::get()).await;
        assert_eq!(answer.status, 429);
        let body = r#"{"error":"rate_limited","policy":"api","retry_after_ms":60000}"#;
        assert_eq!(answer.body, body);
        assert_eq!(answer.header("retry-after"), "60");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("ratelimit"), r#""api";r=0;t=60"#);
    }
}
