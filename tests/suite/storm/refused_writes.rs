//! A server that answers but refuses to write: one outage, however often it is probed
//! and asked.

use std::time::{Duration, Instant};

use limiter_core::{Error, Health, Key, Limiter, Policy, Quota, RemoteStore};
use redis::{Client, cmd};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tokio::time::sleep;

use super::{Form, WAYS};
use crate::{
    databases::unique,
    servers::{start_postgres, start_redis},
};

/// How long it may take until the store is in use again, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

async fn limiter(url: &str, prefix: &str) -> Limiter {
    let store = RemoteStore::builder(url).prefix(prefix).timeout(Duration::from_secs(1));
    let mut builder = Limiter::builder().store(store.connect().await.unwrap());
    for (name, way) in WAYS {
        let policy = Policy::new(name, Quota::per_hour(20).unwrap()).unwrap();
        builder = builder.policy(policy.with_on_store_error(way));
    }
    builder.build().await.unwrap()
}

/// Asks for new clients all the time; returns how often the health changed.
async fn changes_of_health(limiter: &Limiter) -> u32 {
    let time = Duration::from_secs(if Form::from_environment() == Form::Long { 60 } else { 5 });
    let (start, mut changes, mut was_healthy, mut client) = (Instant::now(), 0, true, 0);
    while start.elapsed() < time {
        for (name, _) in WAYS {
            client += 1;
            let policy = limiter.policy(name).unwrap();
            let subjects = policy.subjects_of(&Key::user(&format!("user-{client}")));
            match policy.check(&subjects, 1).await {
                Ok(_) | Err(Error::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let is_healthy = limiter.health() == Health::Healthy;
        changes += u32::from(is_healthy != was_healthy);
        was_healthy = is_healthy;
        sleep(Duration::from_millis(5)).await;
    }
    changes
}

/// The outage lasts as long as writes are refused, and ends by itself.
async fn is_one_outage(limiter: &Limiter, words: &str, permit: impl AsyncFnOnce()) {
    let changes = changes_of_health(limiter).await;
    let health = limiter.health();
    assert_eq!(changes, 1, "{health:?}");
    assert!(
        matches!(&health, Health::Degraded { reason, .. } if reason.contains(words)),
        "{health:?}"
    );
    permit().await;
    let back = Instant::now();
    while limiter.health() != Health::Healthy {
        assert!(back.elapsed() < SOON, "{:?}", limiter.health());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn redis_is_full() {
    let url = start_redis();
    let limiter = limiter(&url, &unique("full")).await;
    let set = |bytes: &str| {
        let mut server = Client::open(url.as_str()).unwrap().get_connection().unwrap();
        let () = cmd("CONFIG").arg(&["SET", "maxmemory", bytes]).query(&mut server).unwrap();
    };
    set("1");
    is_one_outage(&limiter, "OOM", async || set("0")).await;
}

#[tokio::test]
async fn postgres_has_revoked_insert() {
    let (owner, _) = start_postgres(&[]);
    let role = owner.replace("limiter:hunter2@", "application@");
    let mut connection = PgConnection::connect(&owner).await.unwrap();
    let mut execute = async |sql: &str| {
        raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    };
    execute(&RemoteStore::builder(&owner).prefix("revoked").schema().unwrap()).await;
    execute(
        "CREATE ROLE application LOGIN; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO application",
    )
    .await;
    let limiter = limiter(&role, "revoked").await;
    execute("REVOKE INSERT ON ALL TABLES IN SCHEMA public FROM application").await;
    is_one_outage(&limiter, "permission denied", async || {
        execute("GRANT INSERT ON ALL TABLES IN SCHEMA public TO application").await;
    })
    .await;
}
