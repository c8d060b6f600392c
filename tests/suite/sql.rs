//! Tests of SQL databases alone: tables, statements, locks, garbage.

mod connections;
mod deadlocks;
mod mariadb;
mod runtimes;

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use limiter_core::{BanRule, Check, Key, Policy, Store, Subject};
use sqlx::{
    AssertSqlSafe, Connection, MySqlConnection, PgConnection, Row, SqliteConnection, raw_sql,
};

use crate::{
    conformance::clock,
    databases::{
        bouncer_url, builder, clocked_store, mysql_url, postgres_url, sqlite_url, store, unique,
    },
    remote::{admits, banning, filled, policy, subject},
    servers::start_postgres,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Connects to the database of that URL, whichever it is, and evaluates an
/// expression of the connection.
macro_rules! connected {
    ($url:expr, $connection:ident => $done:expr) => {{
        let url: &str = $url;
        match url.split("://").next() {
            Some("postgres") => {
                let $connection = &mut PgConnection::connect(url).await.unwrap();
                $done
            }
            Some("mysql") => {
                let $connection = &mut MySqlConnection::connect(url).await.unwrap();
                $done
            }
            _ => {
                let $connection = &mut SqliteConnection::connect(url).await.unwrap();
                $done
            }
        }
    }};
}

/// One number that a database answers with.
async fn number(url: &str, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    connected!(url, connection => raw_sql(sql).fetch_one(connection).await.unwrap().get(0))
}

async fn execute(url: &str, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    connected!(url, connection => raw_sql(sql).execute(connection).await.map(|_| ()).unwrap());
}

#[tokio::test]
async fn missing_tables_are_named_and_how_to_make_them() {
    for url in [postgres_url(), mysql_url(), sqlite_url()] {
        let prefix = unique("missing");
        let builder = builder(url, &prefix).migrate(false);
        let error = builder.clone().connect().await.unwrap_err().to_string();
        assert!(error.contains(&prefix) && error.contains("schema()"), "{error}");
        execute(url, &builder.schema().unwrap()).await;
        let store = builder.connect().await.unwrap();
        let (policies, client) = ([banning(9, [])], subject(Key::user("alice")));
        assert!(admits(&store, &policies, &client).await);
        // And while it runs.
        execute(url, &format!("DROP TABLE {prefix}_bans")).await;
        let error = store.decide(Check::new(&policies, &client, 1)).await;
        let error = error.expect_err("a table is gone").to_string();
        assert!(error.contains("schema()"), "{error}");
        store.migrate().await.unwrap();
        assert!(admits(&store, &policies, &client).await);
    }
}

#[tokio::test]
async fn what_has_expired_is_removed() {
    for url in [postgres_url(), mysql_url(), sqlite_url()] {
        let prefix = unique("garbage");
        let (store, clock) = filled(url, &prefix, 1_500).await;
        let rows = format!("SELECT COUNT(*) FROM {prefix}_counters");
        assert_eq!(number(url, &rows).await, 1_500);
        clock.advance(Duration::from_secs(2 * 86_400));
        assert!(admits(&store, &[policy("2/hour")], &subject(Key::user("late"))).await);
        let deadline = Instant::now() + Duration::from_secs(30);
        while number(url, &rows).await != 1 {
            assert!(Instant::now() < deadline, "{url}: {}", number(url, &rows).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn secrets_are_in_no_table() {
    for url in [postgres_url(), mysql_url(), sqlite_url()] {
        let prefix = unique("names");
        let store = store(url, &prefix).await;
        let policies = [policy("2/hour")];
        for key in [
            Key::ip("192.0.2.1".parse().unwrap()),
            Key::user("alice").and(Key::endpoint("GET", "/x")),
            Key::user("alice@example.org"),
            Key::header("x-api-key", b"s3cret-key"),
        ] {
            assert!(admits(&store, &policies, &subject(key)).await);
        }
        let count = async |part: &str| {
            let table = format!("{prefix}_counters");
            number(url, &format!("SELECT COUNT(*) FROM {table} WHERE name LIKE '%{part}%'")).await
        };
        assert_eq!(count(":ip=192.0.2.1").await, 1);
        assert_eq!(count(":user=alice&endpoint=GET:/x").await, 1);
        assert_eq!(count(":#").await, 2);
        assert_eq!(count("example").await + count("s3cret").await, 0);
    }
}

#[tokio::test]
async fn a_check_that_fits_is_one_statement_of_postgres() {
    let (url, log) = start_postgres(&["log_statement=all", "log_line_prefix="]);
    let store = store(&url, "one").await;
    // The log comes a little later than the answers: a statement of our own is the
    // last that it has to show.
    let statements = async || {
        let marker = unique("marker");
        number(&url, &format!("SELECT 1::bigint AS {marker}")).await;
        let logged = loop {
            let logged = fs::read_to_string(&log).unwrap();
            if logged.contains(&marker) {
                break logged;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let ours = |line: &&str| {
            let is_statement =
                line.starts_with("LOG:  statement:") || line.starts_with("LOG:  execute");
            is_statement && !line.contains("WITH looked AS") && !line.contains("AS marker_")
        };
        logged.lines().filter(ours).count()
    };
    let counted = async |times: usize, policies: &[Policy], who: &[Subject], admitted: bool| {
        let before = statements().await;
        for _ in 0..times {
            assert_eq!(admits(&store, policies, who).await, admitted);
        }
        statements().await - before
    };
    let alice = subject(Key::user("alice"));
    let fitting = [policy("100/hour")
        .with_ban(BanRule::after_strikes(9).within(MINUTE).for_duration(MINUTE).unwrap())];
    // A new counter: the fast path finds none, and it is read and written.
    assert_eq!(counted(1, &fitting, &alice, true).await, 3);
    assert_eq!(counted(50, &fitting, &alice, true).await, 50);
    // Several policies, quotas and clients.
    let policies = [banning(1_000, [401]), policy("50/hour; 9/second; 1000/day")];
    let clients = [subject(Key::user("bob")), subject(Key::user("carol"))].concat();
    assert_eq!(counted(2, &policies, &clients, true).await, 4);
    // A refusal that does not strike is only read.
    let tight = [policy("1/hour; 1000/day")];
    assert_eq!(counted(1, &tight, &subject(Key::user("dave")), true).await, 2);
    assert_eq!(counted(9, &tight, &subject(Key::user("dave")), false).await, 9);
}

#[tokio::test]
async fn a_refusal_leaves_no_trace_in_postgres() {
    let url = postgres_url();
    let prefix = unique("trace");
    let store = store(url, &prefix).await;
    let (policies, client) = ([policy("2/hour; 1000/day")], subject(Key::user("alice")));
    for _ in 0..2 {
        assert!(admits(&store, &policies, &client).await);
    }
    // Which version of the row it is, and who has locked it since.
    let version = format!("SELECT (ctid::text || xmin::text || xmax::text) FROM {prefix}_counters");
    let version = async || {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let row = raw_sql(AssertSqlSafe(version.clone())).fetch_one(&mut connection).await.unwrap();
        row.get::<String, _>(0)
    };
    let before = version().await;
    for _ in 0..100 {
        assert!(!admits(&store, &policies, &client).await);
    }
    assert_eq!(version().await, before);
    assert_eq!(number(url, &format!("SELECT COUNT(*) FROM {prefix}_bans")).await, 0);
}

/// One asks one by one, the other, behind a pooler, many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_and_together_postgres_admits_the_limit() {
    const LIMIT: usize = 1_000;
    let (prefix, clock) = (unique("mixed"), clock());
    let alone = clocked_store(postgres_url(), &prefix, clock.clone()).await;
    let together = clocked_store(bouncer_url(), &prefix, clock.clone()).await;
    let policies = [policy("1000/hour")];
    let client = subject(Key::user("alice"));
    let one_by_one = async {
        let mut admitted = 0;
        for _ in 0..LIMIT {
            admitted += usize::from(admits(&alone, &policies, &client).await);
        }
        admitted
    };
    let at_once = async {
        let mut admitted = 0;
        for _ in 0..LIMIT / 20 {
            let asked = (0..20).map(|_| admits(&together, &policies, &client));
            let answers = futures_util::future::join_all(asked).await;
            admitted += answers.into_iter().filter(|admitted| *admitted).count();
        }
        admitted
    };
    let (one_by_one, at_once) = tokio::join!(one_by_one, at_once);
    assert_eq!(one_by_one + at_once, LIMIT, "{one_by_one} + {at_once}");
    assert!(one_by_one > 0 && at_once > 0, "{one_by_one} + {at_once}");
}

/// Its thread may be busy with something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_nobody_polls_holds_up_no_other() {
    let store = builder(postgres_url(), &unique("frozen")).pool_size(1).connect().await.unwrap();
    let (policies, client) = ([policy("3/hour")], subject(Key::user("alice")));
    assert!(admits(&store, &policies, &client).await);
    let mut frozen = store.decide(Check::new(&policies, &client, 1));
    assert!((&mut frozen).now_or_never().is_none());
    let other = tokio::time::timeout(Duration::from_secs(5), admits(&store, &policies, &client));
    assert!(other.await.expect("it is held up"));
    assert!(frozen.await.unwrap().is_allowed());
    assert!(!admits(&store, &policies, &client).await);
}

#[tokio::test]
async fn counters_may_be_forgotten_in_a_crash_and_bans_not() {
    let prefix = unique("logged");
    let _store = store(postgres_url(), &prefix).await;
    let kind = async |table: &str| {
        let sql = format!(
            "SELECT COUNT(*) FROM pg_class WHERE relname = '{prefix}_{table}' AND relpersistence = "
        );
        let unlogged = number(postgres_url(), &format!("{sql}'u'")).await;
        (unlogged, number(postgres_url(), &format!("{sql}'p'")).await)
    };
    assert_eq!(kind("counters").await, (1, 0));
    assert_eq!(kind("bans").await, (0, 1));
}
