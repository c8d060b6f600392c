//! The batcher in front of a server that keeps one counter a client, and that is slow,
//! or fails, when set so.

#[cfg(feature = "redis")]
mod inline_calls;
mod moving_deadlines;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_core::future::BoxFuture;

use super::*;
use crate::{
    State, Subject, Timestamp,
    decide::{Change, Usage},
    key::Key,
    policy::Policy,
    store::{
        circuit_breaker::{BreakerSettings, CircuitBreaker},
        remote::{
            backend::{NamedItem, StoredState, outcome},
            operation::Operation,
        },
    },
};

/// Long, since the machine may be busy: no request is to miss its deadline for that.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Decides by the pure functions, each entry as often as it says.
#[derive(Default)]
struct Server {
    counters: Mutex<HashMap<String, Option<State>>>,
    latency: AtomicU64,
    fails: AtomicBool,
    calls: AtomicUsize,
    entries: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl Server {
    fn decide(&self, entry: &BatchEntry) -> Reply {
        let mut counters = self.counters.lock().unwrap();
        let request = &entry.request;
        let counter = counters.entry(request.items[0].client.clone()).or_default();
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let stored = |state| StoredState {
            now,
            states: std::iter::once(state).collect(),
            ..StoredState::default()
        };
        let before = Reply { now, kept: vec![stored(counter.clone())] };
        let Operation::Decide(cost) = request.operation else { return before };
        for _ in 0..entry.times {
            let outcome = outcome(request.items.iter(), &[stored(counter.clone())], cost, now);
            if let Change::Charged(usages) = &outcome.changes[0] {
                *counter = usages.first().and_then(Usage::state);
            }
        }
        before
    }
}

impl BatchExecutor for Arc<Server> {
    fn limits(&self) -> BatchLimits {
        BatchLimits {
            entries: 8,
            in_shares: false,
            quotas: 64,
            times: 100_000,
            min_in_flight: 2,
            max_in_flight: 16,
            max_in_flight_slow: 16,
        }
    }

    fn is_batchable(&self, _: &StoreRequest) -> bool {
        true
    }

    fn execute<'a>(
        &'a self,
        batch: &'a [BatchEntry],
    ) -> BoxFuture<'a, Result<Vec<Reply>, StoreError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.entries.fetch_add(batch.len(), Ordering::Relaxed);
            let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_in_flight.fetch_max(now, Ordering::Relaxed);
            let latency = Duration::from_millis(self.latency.load(Ordering::Relaxed));
            tokio::time::sleep(latency).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            if self.fails.load(Ordering::Relaxed) {
                return Err(StoreError::not_applied("switched off"));
            }
            Ok(batch.iter().map(|entry| self.decide(entry)).collect())
        })
    }

    fn retries(&self) -> u64 {
        0
    }
}

/// A batcher, and its server, whose calls take that many milliseconds.
fn start(latency: u64) -> (Arc<Batcher<Arc<Server>>>, Arc<Server>) {
    let server = Arc::new(Server::default());
    server.latency.store(latency, Ordering::Relaxed);
    (Arc::new(batcher(&server, TIMEOUT)), server)
}

fn batcher(server: &Arc<Server>, timeout: Duration) -> Batcher<Arc<Server>> {
    let breaker = CircuitBreaker::new("test", &BreakerSettings::new(timeout));
    Batcher::new(Arc::clone(server), breaker, timeout)
}

fn policy() -> Policy {
    Policy::new("api", "20/hour".parse::<crate::Quota>().unwrap()).unwrap()
}

fn request(policy: &Policy, client: &str, cost: u64) -> StoreRequest {
    let subject = Subject::new(Key::user(client));
    let item = NamedItem { policy: policy.clone(), subject, client: client.to_owned() };
    StoreRequest::new(Operation::Decide(cost), vec![item], None, Instant::now() + TIMEOUT)
}

fn is_admitted(request: &StoreRequest, reply: &Reply) -> bool {
    let Operation::Decide(cost) = request.operation else { return false };
    outcome(request.items.iter(), &reply.kept, cost, reply.now).decision.is_allowed()
}

/// Sends one check for a client, and returns whether it was admitted.
async fn check(
    batcher: &Batcher<Arc<Server>>,
    policy: &Policy,
    client: &str,
) -> Result<bool, StoreError> {
    let request = request(policy, client, 1);
    let reply = batcher.run(request.clone()).await?;
    Ok(is_admitted(&request, &reply))
}

