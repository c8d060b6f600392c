//! Both frameworks under load while their file changes: no request fails, and none is
//! decided by a mixture of two files.
//!
//! `LIMITER_TEST_STORM=long`: a hundred changes in a minute, each taken within 2 s.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use actix_web::{App, HttpServer, web};
use limiter_actix::RateLimit;
use limiter_core::{Config, LimiterBuilder};
use limiter_rocket::{Limiter, RateLimitFairing, RateLimited, policy};
use rocket::{
    figment::{
        Figment,
        providers::{Format, Toml},
    },
    get, routes,
};

use super::{
    PATIENCE, Reloads, TAKEN_WITHIN,
    load::Load,
    writing::{Way, Written},
};
use crate::storm::Form;

policy!(Inner = "inner");

/// Both policies have that limit, so that each answer says by which file it is decided.
fn text(limit: u64, table: &str) -> String {
    let root = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
    let dot = if table.is_empty() { "" } else { "." };
    format!(
        "{root}reload = \"watch\"\n\
         [{table}{dot}policies.outer]\nquota = \"{limit}/hour\"\nkey = \"global\"\n\
         [{table}{dot}policies.inner]\nquota = \"{limit}/hour\"\nkey = \"global\"\n"
    )
}

const FIRST: u64 = 1_000_000_000;

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn actix_under_load() {
    let _alone = crate::storm::alone();
    let (written, reloads, port) =
        (Written::new(&text(FIRST, "")), Reloads::default(), free_port());
    let (path, seen) = (written.path().to_owned(), reloads.clone());
    let server = thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let config = Config::from_file(path).unwrap();
            let limiter =
                seen.observing(LimiterBuilder::from_config(config)).build().await.unwrap();
            let outer = RateLimit::new(limiter.policy("outer").unwrap());
            let app = move || {
                let inner = web::resource("/").wrap(RateLimit::named("inner"));
                let inner = inner.to(|| async { "hello" });
                App::new().app_data(limiter.clone()).wrap(outer.clone()).service(inner)
            };
            let server = HttpServer::new(app).workers(2).disable_signals();
            server.bind(("127.0.0.1", port)).unwrap().run().await.unwrap();
        });
    });
    change_under_load(written, &reloads, port, "");
    assert!(!server.is_finished());
}

/// The limiter of Rocket's configuration, which the test observes.
fn figment(path: &PathBuf, port: u16) -> Figment {
    rocket::Config::figment()
        .merge(("log_level", "off"))
        .merge(("port", port))
        .merge(("workers", 2))
        .merge(Toml::file_exact(path).nested())
}

#[get("/")]
fn hello(_limit: RateLimited<Inner>) -> &'static str {
    "hello"
}

#[test]
fn rocket_under_load() {
    let _alone = crate::storm::alone();
    let table = "default.limiter";
    let (written, reloads, port) =
        (Written::new(&text(FIRST, table)), Reloads::default(), free_port());
    let (path, seen) = (written.path().to_owned(), reloads.clone());
    let server = thread::spawn(move || {
        rocket::execute(async {
            let launched = figment(&path, port);
            let limits = RateLimitFairing::from_config()
                .read_again(move || figment(&path, port))
                .before_routing("outer");
            let rocket = rocket::custom(launched).attach(limits).mount("/", routes![hello]);
            let rocket = rocket.ignite().await.unwrap();
            let mut events = rocket.state::<Limiter>().unwrap().events(1_000);
            tokio::spawn(async move {
                while let Some(event) = events.next().await {
                    seen.note(&event);
                }
            });
            rocket.launch().await.unwrap();
        });
    });
    change_under_load(written, &reloads, port, table);
    assert!(!server.is_finished());
}

/// Changes the file in each way while requests go on.
fn change_under_load(mut written: Written, reloads: &Reloads, port: u16, table: &str) {
    let (changes, within) = match Form::from_environment() {
        Form::Short => (Way::ALL.len(), PATIENCE),
        Form::Long => (100, TAKEN_WITHIN),
    };
    let load = Load::start(port, FIRST);
    let (mut limit, start, mut slowest) = (FIRST, Instant::now(), Duration::ZERO);
    for n in 0..changes {
        let way = Way::ALL[n % Way::ALL.len()];
        let new = if way == Way::Append {
            fs::read_to_string(written.path()).unwrap() + "mode = \"enforce\"\n"
        } else {
            limit += 1;
            text(limit, table)
        };
        load.will_be(limit);
        let took = written.write(way, &new);
        let since = Instant::now();
        let event = reloads.wait_after(took);
        assert!(!event.starts_with("refused"), "{way:?}: {event}");
        load.wait_for(limit);
        slowest = slowest.max(since.elapsed());
        load.is(limit);
    }
    let (elapsed, requests) = (start.elapsed(), load.stop());
    let rate = u128::from(requests) * 1_000 / elapsed.as_millis();
    println!("{changes} changes in {elapsed:?}, the slowest in {slowest:?}, {rate} requests/s");
    assert!(slowest <= within, "{slowest:?}");
    assert!(Form::from_environment() == Form::Short || elapsed < Duration::from_secs(60));
}
