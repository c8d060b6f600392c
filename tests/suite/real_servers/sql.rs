//! Faults of SQL databases themselves.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use limiter_core::{Key, Limiter, OnStoreError, Policy, Quota, RemoteStore};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, Row, raw_sql};

use super::{DEADLINE, Drill, SLACK};
use crate::{
    databases::{mysql_url, sqlite_url, unique},
    servers::start_postgres,
};

const SOON: Duration = Duration::from_secs(10);

/// Time enough to try a step again and again on a busy machine: it is not the machine
/// that is tested.
const UNHURRIED: Duration = Duration::from_secs(5);

async fn postgres(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the server was started")
}

async fn execute(connection: &mut PgConnection, sql: String) {
    raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    let row = raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap();
    row.get(0)
}

/// The tables that a drill's store has made last.
async fn counters(connection: &mut PgConnection) -> String {
    let sql = "SELECT relname::text FROM pg_class WHERE relname LIKE 'fault%_counters' \
               AND relkind = 'r' ORDER BY oid DESC LIMIT 1";
    let row = raw_sql(sql).fetch_one(connection).await.unwrap();
    row.get(0)
}

/// The process of a backend that waits within a check: a request's, or once the
/// breaker is open a probe's.
async fn waiting(connection: &mut PgConnection) -> i64 {
    let sql = "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity \
               WHERE wait_event_type = 'Lock' AND query ~ '_counters'";
    let start = Instant::now();
    loop {
        // Never 0, which to `kill` is every process of this test.
        match number(connection, sql).await {
            pid @ 1.. => return pid,
            _ => assert!(start.elapsed() < SOON, "nothing waits"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A backend is killed amid its transaction, and the server starts anew:
/// unlogged counters are forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed_in_a_transaction() {
    let (url, _) = start_postgres(&[]);
    let drill = Drill::start(&url, "alice").await;
    let mut other = postgres(&url).await;
    let table = counters(&mut other).await;
    let mut third = postgres(&url).await;
    let kill = async || {
        // A check waits within its transaction now.
        execute(&mut other, format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
        let pid = waiting(&mut third).await;
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
    };
    let report = drill.run(kill, async || {}, SOON).await;
    report.check("killed in a transaction, and restarted", "postgres");
    assert!(report.during[2].unavailable > 0, "nothing happened");
}

/// Every connection waits for a lock that somebody else holds.
#[tokio::test(flavor = "multi_thread")]
async fn every_connection_of_postgres_is_taken() {
    let (url, _) = start_postgres(&[]);
    let drill = Drill::start(&url, "alice").await;
    let mut other = postgres(&url).await;
    let table = counters(&mut other).await;
    let lock = async || {
        execute(&mut other, format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        execute(&mut other, "ROLLBACK".to_owned()).await;
    };
    let report = drill.run(lock, async || {}, SOON).await;
    report.check("every connection is taken", "postgres");
    report.check_deny_is_exact("every connection is taken");
    assert!(report.during[2].unavailable > 0, "nothing happened");
}

/// Serialization failures and deadlocks are tried again, unseen.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_rolls_back() {
    let (url, _) = start_postgres(&[]);
    for (fault, code) in [("40001", "40001"), ("40P01", "40P01")] {
        let drill = Drill::start_with(&url, "alice", UNHURRIED).await;
        let mut other = postgres(&url).await;
        let table = counters(&mut other).await;
        let name = unique("conflict");
        // Every second row written, whatever becomes of it.
        let sql = format!(
            "CREATE SEQUENCE {name}; CREATE FUNCTION {name}() RETURNS trigger AS $$ BEGIN \
             IF nextval('{name}') % 2 = 1 THEN RAISE EXCEPTION USING ERRCODE = '{code}'; \
             END IF; RETURN NEW; END $$ LANGUAGE plpgsql; \
             CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
        );
        execute(&mut other, sql).await;
        let report = drill.run(async || {}, async || {}, SOON).await;
        report.check(fault, "postgres");
        report.check_deny_is_exact(fault);
        let sql = format!("SELECT last_value FROM {name}");
        assert!(number(&mut postgres(&url).await, &sql).await > 1, "nothing happened");
        assert_eq!(report.during[2].unavailable, 0, "{fault}");
    }
}

/// A deadlock (1213) is tried again, unseen.
#[tokio::test(flavor = "multi_thread")]
async fn mariadb_rolls_back() {
    let url = mysql_url();
    let drill = Drill::start_with(url, "alice", UNHURRIED).await;
    let mut other = MySqlConnection::connect(url).await.unwrap();
    let table = format!("{}_counters", drill.prefix);
    let name = unique("conflict");
    // Counted in a table that no transaction takes back.
    let sql = format!(
        "CREATE TABLE {name} (n INT) ENGINE = MyISAM; INSERT INTO {name} VALUES (0); \
         CREATE TRIGGER {name}_t BEFORE INSERT ON {table} FOR EACH ROW BEGIN \
         UPDATE {name} SET n = n + 1; IF (SELECT n FROM {name}) % 2 = 1 THEN \
         SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'deadlock'; END IF; END"
    );
    raw_sql(AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
    let report = drill.run(async || {}, async || {}, SOON).await;
    report.check("1213", "mysql");
    report.check_deny_is_exact("1213");
    let met = raw_sql(AssertSqlSafe(format!("SELECT n FROM {name}"))).fetch_one(&mut other).await;
    let met: i32 = met.unwrap().get(0);
    assert!(met > 1, "nothing happened");
    assert_eq!(report.during[2].unavailable, 0);
}

/// Sixteen writers of one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_is_busy_with_sixteen_writers() {
    let prefix = unique("busy");
    let mut limiters = Vec::new();
    for _ in 0..16 {
        let store = RemoteStore::builder(sqlite_url()).prefix(&prefix).timeout(DEADLINE);
        let policy = Policy::new("api", Quota::per_hour(500).unwrap()).unwrap();
        let policy = policy.with_on_store_error(OnStoreError::Deny);
        let builder = Limiter::builder().store(store.connect().await.unwrap()).policy(policy);
        limiters.push(builder.build().await.unwrap());
    }
    let tasks = limiters.into_iter().map(|limiter| {
        tokio::spawn(async move {
            let (mut admitted, mut failed, mut longest) = (0, 0, Duration::ZERO);
            for _ in 0..60 {
                let api = limiter.policy("api").unwrap();
                let subjects = api.subjects_of(&Key::user("alice"));
                let start = Instant::now();
                match api.check(&subjects, 1).await {
                    Ok(decision) => admitted += u32::from(decision.is_allowed()),
                    Err(_) => failed += 1,
                }
                longest = longest.max(start.elapsed());
            }
            (admitted, failed, longest)
        })
    });
    let (mut admitted, mut failed, mut longest) = (0, 0, Duration::ZERO);
    for task in tasks.collect::<Vec<_>>() {
        let seen = task.await.unwrap();
        (admitted, failed, longest) = (admitted + seen.0, failed + seen.1, longest.max(seen.2));
    }
    println!(
        "| SQLITE_BUSY, 16 writers | sqlite | {failed} of 960 | | {} ms | | {} |",
        longest.as_millis(),
        i64::from(admitted) - 500,
    );
    assert!(admitted <= 500 && admitted > 0, "{admitted}");
    assert!(longest < DEADLINE + SLACK, "{longest:?}");
}
