//! Rocket: the contract's routes, and what only Rocket has.

mod driver;
mod launch;
mod refusals;
mod specific;

use limiter_rocket::{
    AdmitOptions, Limiter, Policies, Quotas, RateLimitFairing, RateLimited, Refused, admit, policy,
    set_user,
};
use rocket::{
    Build, Rocket, get,
    http::Status,
    local::asynchronous::Client,
    options, post,
    request::{self, FromRequest},
    routes,
};

pub(crate) use self::driver::reply;
use crate::contract::{Case, Setup, Stores, cases, shadow, shared_cases};

policy!(Api = "api");
policy!(Together = ["default", "api"]);
policy!(Login = "login");
policy!(ItemPolicy = "item");
policy!(UserPolicy = "user");
policy!(Tenant = "tenant");

#[get("/default")]
fn default(_limit: RateLimited) -> &'static str {
    "default"
}

#[get("/api")]
fn api(_limit: RateLimited<Api>) -> &'static str {
    "api"
}

#[get("/both")]
fn both(_default: RateLimited, _api: RateLimited<Api>) -> &'static str {
    "both"
}

struct Plan;

impl Policies for Plan {
    const NAMES: &'static [&'static str] = &["plan"];

    fn quotas(request: &rocket::Request<'_>, _policy: &str) -> Option<Quotas> {
        let is_paying = request.headers().contains("x-test-plan");
        is_paying.then(|| "50/hour".parse().expect("the test's quota is one"))
    }
}

#[get("/plan")]
fn plan(_limit: RateLimited<Plan>) -> &'static str {
    "plan"
}

#[get("/together")]
fn together(_limit: RateLimited<Together>) -> &'static str {
    "together"
}

#[get("/twice")]
fn twice(_first: RateLimited, _second: RateLimited) -> &'static str {
    "twice"
}

#[post("/login", data = "<body>")]
fn login(_limit: RateLimited<Login>, body: &str) -> Status {
    if body == "secret" { Status::Ok } else { Status::Unauthorized }
}

#[get("/item/<_>")]
fn item(_limit: RateLimited<ItemPolicy>) -> &'static str {
    "item"
}

#[post("/item/<_>")]
fn post_item(_limit: RateLimited<ItemPolicy>) -> &'static str {
    "item"
}

#[get("/login-page")]
fn login_page(_limit: RateLimited<ItemPolicy>) -> &'static str {
    "login page"
}

/// Stands for an application's authentication: before the limit.
struct Account;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Account {
    type Error = ();

    async fn from_request(request: &'r rocket::Request<'_>) -> request::Outcome<Self, ()> {
        if let Some(user) = request.headers().get_one("x-test-user") {
            set_user(request, user);
        }
        request::Outcome::Success(Self)
    }
}

#[get("/user")]
fn user(_account: Account, _limit: RateLimited<UserPolicy>) -> &'static str {
    "user"
}

#[get("/tenant")]
fn tenant(_limit: RateLimited<Tenant>) -> &'static str {
    "tenant"
}

#[get("/left")]
fn left(limit: RateLimited) -> String {
    limit.quotas()[0].remaining().to_string()
}

/// `default`, at a cost of 10.
struct Dear;

impl Policies for Dear {
    const NAMES: &'static [&'static str] = &["default"];

    fn cost(_: &rocket::Request<'_>) -> u64 {
        10
    }
}

/// `default` with `api`, at a cost of 10.
struct DearTogether;

impl Policies for DearTogether {
    const NAMES: &'static [&'static str] = &["default", "api"];

    fn cost(_: &rocket::Request<'_>) -> u64 {
        10
    }
}

#[get("/dear")]
fn dear(_outer: RateLimited, _inner: RateLimited<Dear>) -> &'static str {
    "dear"
}

#[get("/dear-together")]
fn dear_together(_outer: RateLimited, _inner: RateLimited<DearTogether>) -> &'static str {
    "dear together"
}

#[post("/forgiving", data = "<body>")]
async fn forgiving(limit: RateLimited<Login>, body: &str) -> Status {
    if body != "secret" {
        return Status::Unauthorized;
    }
    let permit = limit.permit().expect("the request is counted");
    permit.forgive("login").await.expect("the policy has a ban rule");
    Status::Ok
}

