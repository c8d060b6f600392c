//! Tests of actix-web alone: workers, application data, closures, order.

use std::{sync::Arc, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse},
    http::{StatusCode, header::HeaderMap},
    middleware::{Next, from_fn},
    test, web,
};
use limiter_actix::{
    BanRule, Key, Limiter, Policy, Quota, RateLimit, RefusalKind, client_ip, refusal_response,
};

pub(super) async fn limiter(quota: &str) -> Limiter {
    let quota: Quota = quota.parse().unwrap();
    let minute = Duration::from_secs(60);
    let banning = Policy::new("banning", quota).unwrap().with_ban(
        BanRule::after_strikes(2)
            .within(minute)
            .for_duration(minute)
            .unwrap()
            .with_statuses([403])
            .unwrap(),
    );
    Limiter::builder()
        .policy(Policy::new("api", quota).unwrap())
        .policy(banning)
        .build()
        .await
        .unwrap()
}

pub(super) fn get(path: &str) -> test::TestRequest {
    test::TestRequest::get().uri(path).peer_addr("192.0.2.1:5000".parse().unwrap())
}

pub(super) async fn hello() -> &'static str {
    "hello"
}

/// Sends requests to an application, one after the other.
macro_rules! statuses {
    ($app:expr, $($request:expr),+ $(,)?) => {{
        let service = test::init_service($app).await;
        [$(test::call_service(&service, $request.to_request()).await.status().as_u16()),+]
    }};
}
pub(super) use statuses;

#[actix_web::test]
async fn policies_of_two_limiters_are_a_mistake() {
    let (first, second) = (limiter("5/hour").await, limiter("5/hour").await);
    let (first, second) = (first.policy("api").unwrap(), second.policy("api").unwrap());
    let limit =
        RateLimit::by(
            move |request| {
                if request.query_string() == "2" { second.clone() } else { first.clone() }
            },
        );
    let app = App::new().wrap(limit).route("/", web::get().to(hello));
    assert_eq!(statuses!(app, get("/"), get("/?2"), get("/")), [200, 500, 200]);
}

#[actix_web::test]
async fn an_app_a_scope_a_resource_and_a_handler_can_be_wrapped() {
    let limiter = limiter("1/hour").await;
    let api = || RateLimit::new(limiter.policy("api").unwrap());
    let route = || web::get().to(hello);
    let app = App::new().wrap(api()).route("/x", route());
    assert_eq!(statuses!(app, get("/x"), get("/x")), [200, 429]);

    let limiter = self::limiter("1/hour").await;
    let api = || RateLimit::new(limiter.policy("api").unwrap());
    let scope = web::scope("/in").wrap(api()).route("/x", route());
    let app = App::new().service(scope).route("/out", route());
    assert_eq!(statuses!(app, get("/in/x"), get("/in/x"), get("/out")), [200, 429, 200]);

    let limiter = self::limiter("1/hour").await;
    let api = RateLimit::new(limiter.policy("api").unwrap());
    let app = App::new().service(web::resource("/x").wrap(api).route(route()));
    assert_eq!(statuses!(app, get("/x"), get("/x"), get("/y")), [200, 429, 404]);
}

#[actix_web::test]
async fn what_is_named_must_be_there() {
    let route = || web::resource("/").wrap(RateLimit::named("api")).route(web::get().to(hello));
    let without = App::new().service(route());
    assert_eq!(statuses!(without, get("/"), get("/")), [500, 500]);

    let limiter = limiter("1/hour").await;
    let data = App::new().app_data(web::Data::new(limiter.clone())).service(route());
    assert_eq!(statuses!(data, get("/"), get("/")), [200, 429]);
    // The output of `main() -> Result<(), Box<dyn Error>>`.
    let error = format!("{:?}", limiter.policy("apy").unwrap_err());
    let expected = "there is no policy \"apy\"; did you mean \"api\"? configured are: api, banning";
    assert_eq!(error, expected);
    let error = limiter.policies([]).unwrap_err().to_string();
    assert_eq!(error, "no policy is named; configured are: api, banning");
    let unknown = web::resource("/").wrap(RateLimit::named("apy")).route(web::get().to(hello));
    let unknown = App::new().app_data(limiter).service(unknown);
    assert_eq!(statuses!(unknown, get("/"), get("/")), [500, 500]);
}

/// Also for a client without a plan: else the first that pays would find the mistake.
#[actix_web::test]
async fn quotas_of_an_unknown_policy_are_an_error_for_everybody() {
    let limiter = limiter("5/hour").await;
    for (policy, expected) in [("api", [200, 200]), ("apy", [500, 500])] {
        let limit = RateLimit::new(limiter.policy("api").unwrap()).quotas(policy, |_| None);
        let app = App::new().wrap(limit).default_service(web::to(hello));
        assert_eq!(statuses!(app, get("/"), get("/")), expected, "{policy}");
    }
}

