//! What a check costs on each database, on this machine: alone (beside it, turn
//! by turn, a call of a script that does nothing), with 64 in
//! flight over ten thousand keys, and with 64 in flight on one.
//!
//! `cargo bench -p limiter-tests`, or of some of them:
//! `cargo bench -p limiter-tests --bench stores -- redis redis-cluster`

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
mod servers;

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use limiter_core::{BanRule, Key, Limiter, Policy, PolicySet, Quota, SharedStore};

const IN_FLIGHT: usize = 64;

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads can be started").block_on(async {
        println!("| store | alone, median | an empty script | 64 in flight, 10,000 keys | 64 in flight, one key |");
        println!("|---|---|---|---|---|");
        let file = servers::kept_folder("bench").join("limits");
        let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let stores: [(&str, &dyn Fn() -> String); 5] = [
            ("redis", &|| servers::redis_url().to_owned()),
            ("redis-cluster", &|| servers::cluster_url().to_owned()),
            ("postgres", &|| servers::postgres_url().to_owned()),
            ("mysql", &|| servers::mysql_url().to_owned()),
            ("sqlite", &|| format!("sqlite://{}", file.display())),
        ];
        for (name, url) in stores {
            if !asked.is_empty() && !asked.iter().any(|word| word == name) {
                continue;
            }
            let url = url();
            let api = policy(&url).await;
            let mut empty = match name {
                "redis" => Some(connect(&url).await),
                _ => None,
            };
            let (alone, empty) = alone(&api, empty.as_mut()).await;
            let many = throughput(&api, 10_000).await;
            let one = throughput(&api, 1).await;
            println!("| {name} | {alone} us | {empty} us | {many} /s | {one} /s |");
        }
    });
}

/// One quota by `gcra` with a ban rule, which is never reached.
async fn policy(url: &str) -> PolicySet {
    let store =
        SharedStore::builder(url).prefix("bench").deadline(Duration::from_secs(10)).pool_size(2);
    let store = store.connect().await.expect("the server was started");
    let quota = Quota::per_hour(1_000_000_000).expect("it is one");
    let hour = Duration::from_secs(3_600);
    let rule = BanRule::new(10, hour, hour).expect("it is one");
    let policy = Policy::new("api", quota).expect("it is one").with_ban(rule);
    let limiter = Limiter::builder().store(store).policy(policy).build().await;
    limiter.expect("they fit").policy("api").expect("it is there")
}

async fn ask(api: &PolicySet, key: u64) {
    let subjects = api.subjects_of(&Key::user(&key.to_string()));
    let decision = api.check(&subjects, 1).await.expect("the store answers");
    assert!(decision.is_allowed() && !decision.quotas().is_empty());
}

async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("the URL is one");
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(TIME));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.expect("the server was started")
}

async fn call_nothing(connection: &mut MultiplexedConnection, key: u64) {
    let script = redis::Script::new("return 1");
    let mut call = script.key(format!("bench:{{user={key}}}:c0123456789abcdef"));
    call.key(format!("bench:{{user={key}}}:s0123456789abcdef"));
    call.key(format!("bench:{{user={key}}}:b0123456789abcdef"));
    let () = call.invoke_async(connection).await.expect("the server answers");
}

/// The medians of a check and of a call of an empty script, in microseconds.
async fn alone(api: &PolicySet, mut other: Option<&mut MultiplexedConnection>) -> (u128, u128) {
    let (mut waits, mut others) = (Vec::new(), Vec::new());
    let start = Instant::now();
    while start.elapsed() < TIME {
        let key = waits.len() as u64 % 100;
        let sent = Instant::now();
        ask(api, key).await;
        waits.push(sent.elapsed());
        if let Some(other) = &mut other {
            let sent = Instant::now();
            call_nothing(other, key).await;
            others.push(sent.elapsed());
        }
    }
    (median(waits), median(others))
}

fn median(mut waits: Vec<Duration>) -> u128 {
    waits.sort();
    waits.get(waits.len() / 2).map_or(0, Duration::as_micros)
}

/// Checks a second.
async fn throughput(api: &PolicySet, keys: u64) -> u64 {
    let start = Instant::now();
    let tasks = (0..IN_FLIGHT as u64).map(|task| {
        let api = api.clone();
        tokio::spawn(async move {
            let (mut count, mut key) = (0, task);
            while start.elapsed() < TIME {
                // A walk that looks random and is the same each time.
                key = key
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ask(&api, (key >> 33) % keys).await;
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
