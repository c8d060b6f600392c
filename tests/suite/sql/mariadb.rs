//! The scripts of MariaDB.

use std::time::{Duration, Instant};

use limiter_core::{BanRule, Check, Key, Limiter, Policy, Store, Subject, Verdict};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, raw_sql};
use tokio::time::sleep;

use super::{MINUTE, number};
use crate::{
    databases::{builder, mysql_url, store, unique},
    remote::{admits, filled, policy, subject},
    servers::start_mariadb,
};
/// How many statements of a kind the server has run.
async fn statements(url: &str, kind: &str) -> i64 {
    let sql = format!(
        "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
         WHERE variable_name = 'com_{kind}'"
    );
    number(url, &sql).await
}

#[tokio::test]
async fn a_check_that_fits_is_one_script_of_mariadb() {
    let url = start_mariadb(&[]);
    let store = store(&url, &unique("one")).await;
    // Updates are of the fast path alone, and inserts of the general form.
    let counted = async |times: usize, policies: &[Policy], who: &[Subject], admitted: bool| {
        let before = (statements(&url, "update").await, statements(&url, "insert").await);
        for _ in 0..times {
            assert_eq!(admits(&store, policies, who).await, admitted);
        }
        let after = (statements(&url, "update").await, statements(&url, "insert").await);
        (after.0 - before.0, after.1 - before.1)
    };
    let alice = subject(Key::user("alice"));
    let rule = BanRule::after_strikes(9).within(MINUTE).for_duration(MINUTE).unwrap();
    let fitting = [policy("100/hour").with_ban(rule)];
    // What the start check has left of the eight that pass the fast path over.
    counted(9, &fitting, &alice, true).await;
    assert_eq!(counted(50, &fitting, &alice, true).await, (50, 0));
    // A new counter: the fast path finds none, and the next eight pass it over.
    assert_eq!(counted(9, &fitting, &subject(Key::user("bob")), true).await, (1, 9));
    assert_eq!(counted(9, &fitting, &subject(Key::user("bob")), true).await, (9, 0));
    // Several quotas are of the general form.
    assert_eq!(
        counted(3, &[policy("50/hour; 9/second")], &subject(Key::user("carol")), true).await,
        (0, 3)
    );
    // A refusal writes nothing.
    let tight = [policy("1/hour")];
    assert_eq!(counted(1, &tight, &subject(Key::user("dave")), true).await, (1, 1));
    assert_eq!(counted(9, &tight, &subject(Key::user("dave")), false).await, (1, 0));
}

/// Waits until a check waits for a lock.
async fn wait_for_update(prefix: &str) {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE info LIKE 'UPDATE {prefix}_counters%' AND time_ms > 20"
    );
    let start = Instant::now();
    while number(mysql_url(), &sql).await == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing waits");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Another server gives back what a client has used, and bans it, in one step: before that the
/// client is limited, and behind it banned. The check of it waits behind one of another client,
/// by which the statement has seen bans already.
#[tokio::test]
async fn a_check_that_waits_sees_the_ban_that_it_has_waited_for() {
    let prefix = unique("bans");
    let rule = BanRule::after_strikes(9).within(MINUTE).for_duration(MINUTE).unwrap();
    let policies = [policy("20/day").with_ban(rule)];
    let store = builder(mysql_url(), &prefix).pool_size(1).connect().await.unwrap();
    let limiter = Limiter::builder().store(store.clone()).policy(policies[0].clone());
    let limiter = limiter.build().await.unwrap();
    limiter.ban("api", &Key::user("banned"), MINUTE).await.unwrap();
    let users = ["alice", "bob", "carol"].map(|user| subject(Key::user(user)));
    for _ in 0..20 {
        assert!(admits(&store, &policies, &users[1]).await);
    }
    assert!(admits(&store, &policies, &users[0]).await);
    // And what is left of the eight that pass the fast path over.
    for _ in 0..12 {
        assert!(admits(&store, &policies, &users[2]).await);
    }
    let mut other = MySqlConnection::connect(mysql_url()).await.unwrap();
    let mut run = async |sql: &str| {
        let sql = AssertSqlSafe(sql.replace("{prefix}", &prefix));
        raw_sql(sql).execute(&mut other).await.unwrap();
    };
    let bob = "name LIKE '%:user=bob'";
    // That row alone.
    run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await;
    run(&format!("BEGIN; SELECT name FROM {{prefix}}_counters WHERE {bob} FOR UPDATE")).await;
    // One is on its way, and the others wait together.
    let check = |user| store.decide(Check::new(&policies, user, 1));
    let checks = async { tokio::join!(check(&users[2]), check(&users[0]), check(&users[1])) };
    let change = async {
        wait_for_update(&prefix).await;
        run(&format!(
            "UPDATE {{prefix}}_counters SET tat = 0 WHERE {bob}; \
             INSERT INTO {{prefix}}_bans SELECT REPLACE(name, 'banned', 'bob'), ends_at, duration, \
               ban_count, expires_at FROM {{prefix}}_bans WHERE name LIKE '%:user=banned'; COMMIT"
        ))
        .await;
    };
    let ((carol, alice, bob), ()) = tokio::join!(checks, change);
    let verdicts = [carol, alice, bob].map(|decision| decision.unwrap().verdict());
    assert_eq!(verdicts, [Verdict::Allowed, Verdict::Allowed, Verdict::Banned]);
}

/// Tables that two servers name in two ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_may_be_named_with_their_database() {
    let prefix = unique("named");
    let one = store(mysql_url(), &prefix).await;
    let other = store(mysql_url(), &format!("limiter.{prefix}")).await;
    let policies = [policy("1/day")];
    for user in 0..100 {
        let who = subject(Key::user(&user.to_string()));
        let (one, other) =
            tokio::join!(admits(&one, &policies, &who), admits(&other, &policies, &who));
        assert!(one != other, "{user}: {one}, {other}");
    }
}

/// No transaction stays open behind the sweep, which would keep others from what it has removed.
#[tokio::test]
async fn a_server_whose_sessions_do_not_commit_by_themselves_is_of_use() {
    let url = start_mariadb(&["--autocommit=0"]);
    let prefix = unique("uncommitted");
    let (_swept, clock) = filled(&url, &prefix, 40).await;
    clock.advance(Duration::from_secs(2 * 86_400));
    sleep(Duration::from_millis(2_500)).await;
    let store = builder(&url, &prefix).timeout(Duration::from_millis(800)).clock(clock);
    let store = store.connect().await.unwrap();
    for user in 0..40 {
        let who = subject(Key::user(&format!("user-{user}")));
        assert!(admits(&store, &[policy("2/hour")], &who).await, "{user}");
    }
}