/// Without the application's data the limit itself names the limiter.
#[actix_web::test]
async fn the_address_of_a_client_that_is_not_counted_is_known() {
    let policy = Policy::new("api", "5/hour").unwrap();
    let limiter = Limiter::builder().policy(policy).allow("192.0.2.0/24").build().await.unwrap();
    let address = async |request: HttpRequest| client_ip(&request).unwrap().to_string();
    let limit = RateLimit::new(limiter.policy("api").unwrap());
    let app = test::init_service(App::new().wrap(limit).default_service(web::to(address))).await;
    for peer in ["192.0.2.1", "198.51.100.7"] {
        let from = get("/").peer_addr(format!("{peer}:5000").parse().unwrap()).to_request();
        assert_eq!(test::call_and_read_body(&app, from).await, peer);
    }
}

#[actix_web::test]
async fn closures_choose_key_cost_and_what_to_skip() {
    let limiter = limiter("5/hour").await;
    let api = RateLimit::new(limiter.policy("api").unwrap())
        .key(|request: &ServiceRequest| Key::custom("path", request.match_info().as_str()))
        .cost(|request: &ServiceRequest| if request.query_string() == "big" { 4 } else { 1 })
        .skip(|request: &ServiceRequest| request.match_info().as_str() == "/health");
    let app = App::new().wrap(api).default_service(web::to(hello));
    let requests = [
        get("/a?big"),
        get("/a?big"),
        get("/a"),
        get("/a"),
        get("/b"),
        get("/health"),
        get("/health"),
    ];
    let service = test::init_service(app).await;
    let mut statuses = Vec::new();
    for request in requests {
        let response = test::call_service(&service, request.to_request()).await;
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [200, 429, 200, 429, 200, 200, 200]);
}

#[actix_web::test]
async fn a_refusal_can_be_answered_otherwise() {
    let limiter = limiter("1/hour").await;
    let api = RateLimit::new(limiter.policy("api").unwrap()).on_refusal(|_, refusal| {
        assert_eq!(refusal.status(), 429);
        assert_eq!(refusal.kind(), RefusalKind::Limited);
        assert_eq!(refusal.retry_after().unwrap().as_secs(), 3599);
        assert_eq!(refusal.policy(), Some("api"));
        HttpResponse::ServiceUnavailable().content_type("text/plain").body("later")
    });
    let app = App::new().wrap(api).route("/", web::get().to(hello));
    let service = test::init_service(app).await;
    test::call_service(&service, get("/").to_request()).await;
    let refused = test::call_service(&service, get("/").to_request()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    // A field that the answer leaves out is added.
    assert_eq!(text(refused.headers(), "retry-after"), "3600");
    assert_eq!(text(refused.headers(), "ratelimit"), r#""api";r=0;t=3600"#);
    assert_eq!(text(refused.headers(), "content-type"), "text/plain");
    assert_eq!(test::read_body(refused).await, "later");
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// Stands for CORS: outside of the limit, it sees refusals as responses.
async fn mark(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let origin = actix_web::http::header::HeaderValue::from_static("*");
    response.headers_mut().insert(actix_web::http::header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    Ok(response)
}

#[actix_web::test]
async fn outer_middleware_sees_a_refusal_as_a_response() {
    let limiter = limiter("1/hour").await;
    let api = RateLimit::new(limiter.policy("api").unwrap());
    let app = App::new().wrap(api).wrap(from_fn(mark)).route("/", web::get().to(hello));
    let service = test::init_service(app).await;
    for status in [200, 429] {
        let response = test::call_service(&service, get("/").to_request()).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(text(response.headers(), "access-control-allow-origin"), "*");
    }
}

/// An inner limiter's refusal is no outcome of the handler.
#[actix_web::test]
async fn a_refusal_of_an_inner_limiter_does_not_strike() {
    let limiter = limiter("3/hour").await;
    let outer = RateLimit::new(limiter.policy("banning").unwrap());
    let inner =
        RateLimit::new(limiter.policy("api").unwrap()).cost(|_| 3).on_refusal(|_, refusal| {
            let mut response = refusal_response(refusal);
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
        });
    let app = App::new().wrap(inner).wrap(outer).route("/", web::get().to(hello));
    // Two inner refusals of status 403 would ban, if they were counted.
    assert_eq!(statuses!(app, get("/"), get("/"), get("/"), get("/")), [200, 403, 403, 429]);
}

/// A look is no charge: what is inside still counts.
#[actix_web::test]
async fn a_cost_of_nothing_spares_no_inner_limiter() {
    let limiter = limiter("1/hour").await;
    let api = || RateLimit::new(limiter.policy("api").unwrap());
    let app = App::new().wrap(api()).wrap(api().cost(|_| 0)).route("/", web::get().to(hello));
    assert_eq!(statuses!(app, get("/"), get("/")), [200, 429]);
}

#[actix_web::test]
async fn nested_limiters_tell_both() {
    let limiter = Arc::new(limiter("9/hour").await);
    let both = |name: &str| RateLimit::new(limiter.policy(name).unwrap());
    let app = App::new().wrap(both("api")).wrap(both("banning")).route("/", web::get().to(hello));
    let service = test::init_service(app).await;
    let response = service.call(get("/").to_request()).await.unwrap();
    let lines: Vec<_> = response.headers().get_all("ratelimit").collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
}
