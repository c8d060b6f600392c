//! Requests that are sent by their own tasks, on the runtime of those who ask.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_core::future::BoxFuture;
use tokio::time::sleep;

use super::{Batcher, Server, TIMEOUT, check, policy, request};
use crate::store::circuit_breaker::{BreakerSettings, CircuitBreaker};

/// A batcher of the runtime of those who ask, and its server, whose calls take that many
/// milliseconds.
fn start(latency: u64) -> (Batcher<Arc<Server>>, Arc<Server>) {
    let server = Arc::new(Server::default());
    server.latency.store(latency, Ordering::Relaxed);
    let breaker = CircuitBreaker::new("test", &BreakerSettings::new(TIMEOUT));
    (Batcher::on_other_runtime(Arc::clone(&server), breaker, TIMEOUT, true), server)
}

/// Polls a future once, and expects it to wait.
async fn begin<T>(future: &mut BoxFuture<'_, T>) {
    let waits = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    assert!(waits.is_pending());
}

/// Waits until the server has no call in flight, and the batcher no client.
async fn settled(batcher: &Batcher<Arc<Server>>, server: &Server) {
    while server.in_flight.load(Ordering::Relaxed) > 0 || batcher.0.state().inline_calls > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_request_alone_is_sent_by_its_own_task() {
    let (batcher, server) = start(1);
    let (policy, has_worker) = (policy(), AtomicBool::new(false));
    let mut call = pin!(check(&batcher, &policy, "alice"));
    let answer = std::future::poll_fn(|context| {
        has_worker.fetch_or(batcher.0.state().workers > 0, Ordering::Relaxed);
        call.as_mut().poll(context)
    });
    assert!(answer.await.unwrap());
    assert_eq!((has_worker.into_inner(), server.calls.load(Ordering::Relaxed)), (false, 1));
    assert!(!batcher.has_client_of(&request(&policy, "alice", 1)));
}

#[tokio::test]
async fn the_call_of_a_dropped_request_goes_on() {
    let (batcher, server) = start(20);
    let policy = policy();
    let mut call: BoxFuture<'_, _> = Box::pin(check(&batcher, &policy, "alice"));
    begin(&mut call).await;
    drop(call);
    // Behind it, since the client is still in flight.
    assert!(check(&batcher, &policy, "alice").await.unwrap());
    settled(&batcher, &server).await;
    assert_eq!(server.most_in_flight.load(Ordering::Relaxed), 1);
    assert_eq!(server.entries.load(Ordering::Relaxed), 2, "both were charged");
}

#[tokio::test]
async fn a_request_that_is_not_polled_holds_up_no_other() {
    let (batcher, server) = start(1);
    let policy = policy();
    let clients: Vec<String> = (0..8).map(|number| format!("asleep-{number}")).collect();
    let mut asleep: Vec<BoxFuture<'_, _>> = Vec::new();
    for client in &clients {
        asleep.push(Box::pin(check(&batcher, &policy, client)));
        begin(asleep.last_mut().unwrap()).await;
    }
    assert!(batcher.0.state().inline_calls > 0);
    for client in ["alice", "bob", "carol"] {
        assert!(check(&batcher, &policy, client).await.unwrap());
    }
    for call in asleep {
        assert!(call.await.unwrap());
    }
    settled(&batcher, &server).await;
}

/// The task that asks does something else first, for longer than a call may take.
#[tokio::test]
async fn an_answer_that_is_read_late_says_nothing_about_the_server() {
    let (policy, timeout) = (policy(), Duration::from_millis(100));
    let breaker = CircuitBreaker::new("test", &BreakerSettings::new(timeout));
    let server = Arc::new(Server::default());
    let batcher = Batcher::on_other_runtime(server, breaker, timeout, true);
    for client in ["alice", "bob"] {
        let mut call: BoxFuture<'_, _> = Box::pin(check(&batcher, &policy, client));
        begin(&mut call).await;
        assert_eq!(batcher.0.state().inline_calls, 1);
        sleep(2 * timeout).await;
        assert!(call.await.unwrap());
        assert!(batcher.has_lagged_within(Duration::from_secs(1)));
    }
    assert!(batcher.breaker().is_calm());
}
