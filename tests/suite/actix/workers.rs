//! Workers of a server: one limiter for all, and a limiter each.

use actix_web::{App, HttpServer, web};
use limiter_actix::{Limiter, RateLimit};

use super::specific::{hello, limiter};

#[actix_web::test]
async fn four_workers_share_one_count() {
    let limiter = limiter("50/hour").await;
    let api = RateLimit::new(limiter.policy("api").unwrap());
    let server =
        HttpServer::new(move || App::new().wrap(api.clone()).route("/", web::get().to(worker)))
            .workers(4)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
    let address = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);

    // Each connection is given to the next worker.
    let tasks: Vec<_> =
        (0..100).map(|_| tokio::task::spawn_blocking(move || fetch(address))).collect();
    let (mut admitted, mut workers) = (0, std::collections::BTreeSet::new());
    for task in tasks {
        let answer = task.await.unwrap();
        if answer.starts_with("HTTP/1.1 200 ") {
            admitted += 1;
            workers.insert(answer.rsplit("\r\n").next().map(str::to_owned));
        }
    }
    handle.stop(false).await;
    assert_eq!(admitted, 50);
    assert!(workers.len() > 1, "{workers:?}");
}

/// The thread that serves the request.
async fn worker() -> String {
    format!("{:?}", std::thread::current().id())
}

/// The head of the answer to a GET over a connection of its own.
fn fetch(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Starts a server of two workers with an application that a closure makes, and
/// returns the statuses of some requests, which go to both.
macro_rules! statuses_of_two_workers {
    ($app:expr) => {{
        let server = HttpServer::new($app).workers(2).disable_signals();
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let running = server.run();
        let handle = running.handle();
        actix_web::rt::spawn(running);
        let fetch = async || tokio::task::spawn_blocking(move || fetch(address)).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..10 {
            answers.push(fetch().await);
        }
        handle.stop(false).await;
        answers
    }};
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

/// A limiter that a worker builds for itself, be it on another thread, is found
/// once the second worker has a request, under actix-web's own runtime and under
/// a plain one.
#[actix_web::test]
async fn a_limiter_per_worker_is_refused() {
    build_per_worker().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limiter_per_worker_is_refused_under_tokio() {
    tokio::task::LocalSet::new().run_until(build_per_worker()).await;
}

async fn build_per_worker() {
    let given = statuses_of_two_workers!(|| {
        let limiter = std::thread::spawn(|| now(limiter("50/hour"))).join().unwrap();
        let api = RateLimit::new(limiter.policy("api").unwrap());
        App::new().wrap(api).route("/", web::get().to(hello))
    });
    let named = statuses_of_two_workers!(|| {
        let limit = RateLimit::named("api");
        App::new().app_data(now(limiter("50/hour"))).wrap(limit).route("/", web::get().to(hello))
    });
    for answers in [given, named] {
        let statuses: Vec<_> = answers.iter().map(|answer| status_of(answer)).collect();
        assert_eq!(statuses[0], "200", "{statuses:?}");
        assert_eq!(statuses[9], "500", "{statuses:?}");
        // In a build with debug assertions, the answer says why.
        let why = &answers[9];
        assert!(why.contains("build the limiter before HttpServer::new"), "{why}");
    }
}

/// Right programs that look like it: the limiter is built by whichever worker has
/// the first request, or another one is built by an administrator's handler.
#[actix_web::test]
async fn a_limiter_that_a_worker_builds_for_all_is_none_per_worker() {
    static LIMITER: std::sync::OnceLock<Limiter> = std::sync::OnceLock::new();
    let answers = statuses_of_two_workers!(|| {
        let limit = RateLimit::by(|_| {
            let _of_the_administrator = now(limiter("1/hour"));
            let limiter = LIMITER.get_or_init(|| now(limiter("5/hour")));
            limiter.policy("api").unwrap()
        });
        App::new().wrap(limit).route("/", web::get().to(hello))
    });
    let statuses: Vec<_> = answers.iter().map(|answer| status_of(answer)).collect();
    assert_eq!(statuses, [["200"; 5], ["429"; 5]].concat());
}

/// Servers that one function starts have a limiter each.
#[actix_web::test]
async fn two_servers_may_have_two_limiters() {
    async fn statuses(limiter: Limiter) -> Vec<String> {
        statuses_of_two_workers!(move || {
            let limit = RateLimit::new(limiter.policy("api").unwrap());
            App::new().wrap(limit).route("/", web::get().to(hello))
        })
    }
    let (first, second) = (limiter("5/hour").await, limiter("5/hour").await);
    let both = tokio::join!(statuses(first), statuses(second));
    for answers in [both.0, both.1] {
        let admitted = answers.iter().filter(|answer| status_of(answer) == "200").count();
        assert_eq!(admitted, 5, "{answers:?}");
    }
}

/// Runs a future that does not wait, where a runtime is running already.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::noop();
    match future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a limiter in memory is built without waiting"),
    }
}
