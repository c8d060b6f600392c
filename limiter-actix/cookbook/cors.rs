//! CORS: scripts of other sites may read the limiter's fields, of refusals too.

use actix_cors::Cors;
use actix_web::http::{Method, header::HeaderName};

/// The fields that scripts may read.
pub const EXPOSED: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("retry-after"),
];

/// The middleware. Wrap it *after* the limit, so that it runs outside of it and
/// refusals get its fields: `.wrap(limit).wrap(cors())`.
pub fn cors() -> Cors {
    Cors::default()
        .allowed_origin("https://app.example.org")
        .allowed_methods([Method::GET, Method::POST])
        .expose_headers(EXPOSED)
        .max_age(3600)
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, test, test::TestRequest, web};
    use limiter_actix::{Limiter, Policy, RateLimit};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn a_refusal_can_be_read_by_scripts() {
        let limiter = Limiter::builder().policy(Policy::new("api", "1/hour").unwrap());
        let limiter = limiter.build().await.unwrap();
        let app = App::new()
            .wrap(RateLimit::new(limiter.policy("api").unwrap()))
            .wrap(cors())
            .route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let ask = || TestRequest::get().insert_header(("origin", "https://app.example.org"));
        send(&app, ask()).await;
        let refused = send(&app, ask()).await;
        assert_eq!(refused.status, 429);
        let origin = refused.header("access-control-allow-origin");
        assert_eq!(origin, "https://app.example.org");
        let exposed = refused.header("access-control-expose-headers");
        for field in &EXPOSED {
            assert!(exposed.contains(field.as_str()), "{exposed}");
        }
    }
}
