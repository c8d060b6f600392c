//! Connections that end: nobody loses a request by one that a SQL server closes, and a call whose
//! answer is lost is made once.

use std::{thread, time::Duration};

use limiter_core::{Check, Decision, Key, Policy, RemoteStore, Store, Subject};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, Row, raw_sql};
use tokio::{sync::Mutex, time::sleep};

use crate::{
    databases::{mysql_url, postgres_url, redis_url, store, unique},
    real_servers::{Mode, Proxy},
    remote::{loses_nothing, policy, subject},
    servers::{start_mariadb, start_postgres},
    storm::Form,
};

/// The longest time until the end of a stream arrives: shorter than a connection to PostgreSQL
/// is idle before it is pinged.
const MOMENT: Duration = Duration::from_millis(3);

/// Longer than that.
const WHILE: Duration = Duration::from_millis(15);

/// How often connections are closed: a new one takes PostgreSQL some milliseconds.
fn rounds() -> u64 {
    if Form::from_environment() == Form::Long { 200 } else { 40 }
}

/// Has PostgreSQL end all other sessions, again and again, and waits each time. Returns how
/// often a call was sent again.
async fn terminates(pause: Duration) -> u64 {
    let (url, _) = start_postgres(&[]);
    let other = Mutex::new(PgConnection::connect(&url).await.unwrap());
    loses_nothing(&url, rounds(), async || {
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        raw_sql(terminate).execute(&mut *other.lock().await).await.unwrap();
        thread::sleep(pause);
    })
    .await
}

#[tokio::test]
async fn postgres_terminates_sessions() {
    assert!(terminates(MOMENT).await > 0, "they are counted");
}

#[tokio::test]
async fn postgres_terminates_sessions_that_are_idle() {
    terminates(WHILE).await;
}

#[tokio::test]
async fn postgres_closes_what_is_idle() {
    let (url, _) = start_postgres(&["idle_session_timeout=300"]);
    loses_nothing(&url, 5, async || sleep(Duration::from_millis(700)).await).await;
}

/// Has MariaDB kill all other sessions, again and again, and waits each time: longer than a
/// connection is idle before it is pinged, so that no call is sent that would be in doubt.
async fn kills(pause: Duration) {
    let url = start_mariadb(&[]);
    let other = Mutex::new(MySqlConnection::connect(&url).await.unwrap());
    loses_nothing(&url, rounds(), async || {
        let mut other = other.lock().await;
        let list = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist \
            WHERE id <> connection_id() AND command <> 'Daemon'";
        for row in raw_sql(list).fetch_all(&mut *other).await.unwrap() {
            let id: i64 = row.get(0);
            // It may have ended by itself.
            let _ = raw_sql(AssertSqlSafe(format!("KILL {id}"))).execute(&mut *other).await;
        }
        thread::sleep(pause);
    })
    .await;
}

#[tokio::test]
async fn mariadb_kills_sessions() {
    kills(MOMENT).await;
}

#[tokio::test]
async fn mariadb_kills_sessions_that_are_idle() {
    kills(WHILE).await;
}

#[tokio::test]
async fn mariadb_closes_what_is_idle() {
    let url = start_mariadb(&["--wait-timeout=1", "--interactive-timeout=1"]);
    loses_nothing(&url, 3, async || sleep(Duration::from_millis(2_300)).await).await;
}

/// A restart in a quiet moment, seen through a proxy: all connections end without
/// a word, and for a while none is taken.
#[tokio::test]
async fn a_server_restarts_while_nobody_asks() {
    for url in [postgres_url(), mysql_url()] {
        let proxy = Proxy::start(url);
        loses_nothing(&proxy.url(url), 5, async || {
            proxy.refuse();
            sleep(Duration::from_millis(300)).await;
            proxy.accept();
        })
        .await;
    }
}

/// The server may have the call whose connection has ended, and carries it out.
#[tokio::test]
async fn a_call_whose_answer_is_lost_is_not_sent_again() {
    for url in [redis_url(), postgres_url(), mysql_url()] {
        lose_answers(url).await;
    }
}

/// Looks without a charge, once more where the connection was just being closed.
async fn look(store: &RemoteStore, policies: &[Policy], subjects: &[Subject]) -> Decision {
    for _ in 0..5 {
        if let Ok(decision) = store.decide(Check::new(policies, subjects, 0)).await {
            return decision;
        }
    }
    panic!("the server is there, and does not answer");
}

async fn lose_answers(url: &str) {
    let proxy = Proxy::start(url);
    let store = store(&proxy.url(url), &unique("lost")).await;
    let (policies, alice) = ([policy("1000/day")], subject(Key::user("alice")));
    let (mut admitted, mut unknown) = (0, 0);
    for round in 0..60 {
        if round > 20 && round % 3 == 0 {
            proxy.set(Mode::LoseAnswer);
        }
        match store.decide(Check::new(&policies, &alice, 1)).await {
            Ok(decision) => admitted += u64::from(decision.is_allowed()),
            Err(error) => {
                assert!(!error.is_not_applied(), "{url}: {error}");
                unknown += 1;
            }
        }
        proxy.set(Mode::Permit);
        let look = look(&store, &policies, &alice).await;
        let used = 1_000 - look.quotas()[0].remaining();
        let known = admitted..=admitted + unknown;
        assert!(known.contains(&used), "{url}: {admitted}, {unknown}: {used}");
    }
    assert!(unknown > 0, "{url}: no answer was lost");
}
