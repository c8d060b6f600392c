//! The servers: one route that answers `hello`, with a limit or without.

use std::{
    io::{self, Read},
    net::Ipv4Addr,
    process, thread,
    time::Duration,
};

use actix_extensible_rate_limit::{
    RateLimiter,
    backend::{SimpleInputFunctionBuilder, memory::InMemoryBackend},
};
use actix_web::{App, HttpServer, dev::ServiceRequest, rt::System, web};
use limiter_actix::{
    BanRule, Limiter, Policy, Quota, RateLimit,
    limiter_core::{LimiterBuilder, RemoteStore},
};
use limiter_rocket::{RateLimitFairing, RateLimited};
use rocket::{Config, config::LogLevel, fairing::AdHoc, figment::Figment, routes};

/// Units an hour: that many are never used.
const LIMIT: u32 = 1_000_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Serves until standard input ends, be it with the process that has started
/// this one. The first line of output is where.
pub(crate) fn serve(name: &str, redis: &str) {
    thread::spawn(|| {
        // An error is an end as well.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    let system = System::new();
    match name {
        "actix" => system.block_on(actix()),
        "actix-limiter" => system.block_on(actix_limiter(Limiter::builder(), api(LIMIT))),
        "actix-limiter-refusing" => system.block_on(actix_limiter(Limiter::builder(), api(1))),
        "actix-limiter-banning" => {
            let rule = BanRule::after_strikes(10).within(HOUR).for_duration(HOUR);
            let policy = api(1).with_ban(rule.expect("the rule is one"));
            system.block_on(actix_limiter(Limiter::builder(), policy));
        }
        "actix-limiter-redis" => system.block_on(actix_limiter_redis(redis)),
        "actix-extensible-rate-limit" => system.block_on(actix_extensible()),
        "actix-limitation" => system.block_on(actix_limitation(redis)),
        "rocket" => rocket(None),
        "rocket-limiter" => rocket(Some(LIMIT)),
        "rocket-limiter-refusing" => rocket(Some(1)),
        _ => panic!("there is no server {name:?}"),
    }
}

/// Serves an application of actix-web by one worker. (A macro, since the type of
/// an application cannot be written.)
macro_rules! serve_actix {
    ($app:expr) => {{
        let server = HttpServer::new(move || $app.route("/", web::get().to(async || "hello")));
        let server = server.workers(1).bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        println!("http://{}/", server.addrs()[0]);
        server.run().await.expect("it serves");
    }};
}

async fn actix() {
    serve_actix!(App::new());
}

/// A policy of so many units an hour.
fn api(limit: u32) -> Policy {
    let quota = Quota::per_hour(limit.into()).expect("the quota is one");
    Policy::new("api", quota).expect("the name is one")
}

async fn actix_limiter(limiter: LimiterBuilder, policy: Policy) {
    let limiter = limiter.policy(policy).build().await.expect("the policy fits");
    let api = RateLimit::new(limiter.policy("api").expect("it was just named"));
    serve_actix!(App::new().wrap(api.clone()));
}

async fn actix_limiter_redis(url: &str) {
    let store = RemoteStore::builder(url).prefix("http").connect();
    let store = store.await.expect("Redis was started");
    actix_limiter(Limiter::builder().store(store), api(LIMIT)).await;
}

async fn actix_extensible() {
    let backend = InMemoryBackend::builder().build();
    serve_actix!({
        let input = SimpleInputFunctionBuilder::new(HOUR, LIMIT.into()).peer_ip_key().build();
        App::new().wrap(RateLimiter::builder(backend.clone(), input).add_headers().build())
    });
}

async fn actix_limitation(url: &str) {
    let address = |request: &ServiceRequest| Some(request.peer_addr()?.ip().to_string());
    let mut limiter = actix_limitation::Limiter::builder(url);
    let limiter = limiter.limit(LIMIT as usize).period(HOUR).key_by(address);
    let limiter = web::Data::new(limiter.build().expect("the URL is one"));
    serve_actix!(
        App::new().wrap(actix_limitation::RateLimiter::default()).app_data(limiter.clone())
    );
}

#[rocket::get("/")]
fn bare() -> &'static str {
    "hello"
}

#[rocket::get("/")]
fn limited(_limit: RateLimited) -> &'static str {
    "hello"
}

/// Serves an application of Rocket by one worker, with a limit of so many an hour.
fn rocket(limit: Option<u32>) {
    let config = Config { port: 0, log_level: LogLevel::Off, ..Config::default() };
    let quota = ("limiter.policies.default.quota", format!("{}/hour", limit.unwrap_or(LIMIT)));
    let rocket = rocket::custom(Figment::from(config).merge(quota));
    let rocket = match limit {
        None => rocket.mount("/", routes![bare]),
        Some(_) => rocket.attach(RateLimitFairing::from_config()).mount("/", routes![limited]),
    };
    let told = AdHoc::on_liftoff("URL", |rocket| {
        Box::pin(async { println!("http://127.0.0.1:{}/", rocket.config().port) })
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime
        .expect("a thread can be started")
        .block_on(rocket.attach(told).launch())
        .expect("it serves");
}