#[tokio::test]
async fn a_storm_on_one_client_takes_a_few_entries_and_admits_the_limit() {
    let (batcher, server) = start(5);
    let policy = policy();
    let tasks: Vec<_> = (0..10_000)
        .map(|_| {
            let (batcher, policy) = (Arc::clone(&batcher), policy.clone());
            tokio::spawn(async move { check(&batcher, &policy, "mallory").await })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += u32::from(task.await.unwrap().unwrap());
    }
    assert_eq!(admitted, 20);
    assert!(server.entries.load(Ordering::Relaxed) <= 6, "{:?}", server.entries);
}

#[tokio::test]
async fn a_busy_client_delays_another_by_a_round_trip() {
    let (batcher, _server) = start(20);
    let policy = policy();
    let mut storm = Vec::new();
    // The costs differ, so that the checks cannot be folded.
    for cost in 1..=200 {
        let (batcher, request) = (Arc::clone(&batcher), request(&policy, "mallory", cost));
        storm.push(tokio::spawn(async move { batcher.run(request).await }));
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let start = Instant::now();
    assert!(check(&batcher, &policy, "alice").await.unwrap());
    // In turn behind all of them it would be after 25 round trips.
    assert!(start.elapsed() < Duration::from_millis(10 * 20), "{:?}", start.elapsed());
    storm.into_iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn a_full_queue_refuses_the_newest_of_the_busiest() {
    let (batcher, server) = start(60);
    let policy = policy();
    let mut tasks = Vec::new();
    for number in 0..20_000 {
        let client = if number % 200 == 0 { format!("honest-{number}") } else { "busy".to_owned() };
        let (batcher, policy) = (Arc::clone(&batcher), policy.clone());
        tasks.push(tokio::spawn(async move {
            let result = check(&batcher, &policy, &client).await;
            (client, result)
        }));
    }
    let (mut admitted, mut overloaded) = (0, 0);
    for task in tasks {
        let (client, result) = task.await.unwrap();
        match result {
            Ok(is_admitted) if client == "busy" => admitted += u32::from(is_admitted),
            Ok(is_admitted) => assert!(is_admitted, "{client}"),
            Err(error) => {
                assert!(error.is_overload() && client == "busy", "{client}: {error}");
                overloaded += 1;
            }
        }
    }
    assert_eq!(admitted, 20);
    assert!(overloaded > 3_000, "{overloaded}");
    assert!(batcher.breaker().check().is_ok() && !server.fails.load(Ordering::Relaxed));
}

#[tokio::test]
async fn dropped_requests_take_no_batch_with_them() {
    let (batcher, _server) = start(20);
    let policy = policy();
    let mut tasks = Vec::new();
    for number in 0..200 {
        let (batcher, policy) = (Arc::clone(&batcher), policy.clone());
        let client = format!("client-{}", number / 2);
        tasks.push(tokio::spawn(async move { check(&batcher, &policy, &client).await }));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    for (at, task) in tasks.into_iter().enumerate() {
        if at % 2 == 0 {
            task.abort();
        } else {
            assert!(task.await.unwrap().unwrap());
        }
    }
    assert!(check(&batcher, &policy, "last").await.unwrap());
}

#[tokio::test]
async fn what_waits_is_told_when_the_breaker_opens() {
    let (batcher, server) = start(5);
    let policy = policy();
    server.fails.store(true, Ordering::Relaxed);
    let tasks: Vec<_> = (0..500)
        .map(|number| {
            let (batcher, policy) = (Arc::clone(&batcher), policy.clone());
            tokio::spawn(async move { check(&batcher, &policy, &format!("client-{number}")).await })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert!(error.is_not_applied() && !error.is_overload(), "{error}");
    }
    assert!(server.calls.load(Ordering::Relaxed) <= 10, "{:?}", server.calls);
    assert!(batcher.breaker().check().is_err());
}

#[tokio::test]
async fn a_slow_server_is_sent_more_at_a_time() {
    let (batcher, server) = start(50);
    let policy = policy();
    let mut tasks = Vec::new();
    for number in 0..600 {
        let (batcher, policy) = (Arc::clone(&batcher), policy.clone());
        tasks.push(tokio::spawn(async move {
            check(&batcher, &policy, &format!("client-{number}")).await
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for task in tasks {
        assert!(task.await.unwrap().unwrap());
    }
    assert!(server.most_in_flight.load(Ordering::Relaxed) > 4, "{:?}", server.most_in_flight);
    assert!(batcher.breaker().check().is_ok());
}
