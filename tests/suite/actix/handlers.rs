//! Handlers, authentication, and the limit.

use actix_web::{
    App, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::{Next, from_fn},
    test, web,
};
use limiter_actix::{
    AdmitOptions, Limiter, Policy, Quota, RateLimit, Refused, User, admit, client_ip,
};

use super::specific::{get, hello, limiter, statuses};
use crate::captured_log::CapturedLog;

/// Stands for an authentication that is wrapped inside of the limit.
async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    request.extensions_mut().insert(User::new("alice"));
    next.call(request).await
}

#[actix_web::test]
async fn an_authentication_in_the_wrong_order_is_noticed_once() {
    let policy = Policy::new("plan", Quota::per_hour(9).unwrap()).unwrap();
    let policy = policy.with_key("user").unwrap();
    let limiter = Limiter::builder().policy(policy).build().await.unwrap();
    let log = CapturedLog::start();
    let limit = || RateLimit::new(limiter.policy("plan").unwrap());
    let right =
        App::new().wrap(limit()).wrap(from_fn(authenticate)).default_service(web::to(hello));
    assert_eq!(statuses!(right, get("/"), get("/")), [200, 200]);
    assert_eq!(log.text(), "");
    let wrong =
        App::new().wrap(from_fn(authenticate)).wrap(limit()).default_service(web::to(hello));
    assert_eq!(statuses!(wrong, get("/"), get("/")), [200, 200]);
    let text = log.text();
    assert_eq!(text.matches("let the authentication run before the limit").count(), 1, "{text}");
}

#[actix_web::test]
async fn a_handler_can_limit_by_hand_and_read_the_address() {
    async fn upload(request: HttpRequest, body: String) -> Result<String, Refused> {
        let limiter = request.app_data::<Limiter>().unwrap().clone();
        let uploads = limiter.policy("api").unwrap();
        let cost = body.len() as u64;
        let permit = admit(&request, &uploads, AdmitOptions::default().with_cost(cost)).await?;
        let left = permit.unwrap().decision().quotas()[0].remaining();
        Ok(format!("{left} left for {}", client_ip(&request).unwrap()))
    }
    let limiter = limiter("9/hour").await;
    let app = App::new().app_data(limiter).route("/", web::post().to(upload));
    let service = test::init_service(app).await;
    let post = |body: &'static str| {
        let request = test::TestRequest::post().set_payload(body);
        request.peer_addr("192.0.2.1:5000".parse().unwrap()).to_request()
    };
    let response = test::call_service(&service, post("12345")).await;
    assert_eq!(test::read_body(response).await, "4 left for 192.0.2.1");
    let refused = test::call_service(&service, post("12345")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
}
