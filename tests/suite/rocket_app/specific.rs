//! Tests of Rocket alone: sentinels, catchers, forwards, configuration.

use limiter_rocket::{Key, Limiter, Policies, RateLimitFairing, RateLimited, policy, set_user};
use rocket::{
    Build, Request, Rocket, State, figment::Figment, get, http::Status, local::blocking::Client,
    routes,
};

use crate::captured_log::CapturedLog;

policy!(Api = "api");
/// Rocket with a policy `default` and `api` of 2 requests an hour.
pub(super) fn rocket() -> Rocket<Build> {
    rocket::custom(figment()).attach(RateLimitFairing::from_config())
}

pub(super) fn figment() -> Figment {
    rocket::Config::figment()
        .merge(("log_level", "off"))
        .merge(("limiter.fallback_address", "127.0.0.1"))
        .merge(("limiter.policies.default.quota", "2/hour"))
        .merge(("limiter.policies.api.quota", "2/hour"))
}

pub(super) fn statuses(rocket: Rocket<Build>, paths: &[&'static str]) -> Vec<u16> {
    let client = Client::untracked(rocket).expect("the test's rocket launches");
    paths.iter().map(|path| client.get(*path).dispatch().status().code).collect()
}

#[get("/")]
pub(super) fn limited(_limit: RateLimited) -> &'static str {
    "limited"
}

#[get("/option")]
pub(super) fn option(limit: Option<RateLimited>) -> &'static str {
    if limit.is_some() { "admitted" } else { "let through" }
}

/// By the plan that a header names, for this test.
struct Plan;

impl Policies for Plan {
    const NAMES: &'static [&'static str] = &["default", "api"];

    fn choose(request: &Request<'_>) -> &'static [&'static str] {
        if request.headers().contains("x-api") { &["api"] } else { &["default"] }
    }
}

#[get("/plan")]
fn plan(_limit: RateLimited<Plan>) {}

#[test]
fn a_guard_may_choose_its_policies_by_request() {
    let client = Client::untracked(rocket().mount("/", routes![plan])).unwrap();
    let api = rocket::http::Header::new("x-api", "1");
    for expected in [200, 200, 429] {
        assert_eq!(client.get("/plan").dispatch().status().code, expected);
        let by_plan = client.get("/plan").header(api.clone()).dispatch();
        assert_eq!(by_plan.status().code, expected);
    }
}

#[get("/address")]
fn address(_limit: RateLimited, address: Address) -> String {
    address.0
}

struct Address(String);

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Address {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> rocket::request::Outcome<Self, ()> {
        let address = limiter_rocket::client_ip(request).expect("there is a fallback");
        rocket::request::Outcome::Success(Self(address.to_string()))
    }
}

#[test]
fn the_address_that_is_counted_can_be_read() {
    let client = Client::untracked(rocket().mount("/", routes![address])).unwrap();
    let request = client.get("/address").remote("[2001:db8::7]:1".parse().unwrap());
    assert_eq!(request.dispatch().into_string().unwrap(), "2001:db8::7");
}

#[get("/private")]
fn private() -> Status {
    Status::Forbidden
}

#[test]
fn an_error_of_the_application_looks_as_without_us() {
    let body = |rocket: Rocket<Build>| {
        let client = Client::untracked(rocket.mount("/", routes![private])).unwrap();
        client.get("/private").dispatch().into_string().unwrap()
    };
    let without = body(rocket::custom(figment()));
    assert!(without.contains("403"), "{without}");
    assert_eq!(body(rocket()), without);
}

/// By tenant, at a price.
struct ByTenant;

impl Policies for ByTenant {
    const NAMES: &'static [&'static str] = &["api", "default"];

    fn key(request: &Request<'_>) -> Option<Key> {
        request.param::<&str>(1)?.ok().map(|tenant| Key::custom("tenant", tenant))
    }

    fn cost(_: &Request<'_>) -> u64 {
        2
    }
}

#[get("/tenant/<_>")]
fn tenant(_limit: RateLimited<ByTenant>) {}

#[test]
fn a_guard_may_choose_key_and_cost() {
    let rocket = rocket().mount("/", routes![tenant]);
    assert_eq!(statuses(rocket, &["/tenant/a", "/tenant/a", "/tenant/b"]), [200, 429, 200]);
}

#[get("/forward", rank = 1)]
fn forwards(_limit: RateLimited, _never: Never) {}

