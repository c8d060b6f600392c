//! Failures cost nothing: what the server answers with 5xx is given back.

use actix_web::{HttpResponse, Responder};
use limiter_actix::{Policy, limiter_core::ConfigError};

/// Five exports an hour that succeed.
///
/// # Errors
/// None with these numbers.
pub fn policy() -> Result<Policy, ConfigError> {
    Policy::new("export", "5/hour")?.with_refund(["5xx"])
}

/// The handler, behind `RateLimit::new(limiter.policy("export")?)`, of a server whose disk
/// is full.
pub async fn export() -> impl Responder {
    HttpResponse::InsufficientStorage().body("the disk is full; try again later")
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest, web};
    use limiter_actix::{Limiter, RateLimit};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn what_fails_costs_nothing() {
        let limiter = Limiter::builder().policy(policy().unwrap()).build().await.unwrap();
        let limit = RateLimit::new(limiter.policy("export").unwrap());
        let app = App::new().wrap(limit);
        let app = app.route("/fails", web::get().to(export));
        let app = app.route("/works", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        for _ in 0..20 {
            let failed = send(&app, TestRequest::with_uri("/fails")).await;
            assert_eq!(failed.status, 507);
            assert!(failed.header("ratelimit").starts_with("\"export\";r=5;"));
        }
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(send(&app, TestRequest::with_uri("/works")).await.status);
        }
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    }
}
