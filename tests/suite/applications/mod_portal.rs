//! A portal of mods, in actix-web behind a CDN: a limit by address, a higher one by token,
//! none for the portal's own servers. Clients read `X-RateLimit-*` fields, and an error that
//! says how long to wait.

use actix_web::{
    App, Error, HttpMessage, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    test,
    test::TestRequest,
    web,
};
use limiter_actix::{Decision, Limiter, Quotas, RateLimit, Refusal, Refused, User};
use serde_json::json;

use super::{Setup, peer, send};

const CONFIG: &str = r#"
trusted_proxies = ["198.51.100.0/24"]
client_ip_header = "cf-connecting-ip"

[policies.api]
quota = "300/minute"
key = "user"
headers = "x-ratelimit"
"#;

/// An address of the CDN.
const EDGE: &str = "198.51.100.7";

/// A request of the portal's own servers.
struct OwnServer;

/// The authentication, around the limit.
async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok().map(str::to_owned);
    if header("x-ratelimit-key").as_deref() == Some("key-of-own-servers") {
        request.extensions_mut().insert(OwnServer);
    }
    if header("authorization").as_deref() == Some("token-of-alice") {
        request.extensions_mut().insert(User::new("alice"));
    }
    next.call(request).await
}

/// Returns the limit of all requests.
fn limit(limiter: &Limiter) -> RateLimit {
    let with_token: Quotas = "600/minute".parse().expect("it is a quota");
    RateLimit::new(limiter.policy("api").expect("it is configured"))
        .skip(|request| request.extensions().contains::<OwnServer>())
        .quotas("api", move |request| {
            request.extensions().contains::<User>().then(|| with_token.clone())
        })
        .on_refusal(refused)
}

fn refused(_: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
    let wait = refusal.retry_after().map_or(0, |wait| wait.as_millis());
    let quota = refusal.decision().and_then(Decision::tightest);
    let left = quota.map(|quota| format!(" {}/{} remaining.", quota.remaining(), quota.limit()));
    let left = left.unwrap_or_default();
    HttpResponse::build(Refused(refusal.clone()).status_code()).json(json!({
        "error": "ratelimit_error",
        "description": format!("Please wait {wait} milliseconds.{left}"),
    }))
}

macro_rules! portal {
    ($limiter:expr) => {{
        let app = App::new().wrap(limit(&$limiter)).wrap(from_fn(authenticate));
        test::init_service(app.route("/", web::get().to(HttpResponse::Ok))).await
    }};
}

/// A request of a client, by way of the CDN.
fn by_way_of(edge: &str, client: &'static str) -> TestRequest {
    TestRequest::get().peer_addr(peer(edge)).insert_header(("cf-connecting-ip", client))
}

#[actix_web::test]
async fn each_address_behind_the_cdn_has_its_limit() {
    let setup = Setup::of_toml(CONFIG).await;
    let portal = portal!(setup.limiter);
    let request = |edge: &str, client| by_way_of(edge, client).to_request();
    for left in (0..300).rev() {
        let reply = send(&portal, request(EDGE, "203.0.113.1")).await;
        assert_eq!((reply.status, reply.field("x-ratelimit-limit")), (200, "300"));
        assert_eq!(reply.field("x-ratelimit-remaining"), left.to_string());
    }
    let refused = send(&portal, request(EDGE, "203.0.113.1")).await;
    assert_eq!(refused.status, 429);
    let description = "Please wait 200 milliseconds. 0/300 remaining.";
    let body = json!({ "error": "ratelimit_error", "description": description });
    assert_eq!(refused.json(), body);
    assert_eq!(refused.field("x-ratelimit-remaining"), "0");
    assert_eq!(refused.field("x-ratelimit-reset"), "1700000060");
    assert_eq!(send(&portal, request(EDGE, "203.0.113.2")).await.status, 200);
    // Who connects past the CDN is counted as what it is, whatever header it sends.
    let direct = send(&portal, request("192.0.2.1", "203.0.113.1")).await;
    assert_eq!((direct.status, direct.field("x-ratelimit-remaining")), (200, "299"));
}

#[actix_web::test]
async fn tokens_have_a_higher_limit_and_own_servers_none() {
    let setup = Setup::of_toml(CONFIG).await;
    let portal = portal!(setup.limiter);
    let request = |name: &'static str, value: &'static str| {
        by_way_of(EDGE, "203.0.113.1").insert_header((name, value)).to_request()
    };
    let with_token = || request("authorization", "token-of-alice");
    for _ in 0..600 {
        assert_eq!(send(&portal, with_token()).await.status, 200);
    }
    let refused = send(&portal, with_token()).await;
    assert_eq!((refused.status, refused.field("x-ratelimit-limit")), (429, "600"));

    // A token and its address are counted apart. One that nobody has issued is none.
    for _ in 0..300 {
        assert_eq!(send(&portal, request("authorization", "made-up")).await.status, 200);
    }
    assert_eq!(send(&portal, request("x-ratelimit-key", "guessed")).await.status, 429);
    let own = send(&portal, request("x-ratelimit-key", "key-of-own-servers")).await;
    assert_eq!((own.status, own.field("x-ratelimit-limit")), (200, ""));
}