#[get("/forward", rank = 2)]
fn forwarded_to(_limit: RateLimited) -> &'static str {
    "second"
}

struct Never;

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Never {
    type Error = ();

    async fn from_request(_: &'r Request<'_>) -> rocket::request::Outcome<Self, ()> {
        rocket::request::Outcome::Forward(Status::NotFound)
    }
}

#[test]
fn a_forwarded_request_is_charged_once() {
    let rocket = rocket().mount("/", routes![forwards, forwarded_to]);
    assert_eq!(statuses(rocket, &["/forward", "/forward", "/forward"]), [200, 200, 429]);
}

/// Looks at what the tests' login policy says.
struct Look;

impl Policies for Look {
    const NAMES: &'static [&'static str] = &["api"];

    fn cost(_: &Request<'_>) -> u64 {
        0
    }
}

#[get("/look")]
fn look(_limit: RateLimited<Look>) -> Status {
    Status::Unauthorized
}

#[test]
fn a_guard_that_only_looks_tells_and_strikes() {
    let figment = figment()
        .merge(("limiter.policies.api.ban.threshold", 2))
        .merge(("limiter.policies.api.ban.window", "1m"))
        .merge(("limiter.policies.api.ban.duration", "1h"))
        .merge(("limiter.policies.api.ban.statuses", [401]));
    let rocket = rocket::custom(figment).attach(RateLimitFairing::from_config());
    let client = Client::untracked(rocket.mount("/", routes![look])).unwrap();
    for _ in 0..2 {
        let response = client.get("/look").dispatch();
        assert_eq!(response.status(), Status::Unauthorized);
        assert_eq!(response.headers().get_one("ratelimit"), Some(r#""api";r=2;t=3600"#));
    }
    assert_eq!(client.get("/look").dispatch().status(), Status::Forbidden);
}

/// Rocket drops a header line that is not UTF-8: its absence is no way round.
#[test]
fn a_forwarding_header_must_be_there() {
    let figment = figment()
        .merge(("limiter.trusted_proxies", ["127.0.0.0/8"]))
        .merge(("limiter.client_ip_header", "x-forwarded-for"));
    let rocket = rocket::custom(figment).attach(RateLimitFairing::from_config());
    let client = Client::untracked(rocket.mount("/", routes![limited])).unwrap();
    assert_eq!(client.get("/").dispatch().status(), Status::BadRequest);
    let forwarded = rocket::http::Header::new("x-forwarded-for", "203.0.113.1");
    assert_eq!(client.get("/").header(forwarded).dispatch().status(), Status::Ok);
}

#[get("/names")]
pub(super) fn names(limiter: &State<Limiter>) -> String {
    limiter.policy_names().join(" ")
}

#[test]
fn the_limiter_is_managed() {
    let client = Client::untracked(rocket().mount("/", routes![names])).unwrap();
    assert_eq!(client.get("/names").dispatch().into_string().unwrap(), "api default");
}

#[test]
fn routes_that_rocket_takes_for_one_are_one() {
    let door = rocket::custom(figment())
        .attach(RateLimitFairing::from_config().before_routing("api"))
        .mount("/", routes![names]);
    // The path is as it was sent, and the door is no path of its own.
    assert_eq!(statuses(door, &["/names", "//names/", "/n%61mes"]), [200, 200, 429]);
}

/// Finds the user, as an authentication does.
struct Account;

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Account {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> rocket::request::Outcome<Self, ()> {
        set_user(request, "alice");
        rocket::request::Outcome::Success(Self)
    }
}

#[get("/right")]
fn right(_account: Account, _limit: RateLimited) {}

#[get("/wrong")]
fn wrong(_limit: RateLimited, _account: Account) {}

#[rocket::async_test]
async fn an_authentication_behind_the_limit_is_noticed_once() {
    let by_user = figment().merge(("limiter.policies.default.key", "user"));
    let rocket = rocket::custom(by_user).attach(RateLimitFairing::from_config());
    let rocket = rocket.mount("/", routes![right, wrong]);
    let client = rocket::local::asynchronous::Client::untracked(rocket).await.unwrap();
    let log = CapturedLog::start();
    client.get("/right").dispatch().await;
    assert_eq!(log.text(), "");
    for _ in 0..2 {
        assert_eq!(client.get("/wrong").dispatch().await.status(), Status::Ok);
    }
    let text = log.text();
    assert_eq!(text.matches("let the authentication run before the limit").count(), 1, "{text}");
}
