//! Clients that reset their TCP connection while the handler runs.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use limiter_actix::RateLimit;
use limiter_core::{Limiter, MemoryStore, Policy};
use limiter_rocket::{RateLimitFairing, RateLimited, policy};
use rocket::{Shutdown, State, fairing::AdHoc, http::Status, post, routes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::limiter;

const RESETS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);

policy!(Login = "login");

/// The outcome of all resets.
#[derive(Debug, Default, Eq, PartialEq)]
struct Outcome {
    /// Requests that had reached the handler when their connection was reset.
    handled: usize,
    /// Requests that were answered with 429 before.
    limited: usize,
}

/// Sends requests one after the other and resets the connection of each that reaches the
/// handler. Where it is given back, the next one waits for that.
async fn reset(
    address: SocketAddr,
    handled: &AtomicU64,
    limiter: &Limiter,
    is_given_back: bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..RESETS {
        let before = handled.load(Ordering::SeqCst);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut status = [0; 12];
        tokio::select! {
            read = stream.read_exact(&mut status) => {
                read.unwrap();
                assert_eq!(&status, b"HTTP/1.1 429");
                outcome.limited += 1;
            }
            () = until(async || handled.load(Ordering::SeqCst) > before) => {
                // The kernel sends RST in place of FIN.
                stream.set_zero_linger().unwrap();
                drop(stream);
                outcome.handled += 1;
            }
        }
        if is_given_back {
            until(async || left(limiter).await == 5).await;
        }
    }
    outcome
}

async fn until(condition: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "it does not come about");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Units that the client of these tests has left.
async fn left(limiter: &Limiter) -> u64 {
    let policies = limiter.policy("login").unwrap();
    let subjects = policies.subjects_of(&limiter.ip_key([127, 0, 0, 1].into()));
    policies.check(&subjects, 0).await.unwrap().quotas()[0].remaining()
}

async fn login(handled: web::Data<AtomicU64>) -> HttpResponse {
    handled.fetch_add(1, Ordering::SeqCst);
    sleep(10 * PATIENCE).await;
    HttpResponse::Ok().finish()
}

async fn reset_actix(policy: Policy, is_given_back: bool) -> Outcome {
    let limiter = limiter(MemoryStore::new(), policy).await;
    let handled = web::Data::new(AtomicU64::new(0));
    let (data, limit) = (handled.clone(), RateLimit::new(limiter.policy("login").unwrap()));
    let server = HttpServer::new(move || {
        App::new().app_data(data.clone()).wrap(limit.clone()).route("/", web::post().to(login))
    });
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    let outcome = reset(address, &handled, &limiter, is_given_back).await;
    handle.stop(false).await;
    outcome
}

#[actix_web::test]
async fn actix_charges_as_many_resets_as_may_be() {
    let policy = || Policy::new("login", "5/day").unwrap();
    let counted = policy().with_count_only([401]).unwrap();
    let charged = Outcome { handled: 5, limited: RESETS - 5 };
    assert_eq!(reset_actix(counted, false).await, charged);
    // The server has noticed them: named, they are given back.
    let named = policy().with_refund([499]).unwrap();
    assert_eq!(reset_actix(named, true).await, Outcome { handled: RESETS, limited: 0 });
}

#[post("/")]
async fn login_in_rocket(
    _limit: RateLimited<Login>,
    handled: &State<Arc<AtomicU64>>,
    status: &State<Status>,
) -> Status {
    handled.fetch_add(1, Ordering::SeqCst);
    sleep(Duration::from_millis(50)).await;
    **status
}

/// Returns the port of a server, and what stops it, once it is up.
async fn launch(limiter: &Limiter, handled: &Arc<AtomicU64>, status: Status) -> (u16, Shutdown) {
    let (sender, receiver) = oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let config = rocket::Config::figment()
        .merge(("port", 0))
        .merge(("log_level", "off"))
        .merge(("shutdown.ctrlc", false));
    let rocket = rocket::custom(config)
        .attach(RateLimitFairing::new(limiter.clone()))
        .manage(Arc::clone(handled))
        .manage(status)
        .mount("/", routes![login_in_rocket])
        .attach(AdHoc::on_liftoff("port", move |rocket| {
            Box::pin(async move {
                let sender = sender.lock().unwrap().take().unwrap();
                sender.send((rocket.config().port, rocket.shutdown())).ok();
            })
        }));
    tokio::spawn(rocket.launch());
    timeout(PATIENCE, receiver).await.unwrap().unwrap()
}

async fn reset_rocket(status: Status, is_given_back: bool) -> Outcome {
    let policy = Policy::new("login", "5/day").unwrap().with_count_only([401]).unwrap();
    let limiter = limiter(MemoryStore::new(), policy).await;
    let handled = Arc::new(AtomicU64::new(0));
    let (port, shutdown) = launch(&limiter, &handled, status).await;
    let address = ([127, 0, 0, 1], port).into();
    let outcome = reset(address, &handled, &limiter, is_given_back).await;
    shutdown.notify();
    outcome
}

/// A handler of Rocket runs to its end, and its status counts.
#[tokio::test(flavor = "multi_thread")]
async fn rocket_charges_as_many_resets_as_may_be() {
    let charged = Outcome { handled: 5, limited: RESETS - 5 };
    assert_eq!(reset_rocket(Status::Unauthorized, false).await, charged);
    let given_back = Outcome { handled: RESETS, limited: 0 };
    assert_eq!(reset_rocket(Status::Ok, true).await, given_back);
}
