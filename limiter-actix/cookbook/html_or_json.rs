//! HTML for people and a problem document for programs, by `Accept`.

use actix_web::{
    HttpResponse,
    dev::ServiceRequest,
    http::{StatusCode, header},
};
use limiter_actix::{Refusal, refusal_response};

/// The response, for `RateLimit::on_refusal`.
#[must_use]
pub fn refused(request: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/html")) {
        return refusal_response(refusal);
    }
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let wait = refusal.retry_after().map_or_else(String::new, |wait| {
        format!("<p>Please come back in {} seconds.</p>", wait.as_secs() + 1)
    });
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::VARY, "accept"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(format!("<!doctype html><title>Not so fast</title><h1>Not so fast</h1>{wait}"))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest, web};
    use limiter_actix::{Limiter, Policy, RateLimit};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn people_read_html_and_programs_json() {
        let limiter = Limiter::builder().policy(Policy::new("api", "1/hour").unwrap());
        let limiter = limiter.build().await.unwrap();
        let limit = RateLimit::new(limiter.policy("api").unwrap()).on_refusal(refused);
        let app = App::new().wrap(limit).route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        send(&app, TestRequest::get()).await;
        let browser = TestRequest::get().insert_header(("accept", "text/html,*/*;q=0.8"));
        let page = send(&app, browser).await;
        assert_eq!((page.status, page.header("content-type")), (429, "text/html; charset=utf-8"));
        assert!(page.body.contains("come back in 36"), "{}", page.body);
        let document = send(&app, TestRequest::get()).await;
        assert_eq!(document.header("content-type"), "application/problem+json");
    }
}
