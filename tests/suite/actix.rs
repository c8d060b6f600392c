//! actix-web: the contract's routes, and what only actix-web has.

mod driver;
mod handlers;
mod mistakes;
mod specific;
mod workers;

use actix_web::{
    App, Error, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse},
    error::ErrorForbidden,
    get,
    middleware::{Next, from_fn},
    post, route, test,
};
use limiter_actix::{AdmitOptions, Limiter, RateLimit, RateLimited, Refused, User, admit};

pub(crate) use self::driver::reply;
use self::driver::{ActixRoutes, reply_of_error};
use crate::contract::{Case, Routes, Setup, Stores, cases, shadow, shared_cases};

#[route("/default", method = "GET", method = "HEAD", wrap = "RateLimit::named(\"default\")")]
async fn default() -> &'static str {
    "default"
}

#[get("/api", wrap = "RateLimit::named(\"api\")")]
async fn api() -> &'static str {
    "api"
}

#[get("/both", wrap = "RateLimit::named(\"api\")", wrap = "RateLimit::named(\"default\")")]
async fn both() -> &'static str {
    "both"
}

#[get("/together", wrap = "RateLimit::named_all([\"default\", \"api\"])")]
async fn together() -> &'static str {
    "together"
}

#[get("/twice", wrap = "RateLimit::named(\"default\")", wrap = "RateLimit::named(\"default\")")]
async fn twice() -> &'static str {
    "twice"
}

#[post("/login", wrap = "RateLimit::named(\"login\")")]
async fn login(body: String) -> HttpResponse {
    answer_login(&body)
}

fn answer_login(body: &str) -> HttpResponse {
    if body == "secret" {
        HttpResponse::Ok().finish()
    } else {
        HttpResponse::Unauthorized().finish()
    }
}

#[route(
    "/item/{id}",
    method = "GET",
    method = "HEAD",
    method = "POST",
    wrap = "RateLimit::named(\"item\")"
)]
async fn item() -> &'static str {
    "item"
}

#[route("/login-page", method = "GET", method = "HEAD", wrap = "RateLimit::named(\"item\")")]
async fn login_page() -> &'static str {
    "login page"
}

/// Stands for an application's authentication: outside of the limit.
async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(name) = request.headers().get("x-test-user") {
        let name = name.to_str().expect("the test's user is text");
        request.extensions_mut().insert(User::new(name));
    }
    next.call(request).await
}

#[get("/user", wrap = "RateLimit::named(\"user\")", wrap = "from_fn(authenticate)")]
async fn user() -> &'static str {
    "user"
}

#[get("/tenant", wrap = "RateLimit::named(\"tenant\")")]
async fn tenant() -> &'static str {
    "tenant"
}

#[get("/left", wrap = "RateLimit::named(\"default\")")]
async fn left(limited: RateLimited) -> String {
    limited.quotas()[0].remaining().to_string()
}

fn dear(policies: &[&str]) -> RateLimit {
    RateLimit::named_all(policies.iter().copied()).cost(|_| 10)
}

#[get("/dear", wrap = "dear(&[\"default\"])", wrap = "RateLimit::named(\"default\")")]
async fn dear_route() -> &'static str {
    "dear"
}

#[get(
    "/dear-together",
    wrap = "dear(&[\"default\", \"api\"])",
    wrap = "RateLimit::named(\"default\")"
)]
async fn dear_together() -> &'static str {
    "dear together"
}

#[post("/forgiving", wrap = "RateLimit::named(\"login\")")]
async fn forgiving(body: String, limited: RateLimited) -> HttpResponse {
    if body == "secret" {
        let permit = limited.permit().expect("the request was counted");
        permit.forgive("login").await.expect("the policy has a ban rule");
    }
    answer_login(&body)
}

#[post("/answer", wrap = "RateLimit::named(\"default\")")]
async fn answer(body: String) -> HttpResponse {
    HttpResponse::new(body.parse().expect("the test's status is one"))
}

#[post("/charge", wrap = "RateLimit::named(\"default\")")]
async fn charge(body: String, limited: RateLimited) -> &'static str {
    let permit = limited.permit().expect("the request was counted");
    permit.charge_to(body.parse().expect("the test's units are a number")).await;
    "charged"
}

