//! Requests that are given up: each settles exactly once, or was never charged.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, test, web};
use limiter_actix::RateLimit;
use limiter_core::{BanRule, Key, Limiter, Policy, Quota, Store};
use limiter_rocket::{RateLimitFairing, RateLimited};
use rocket::{fairing::AdHoc, http::Status, routes};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::oneshot};

use crate::switchable_store::SwitchableStore;

const HOUR: Duration = Duration::from_secs(3_600);

/// One policy that bans after that many strikes, by those statuses.
async fn limiter(store: impl Store, threshold: u64, statuses: &[u16]) -> Limiter {
    let rule = BanRule::after_strikes(threshold).within(HOUR).for_duration(HOUR).unwrap();
    let rule = rule.with_statuses(statuses.iter().copied()).unwrap();
    let policy = Policy::new("default", Quota::per_hour(100).unwrap()).unwrap().with_ban(rule);
    Limiter::builder().store(store).policy(policy).build().await.unwrap()
}

async fn unauthorized() -> HttpResponse {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    HttpResponse::Unauthorized().finish()
}

/// Returns what was charged and struck when the client goes away after its request
/// was polled so often; and whether the request had come to its end.
async fn given_up_after(polls: u32) -> (u64, u64, bool) {
    let store = SwitchableStore { slowness: 2, ..SwitchableStore::default() };
    let limiter = limiter(store.clone(), 10, &[401, 499]).await;
    let limit = RateLimit::new(limiter.policy("default").unwrap());
    let app = App::new().wrap(limit).route("/", web::get().to(unauthorized));
    let service = test::init_service(app).await;
    let request = test::TestRequest::get().peer_addr("192.0.2.1:5000".parse().unwrap());
    let over = {
        let mut answer = pin!(test::try_call_service(&service, request.to_request()));
        let mut context = Context::from_waker(Waker::noop());
        (0..polls).any(|_| matches!(answer.as_mut().poll(&mut context), Poll::Ready(_)))
    };
    // Let detached tasks come to their end.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let policy = limiter.policy("default").unwrap();
    let subjects = policy.subjects_of(&Key::ip("192.0.2.1".parse().unwrap()));
    let decision = policy.check(&subjects, 0).await.unwrap();
    let charged = 100 - decision.quotas()[0].remaining();
    (charged, store.struck.load(Ordering::Relaxed), over)
}

#[actix_web::test]
async fn a_request_that_is_dropped_anywhere_settles_once() {
    let mut outcomes = Vec::new();
    for polls in 0..100 {
        let (charged, struck, over) = given_up_after(polls).await;
        outcomes.push((charged, struck));
        if over {
            break;
        }
    }
    // Dropped before it was charged, while the store answers, and ever after.
    outcomes.dedup();
    assert_eq!(outcomes, [(0, 0), (1, 0), (1, 1)]);
}

/// Sends a request, and tears the connection down while the handler runs.
async fn hang_up(address: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // Long enough for a panic that prints its backtrace.
    tokio::time::sleep(Duration::from_millis(500)).await;
    stream.set_zero_linger().unwrap();
}

async fn until_banned(limiter: &Limiter) {
    let (start, key) = (Instant::now(), Key::ip("127.0.0.1".parse().unwrap()));
    while limiter.banned("default", &key).await.unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "no ban");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(60)).await;
    "late"
}

async fn panics() -> &'static str {
    tokio::task::yield_now().await;
    panic!("the handler's own fault")
}

/// A store that answers at once, and one to wait for.
#[actix_web::test]
async fn actix_counts_a_client_that_hangs_up_and_a_handler_that_panics() {
    for (path, statuses) in [("/slow", [499]), ("/panics", [500])] {
        for slowness in [0, 3] {
            let store = SwitchableStore { slowness, ..SwitchableStore::default() };
            let limiter = limiter(store, 3, &statuses).await;
            let limit = RateLimit::new(limiter.policy("default").unwrap());
            let server = HttpServer::new(move || {
                let app = App::new().wrap(limit.clone());
                app.route("/slow", web::get().to(slow)).route("/panics", web::get().to(panics))
            });
            let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
            let address = server.addrs()[0];
            let running = server.run();
            let handle = running.handle();
            actix_web::rt::spawn(running);
            for _ in 0..3 {
                hang_up(address, path).await;
            }
            until_banned(&limiter).await;
            handle.stop(false).await;
        }
    }
}

#[rocket::get("/")]
async fn slowly_unauthorized(_limit: RateLimited) -> Status {
    tokio::time::sleep(Duration::from_millis(300)).await;
    Status::Unauthorized
}

/// Rocket sees a handler to its end, whoever has gone.
#[tokio::test(flavor = "multi_thread")]
async fn rocket_counts_what_a_client_that_hangs_up_would_have_been_told() {
    let limiter = limiter(SwitchableStore::default(), 3, &[401]).await;
    let (tell, told) = oneshot::channel();
    let config = rocket::Config::figment()
        .merge(("port", 0))
        .merge(("log_level", "off"))
        .merge(("shutdown.ctrlc", false));
    let tell = std::sync::Mutex::new(Some(tell));
    let rocket = rocket::custom(config)
        .attach(RateLimitFairing::new(limiter.clone()))
        .mount("/", routes![slowly_unauthorized])
        .attach(AdHoc::on_liftoff("Tell", move |rocket| {
            Box::pin(async move {
                let port = rocket.config().port;
                tell.lock().unwrap().take().map(|tell| tell.send((port, rocket.shutdown())));
            })
        }));
    let running = tokio::spawn(rocket.launch());
    let (port, shutdown) = told.await.unwrap();
    for _ in 0..3 {
        hang_up(([127, 0, 0, 1], port).into(), "/").await;
    }
    until_banned(&limiter).await;
    shutdown.notify();
    running.await.unwrap().unwrap();
}

#[rocket::get("/")]
async fn panics_in_rocket(_limit: RateLimited) -> Status {
    tokio::task::yield_now().await;
    panic!("the handler's own fault")
}

#[tokio::test]
async fn rocket_counts_a_handler_that_panics() {
    let limiter = limiter(SwitchableStore::default(), 3, &[500]).await;
    let config = rocket::Config { log_level: rocket::config::LogLevel::Off, ..Default::default() };
    let rocket = rocket::custom(config)
        .attach(RateLimitFairing::new(limiter))
        .mount("/", routes![panics_in_rocket]);
    let client = rocket::local::asynchronous::Client::untracked(rocket).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let request = client.get("/").remote("192.0.2.1:5000".parse().unwrap());
        statuses.push(request.dispatch().await.status().code);
    }
    assert_eq!(statuses, [500, 500, 500, 403]);
}
