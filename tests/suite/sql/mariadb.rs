//! The scripts of MariaDB.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use limiter_core::{
    AdmitOptions, BanRule, Check, Key, Limiter, Policy, RemoteStore, Store, Subject,
};

use super::{MINUTE, number};
use crate::{
    databases::{builder, mysql_url, store, unique},
    real_servers::{Mode, Proxy},
    remote::{admits, filled, policy, subject},
    servers::start_mariadb,
    test_request::Facts,
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

/// Looks how much of 1,000 an hour is used.
async fn used(store: &RemoteStore, policies: &[Policy], who: &[Subject]) -> u64 {
    let look = store.decide(Check::new(policies, who, 0)).await.unwrap();
    1_000 - look.quotas()[0].remaining()
}

/// The server may have the script whose connection has ended, and carries it out.
#[tokio::test]
async fn a_script_whose_answer_is_lost_is_not_sent_again() {
    let proxy = Proxy::start(mysql_url());
    let store = store(&proxy.url(mysql_url()), &unique("lost")).await;
    let (policies, alice) = ([policy("1000/day")], subject(Key::user("alice")));
    let (mut admitted, mut unknown) = (0, 0);
    for round in 0..60 {
        if round > 20 && round % 3 == 0 {
            proxy.set(Mode::LoseAnswer);
        }
        match store.decide(Check::new(&policies, &alice, 1)).await {
            Ok(decision) => admitted += u64::from(decision.is_allowed()),
            Err(error) => {
                assert!(!error.is_not_applied(), "{error}");
                unknown += 1;
            }
        }
        proxy.set(Mode::Permit);
        let used = used(&store, &policies, &alice).await;
        assert!((admitted..=admitted + unknown).contains(&used), "{admitted}, {unknown}: {used}");
    }
    assert!(unknown > 0, "no answer was lost");
}

/// One server gives back what a request was charged, and bans its client for it, in one step.
/// Before that step its client is limited, and behind it banned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_waits_sees_the_ban_that_it_has_waited_for() {
    let prefix = unique("bans");
    let limiter = async || {
        let rule = BanRule::after_strikes(1).within(MINUTE).for_duration(MINUTE).unwrap();
        let rule = rule.with_statuses([401]).unwrap().with_refusals(false);
        let policy = Policy::new("api", "5/day").unwrap().with_key("user").unwrap();
        let policy = policy.with_ban(rule).with_refund([401]).unwrap();
        let store = store(mysql_url(), &prefix).await;
        Limiter::builder().store(store).policy(policy).build().await.unwrap()
    };
    let (one, other) = (limiter().await, limiter().await);
    let (api, end) = (one.policy("api").unwrap(), Instant::now() + Duration::from_secs(4));
    let mut rounds = 0;
    while Instant::now() < end {
        rounds += 1;
        let facts: Vec<_> =
            (0..24).map(|user| Facts::default().user(&format!("{rounds}-{user}"))).collect();
        // Every third has used all that it may.
        let admit = |(user, facts): (usize, &Facts)| {
            let cost = if user % 3 == 1 { 5 } else { 1 };
            api.admit(facts, AdmitOptions::default().with_cost(cost))
        };
        let admissions = join_all(facts.iter().enumerate().map(admit)).await;
        let settle = join_all(admissions.iter().skip(1).step_by(3).map(async |admission| {
            admission.as_ref().unwrap().permit().unwrap().record_response(401).await;
        }));
        let ask = async {
            let mut passed = 0;
            for _ in 0..3 {
                let asked = join_all(facts.iter().map(|facts| facts.ask(&other, "api"))).await;
                let full = asked.into_iter().skip(1).step_by(3);
                passed += full.filter(|asked| asked.as_ref().unwrap().is_allowed()).count();
            }
            passed
        };
        let (_, passed) = tokio::join!(settle, ask);
        assert_eq!(passed, 0, "round {rounds}");
    }
    assert!(rounds > 10, "{rounds}");
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

/// No transaction stays open behind a walk over the tables.
#[tokio::test]
async fn a_server_whose_sessions_do_not_commit_by_themselves_is_of_use() {
    let url = start_mariadb(&["--autocommit=0"]);
    let prefix = unique("uncommitted");
    let (_swept, clock) = filled(&url, &prefix, 40).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let store = builder(&url, &prefix).timeout(Duration::from_millis(800)).clock(clock);
    let store = store.connect().await.unwrap();
    for user in 0..40 {
        let who = subject(Key::user(&format!("user-{user}")));
        assert!(admits(&store, &[policy("2/hour")], &who).await, "{user}");
    }
}
