//! A real server that goes away between a check and its settlement.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use limiter_core::{Health, Limiter, OnStoreError, Policy, RemoteStore};
use sqlx::{Connection, PgConnection, Row, raw_sql};

use super::{admit, left, limiter};
use crate::{
    databases::{on_databases, unique},
    real_servers::{Mode, Proxy},
    servers::{start_postgres, start_redis},
};

const TIMEOUT: Duration = Duration::from_millis(300);

/// How much longer a call may take on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

on_databases! { [redis_url postgres_url mysql_url] a_settlement_that_cannot_be_sent_is_lost }
on_databases! { [redis_url postgres_url mysql_url] a_settlement_that_is_not_answered_is_lost }

async fn limiter_on(url: &str) -> Limiter {
    let store = RemoteStore::builder(url).prefix(&unique("stopped")).timeout(TIMEOUT).pool_size(2);
    let policy = Policy::new("api", "9/day").unwrap().with_refund(["5xx"]).unwrap();
    let policy = policy.with_on_store_error(OnStoreError::Deny);
    limiter(store.connect().await.unwrap(), policy).await
}

/// Admits a request, settles it while the server is away, and settles it again once the
/// server is back. Returns what is left of nine units then, of which it was charged two.
async fn lose(limiter: &Limiter, stop: impl AsyncFnOnce(), resume: impl AsyncFnOnce()) -> u64 {
    let api = limiter.policy("api").unwrap();
    // On a busy machine the first check may be late.
    let permit = loop {
        if let Some(permit) = admit(&api, 2).await {
            break permit;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let before = left(&api).await;
    stop().await;
    let start = Instant::now();
    permit.record_response(500).await;
    assert!(start.elapsed() < TIMEOUT + SLACK, "{:?}", start.elapsed());
    assert_eq!(limiter.stats().lost_settlements, 1);
    resume().await;
    let start = Instant::now();
    let after = loop {
        let subjects = api.subjects_of(&limiter.ip_key([192, 0, 2, 1].into()));
        if limiter.health() == Health::Healthy
            && let Ok(decision) = api.check(&subjects, 0).await
        {
            break decision.quotas()[0].remaining();
        }
        assert!(start.elapsed() < 4 * SLACK, "{:?}", limiter.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    permit.record_response(500).await;
    permit.charge_to(0).await;
    assert_eq!(limiter.stats().lost_settlements, 1);
    assert!((before..=before + 2).contains(&after), "{before}, then {after}");
    left(&api).await
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// The server has no connection when it is to be settled.
fn a_settlement_that_cannot_be_sent_is_lost(url: &str) {
    block_on(async {
        let proxy = Proxy::start(url);
        let limiter = limiter_on(&proxy.url(url)).await;
        let left = lose(&limiter, async || proxy.refuse(), async || proxy.accept()).await;
        assert_eq!(left, 7, "the charge stands");
    });
}

/// The server does not get what is sent.
fn a_settlement_that_is_not_answered_is_lost(url: &str) {
    block_on(async {
        let proxy = Proxy::start(url);
        let limiter = limiter_on(&proxy.url(url)).await;
        let hang = async || proxy.set(Mode::Hang);
        let left = lose(&limiter, hang, async || proxy.set(Mode::Permit)).await;
        assert_eq!(left, 7, "the charge stands");
    });
}

/// Processes that are stopped until this is dropped.
struct Stopped(Vec<String>);

impl Stopped {
    fn new(pids: Vec<String>) -> Self {
        assert!(!pids.is_empty());
        let stopped = Self(pids);
        stopped.signal("-STOP");
        stopped
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).args(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "{signal} {:?}", self.0);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

/// Settles while these processes are stopped, which may do what they were sent once they
/// go on: given back once, or not at all.
async fn assert_settled_once_at_most(limiter: &Limiter, pids: impl AsyncFnOnce() -> Vec<String>) {
    let stopped = std::cell::RefCell::new(None);
    let stop = async || {
        let pids = pids().await;
        stopped.replace(Some(Stopped::new(pids)));
    };
    let resume = async || drop(stopped.take());
    let left = lose(limiter, stop, resume).await;
    assert!(left == 7 || left == 9, "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_stops_before_a_settlement() {
    let url = start_redis();
    let limiter = limiter_on(&url).await;
    assert_settled_once_at_most(&limiter, async || {
        let client = redis::Client::open(url.as_str()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let info: redis::InfoDict = redis::cmd("INFO").query(&mut connection).unwrap();
        vec![info.get::<u32>("process_id").unwrap().to_string()]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_of_postgres_stop_before_a_settlement() {
    let (url, _) = start_postgres(&[]);
    let limiter = limiter_on(&url).await;
    assert_settled_once_at_most(&limiter, async || {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let sql = "SELECT pid::text FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let rows = raw_sql(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    })
    .await;
}
