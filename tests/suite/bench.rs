//! What a check costs on each database, on this machine: alone, with 64 in
//! flight over ten thousand keys, and with 64 in flight on one.
//!
//! `cargo bench -p limiter-tests`

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
mod servers;

use std::time::{Duration, Instant};

use limiter_core::{BanRule, Key, Limiter, Policy, Quota, SharedStore};

const IN_FLIGHT: usize = 64;

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads can be started").block_on(async {
        println!("| store | alone, median | 64 in flight, 10,000 keys | 64 in flight, one key |");
        println!("|---|---|---|---|");
        let file = servers::kept_folder("bench").join("limits");
        let urls = [
            servers::redis_url().to_owned(),
            servers::cluster_url().to_owned(),
            servers::postgres_url().to_owned(),
            servers::mysql_url().to_owned(),
            format!("sqlite://{}", file.display()),
        ];
        for url in urls {
            let limiter = limiter(&url).await;
            let alone = alone(&limiter).await;
            let many = throughput(&limiter, 10_000).await;
            let one = throughput(&limiter, 1).await;
            let name = url.split("://").next().unwrap_or_default();
            println!("| {name} | {} us | {many} /s | {one} /s |", alone.as_micros());
        }
    });
}

/// One quota by `gcra` with a ban rule, which is never reached.
async fn limiter(url: &str) -> Limiter {
    let store =
        SharedStore::builder(url).prefix("bench").deadline(Duration::from_secs(10)).pool_size(2);
    let store = store.connect().await.expect("the server was started");
    let quota = Quota::per_hour(1_000_000_000).expect("it is one");
    let hour = Duration::from_secs(3_600);
    let rule = BanRule::new(10, hour, hour).expect("it is one");
    let policy = Policy::new("api", quota).expect("it is one").with_ban(rule);
    Limiter::builder().store(store).policy(policy).build().await.expect("they fit")
}

async fn ask(limiter: &Limiter, key: u64) {
    let api = limiter.policy("api").expect("it is there");
    let subjects = api.subjects_of(&Key::user(&key.to_string()));
    let decision = api.check(&subjects, 1).await.expect("the store answers");
    assert!(decision.is_allowed() && !decision.quotas().is_empty());
}

async fn alone(limiter: &Limiter) -> Duration {
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < TIME {
        let sent = Instant::now();
        ask(limiter, waits.len() as u64 % 100).await;
        waits.push(sent.elapsed());
    }
    waits.sort();
    waits[waits.len() / 2]
}

/// Checks a second.
async fn throughput(limiter: &Limiter, keys: u64) -> u64 {
    let start = Instant::now();
    let tasks = (0..IN_FLIGHT as u64).map(|task| {
        let limiter = limiter.clone();
        tokio::spawn(async move {
            let (mut count, mut key) = (0, task);
            while start.elapsed() < TIME {
                // A walk that looks random and is the same each time.
                key = key
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ask(&limiter, (key >> 33) % keys).await;
                count += 1;
            }
            count
        })
    });
    let mut count: u64 = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await.expect("no task panics");
    }
    count * 1_000 / u64::try_from(start.elapsed().as_millis()).unwrap_or(1).max(1)
}
