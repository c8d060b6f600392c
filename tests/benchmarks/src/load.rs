//! Asking something that answers later: alone, and with many in flight.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::yield_now};

use crate::rounds::median;

/// The number of checks in flight where nothing else is said.
pub(crate) const IN_FLIGHT: usize = 64;

/// So many keys that each check is of a new one.
pub(crate) const ALL_NEW: usize = 1 << 31;

/// The keys of the checks, and how many checks are in flight.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) keys: usize,
    pub(crate) in_flight: usize,
}

impl Load {
    pub(crate) const fn of(keys: usize) -> Self {
        Self { keys, in_flight: IN_FLIGHT }
    }
}

/// Returns a runtime of a worker for each core, or of so many.
pub(crate) fn runtime(workers: Option<usize>) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().expect("threads can be started")
}

/// Returns a runtime of one thread, as a worker of actix-web has.
pub(crate) fn of_one_thread() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("it needs no thread")
}

/// Answers a second.
pub(crate) async fn throughput<A: Future<Output = ()> + Send + 'static>(
    time: Duration,
    Load { keys, in_flight }: Load,
    ask: impl Fn(usize) -> A + Clone + Send + 'static,
) -> f64 {
    // Another walk each time, so that keys that are new stay so.
    static WALKS: AtomicU64 = AtomicU64::new(0);
    let walk = WALKS.fetch_add(1, Ordering::Relaxed) << 32;
    let start = Instant::now();
    let tasks = (0..in_flight).map(|task| {
        let ask = ask.clone();
        tokio::spawn(async move {
            let (mut count, mut key) = (0_usize, walk + task as u64);
            while start.elapsed() < time {
                // A walk that looks random.
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

/// The same of two things, each asked after the other, so that none finds the processor
/// awake more often.
pub(crate) async fn alone_in_turn<A: Future<Output = ()>, B: Future<Output = ()>>(
    time: Duration,
    one: impl Fn(usize) -> A,
    other: impl Fn(usize) -> B,
) -> [f64; 2] {
    let mut waits = [Vec::new(), Vec::new()];
    let start = Instant::now();
    while start.elapsed() < time {
        let key = waits[0].len() % 100;
        let sent = Instant::now();
        one(key).await;
        let between = Instant::now();
        other(key).await;
        waits[0].push((between - sent).as_nanos() as f64 / 1e3);
        waits[1].push(between.elapsed().as_nanos() as f64 / 1e3);
    }
    waits.map(median)
}
