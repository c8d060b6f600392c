//! Asking something that answers later: alone, and with many in flight.

use std::time::{Duration, Instant};

use tokio::{runtime::Runtime, task::yield_now};

use crate::rounds::median;

pub(crate) const IN_FLIGHT: usize = 64;

pub(crate) fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads can be started")
}

/// Answers a second with many in flight, over so many keys.
pub(crate) async fn throughput<A: Future<Output = ()> + Send + 'static>(
    time: Duration,
    keys: usize,
    ask: impl Fn(usize) -> A + Clone + Send + 'static,
) -> f64 {
    let start = Instant::now();
    let tasks = (0..IN_FLIGHT).map(|task| {
        let ask = ask.clone();
        tokio::spawn(async move {
            let (mut count, mut key) = (0_usize, task as u64);
            while start.elapsed() < time {
                // A walk that looks random and is the same each time.
                key = key
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ask((key >> 33) as usize % keys).await;
                count += 1;
                // A check that is answered at once leaves room for one that is not.
                if count.is_multiple_of(IN_FLIGHT) {
                    yield_now().await;
                }
            }
            count
        })
    });
    let mut count = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await.expect("no task panics");
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// Microseconds until an answer, one asked after the other; the median.
pub(crate) async fn alone<A: Future<Output = ()>>(time: Duration, ask: impl Fn(usize) -> A) -> f64 {
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let sent = Instant::now();
        ask(waits.len() % 100).await;
        waits.push(sent.elapsed().as_nanos() as f64 / 1e3);
    }
    median(waits)
}