fn by_plan() -> RateLimit {
    RateLimit::named("plan").quotas("plan", |request| {
        let is_paying = request.headers().contains_key("x-test-plan");
        is_paying.then(|| "50/hour".parse().expect("the test's quota is one"))
    })
}

#[get("/plan", wrap = "by_plan()")]
async fn plan() -> &'static str {
    "plan"
}

#[route("/any/{id}", method = "GET", method = "OPTIONS", wrap = "RateLimit::named(\"item\")")]
async fn any() -> &'static str {
    "any"
}

#[route("/any-login", method = "OPTIONS", wrap = "RateLimit::named(\"login\")")]
async fn any_login(body: String) -> HttpResponse {
    answer_login(&body)
}

#[route("/spared", method = "GET", method = "HEAD", wrap = "RateLimit::named(\"default\")")]
async fn spared() -> &'static str {
    "spared"
}

#[post("/spared", wrap = "RateLimit::named(\"default\")")]
async fn post_spared() -> &'static str {
    "spared"
}

#[route("/by-hand", method = "GET", method = "OPTIONS", wrap = "RateLimit::named(\"api\")")]
async fn by_hand(request: HttpRequest) -> Result<&'static str, Refused> {
    let limiter = request.app_data::<Limiter>().expect("the application has it");
    let policies = limiter.policies(["default", "api"]).expect("the base has them");
    admit(&request, &policies, AdmitOptions::default().with_cost(3)).await?;
    Ok("by hand")
}

#[post("/keyed-login", wrap = "RateLimit::named(\"tenant\")")]
async fn keyed_login(body: String) -> HttpResponse {
    answer_login(&body)
}

/// An inner middleware that answers with an error, not with a response.
async fn forbid(
    request: ServiceRequest,
    _: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<actix_web::body::BoxBody>, Error> {
    drop(request);
    Err(ErrorForbidden("not for you"))
}

#[get("/forbidden", wrap = "from_fn(forbid)", wrap = "RateLimit::named(\"login\")")]
async fn forbidden() -> &'static str {
    "unreachable"
}

async fn routes(setup: &Setup) -> impl Routes + use<> {
    let door = RateLimit::new(setup.limiter.policy("door").expect("the base has it"));
    let door = door.exempt("GET /spared").expect("it is an endpoint");
    // The door tells nothing, so that the cases see their own policies alone.
    let app = App::new()
        .app_data(setup.limiter.clone())
        .service(default)
        .service(api)
        .service(both)
        .service(together)
        .service(twice)
        .service(login)
        .service(item)
        .service(login_page)
        .service(user)
        .service(tenant)
        .service(left)
        .service(forbidden)
        .service(dear_route)
        .service(dear_together)
        .service(any)
        .service(forgiving)
        .service(answer)
        .service(charge)
        .service(plan)
        .service(any_login)
        .service(spared)
        .service(post_spared)
        .service(by_hand)
        .service(keyed_login)
        .wrap(door);
    let service = test::init_service(app).await;
    ActixRoutes(async move |sent: test::TestRequest| match service.call(sent.to_request()).await {
        Ok(response) => reply(response).await,
        Err(error) => reply_of_error(&error),
    })
}

async fn run(case: &Case, stores: Stores) {
    let setup = case.setup(stores).await;
    case.run(&setup, &routes(&setup).await).await;
}

#[actix_web::test]
async fn the_contract_holds() {
    for case in cases() {
        println!("{}", case.name);
        run(&case, Stores::AtOnce).await;
    }
}

#[actix_web::test]
async fn the_contract_holds_with_a_store_to_wait_for() {
    for case in cases().iter().filter(|case| case.stands_still()) {
        println!("{}", case.name);
        run(case, Stores::ToWaitFor).await;
    }
}

#[actix_web::test]
async fn a_shadow_policy_refuses_nobody_and_counts_whom_it_would() {
    for (config, stores) in shadow::cases() {
        shadow::compare(config, stores, routes).await;
    }
}

fn the_contract_holds_on_shared_stores(url: &'static str) {
    actix_web::rt::System::new().block_on(async {
        for case in shared_cases() {
            run(&case, Stores::Shared(url)).await;
        }
    });
}

crate::databases::on_databases! {
    [redis_url cluster_url postgres_url mysql_url sqlite_url] the_contract_holds_on_shared_stores
}