#[post("/answer", data = "<body>")]
fn answer(_limit: RateLimited, body: &str) -> Status {
    Status::new(body.parse().expect("the test's status is one"))
}

#[post("/charge", data = "<body>")]
async fn charge(limit: RateLimited, body: &str) -> &'static str {
    let permit = limit.permit().expect("the request is counted");
    permit.charge_to(body.parse().expect("the test's units are a number")).await;
    "charged"
}

#[get("/any/<_>")]
fn any(_limit: RateLimited<ItemPolicy>) -> &'static str {
    "any"
}

#[options("/any/<_>")]
fn any_options(_limit: RateLimited<ItemPolicy>) -> &'static str {
    "any"
}

#[options("/any-login", data = "<body>")]
fn any_login(_limit: RateLimited<Login>, body: &str) -> Status {
    if body == "secret" { Status::Ok } else { Status::Unauthorized }
}

#[get("/spared")]
fn spared(_limit: RateLimited) -> &'static str {
    "spared"
}

#[post("/spared")]
fn post_spared(_limit: RateLimited) -> &'static str {
    "spared"
}

/// `default` with `api`, admitted by hand at a cost of 3.
struct ByHand;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for ByHand {
    type Error = Refused;

    async fn from_request(request: &'r rocket::Request<'_>) -> request::Outcome<Self, Refused> {
        let limiter = request.rocket().state::<Limiter>().expect("the fairing manages it");
        let both = limiter.policies(["default", "api"]).expect("the base has them");
        match admit(request, &both, AdmitOptions::default().with_cost(3)).await {
            Ok(_) => request::Outcome::Success(Self),
            Err(refused) => refused.into_outcome(),
        }
    }
}

#[get("/by-hand")]
fn by_hand(_limit: RateLimited<Api>, _by_hand: ByHand) -> &'static str {
    "by hand"
}

#[options("/by-hand")]
fn by_hand_options(_limit: RateLimited<Api>, _by_hand: ByHand) -> &'static str {
    "by hand"
}

#[post("/keyed-login", data = "<body>")]
fn keyed_login(_limit: RateLimited<Tenant>, body: &str) -> Status {
    if body == "secret" { Status::Ok } else { Status::Unauthorized }
}

#[get("/forbidden")]
fn forbidden(_limit: RateLimited<Login>) -> Status {
    Status::Forbidden
}

fn rocket(setup: &Setup) -> Rocket<Build> {
    let config = rocket::Config { log_level: rocket::config::LogLevel::Off, ..Default::default() };
    rocket::custom(config)
        .attach(
            RateLimitFairing::new(setup.limiter.clone())
                .before_routing("door")
                .exempt("GET /spared"),
        )
        .mount("/", routes![default, api, both, together, twice, login, item, post_item])
        .mount("/", routes![login_page, user, tenant, left, forbidden])
        .mount("/", routes![dear, dear_together, any, any_options, any_login, forgiving])
        .mount("/", routes![spared, post_spared, by_hand, by_hand_options, keyed_login])
        .mount("/", routes![answer, charge, plan])
}

async fn routes(setup: &Setup) -> Client {
    Client::untracked(rocket(setup)).await.expect("the test's rocket launches")
}

async fn run(case: &Case, stores: Stores) {
    let setup = case.setup(stores).await;
    case.run(&setup, &routes(&setup).await).await;
}

#[rocket::async_test]
async fn the_contract_holds() {
    for case in cases() {
        println!("{}", case.name);
        run(&case, Stores::AtOnce).await;
    }
}

#[rocket::async_test]
async fn the_contract_holds_with_a_store_to_wait_for() {
    for case in cases().iter().filter(|case| case.stands_still()) {
        println!("{}", case.name);
        run(case, Stores::ToWaitFor).await;
    }
}

#[rocket::async_test]
async fn a_shadow_policy_refuses_nobody_and_counts_whom_it_would() {
    for (config, stores) in shadow::cases() {
        shadow::compare(config, stores, routes).await;
    }
}

fn the_contract_holds_on_shared_stores(url: &'static str) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for case in shared_cases() {
            run(&case, Stores::Shared(url)).await;
        }
    });
}

crate::databases::on_databases! {
    [redis_url cluster_url postgres_url mysql_url sqlite_url] the_contract_holds_on_shared_stores
}
