//! Checks that share a call: exactly as if each had come alone.

use std::time::Duration;

use futures_util::future::join_all;
use limiter_core::{Check, Key, Policy, RemoteStore, Store, StoreError};
use redis::{Commands, cmd};

use super::{calls, connection};
use crate::{
    databases::store,
    real_servers::{Mode, Proxy},
    remote::{policy, subject},
    servers::start_redis,
};

/// Returns the answers of as many checks of these users, all at once.
async fn ask_at_once(
    store: &RemoteStore,
    policies: &[Policy],
    users: impl Iterator<Item = String>,
) -> Vec<Result<bool, StoreError>> {
    let ask = async |user: String| {
        let client = subject(Key::user(&user));
        let decision = store.decide(Check::new(policies, &client, 1)).await?;
        Ok(decision.is_allowed())
    };
    join_all(users.map(ask)).await
}

#[tokio::test]
async fn what_is_asked_at_once_goes_by_few_calls() {
    let url = start_redis();
    let store = store(&url, "together").await;
    let policies = [policy("50/hour; 9/second")];
    let users = || (0..100).map(|user| format!("user-{user}"));
    for _ in 0..5 {
        let answers = ask_at_once(&store, &policies, users()).await;
        assert!(answers.into_iter().all(Result::unwrap));
    }
    let mut connection = connection(&url);
    let calls = calls(&mut connection, "evalsha") + calls(&mut connection, "eval");
    // 500 checks: one that found nothing under way, and the others behind it in four shares,
    // once it is warm over the connection of the runtime and that of the store's thread.
    assert!((6..=100).contains(&calls), "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hot_key_is_admitted_exactly_as_often_as_its_limit() {
    let url = start_redis();
    let store = store(&url, "hot").await;
    let policies = [policy("100/hour")];
    let tasks = (0..64).map(|_| {
        let (store, policies) = (store.clone(), policies.clone());
        tokio::spawn(async move {
            let users = (0..10).map(|_| "alice".to_owned());
            let answers = ask_at_once(&store, &policies, users).await;
            answers.into_iter().map(Result::unwrap).filter(|admitted| *admitted).count()
        })
    });
    let admitted: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(admitted, 100);
    let calls = calls(&mut connection(&url), "evalsha");
    assert!(calls < 320, "{calls}");
}

/// Keys of another type, of another length, with a line break.
#[tokio::test]
async fn what_is_nothing_of_ours_fails_nobody() {
    let url = start_redis();
    let store = store(&url, "foreign").await;
    let policies = [policy("2/hour").with_ban(super::rule())];
    let users = || ["a", "b", "c", "d", "e"].map(str::to_owned).into_iter();
    assert!(ask_at_once(&store, &policies, users()).await.into_iter().all(Result::unwrap));
    let mut connection = connection(&url);
    let names: Vec<String> = connection.keys("*").unwrap();
    let () = connection.del(&names[0]).unwrap();
    let () = connection.rpush(&names[0], "a list").unwrap();
    let () = connection.set(&names[1], "nonsense").unwrap();
    let () = connection.set(&names[2], &[255u8; 32][..]).unwrap();
    for name in &names {
        let part = name.find("}:c").expect("it is a counter");
        let () =
            connection.rpush(format!("{}}}:b{}", &name[..part], &name[part + 3..]), 1).unwrap();
    }
    assert!(ask_at_once(&store, &policies, users()).await.into_iter().all(Result::unwrap));
    let refused = ask_at_once(&store, &policies, users()).await;
    assert_eq!(refused.into_iter().map(Result::unwrap).filter(|admitted| *admitted).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_cut_off_may_have_been_charged_to_all() {
    let url = start_redis();
    let proxy = Proxy::start(&url);
    let store = store(&proxy.url(&url), "cut").await;
    let policies = [policy("1000/hour")];
    let users = |count| (0..count).map(|_| "alice".to_owned());
    for answer in ask_at_once(&store, &policies, users(50)).await {
        assert!(answer.unwrap());
    }
    proxy.set(Mode::Cut);
    let answers = ask_at_once(&store, &policies, users(50)).await;
    proxy.set(Mode::Permit);
    let errors: Vec<_> = answers.into_iter().map(Result::unwrap_err).collect();
    let unknown = errors.iter().filter(|error| !error.is_not_applied()).count();
    // Calls that were sent before the connection was known to be broken.
    assert!(unknown > 0, "{errors:?}");
    let client = subject(Key::user("alice"));
    let left = store.decide(Check::new(&policies, &client, 0)).await.unwrap();
    let charged = 950 - left.quotas()[0].remaining();
    assert!((1..=unknown as u64).contains(&charged), "{charged} of {unknown}");
}

/// Those who have gone are left out, and take nobody with them.
#[tokio::test]
async fn requests_that_are_dropped_leave_the_others_alone() {
    let url = start_redis();
    let store = store(&url, "dropped").await;
    let policies = [policy("1000/hour")];
    let () = cmd("CLIENT").arg("PAUSE").arg(200).query(&mut connection(&url)).unwrap();
    let users = |count| (0..count).map(|_| "alice".to_owned());
    let dropped = ask_at_once(&store, &policies, users(20));
    let dropped = tokio::time::timeout(Duration::from_millis(50), dropped);
    let (stay, gone) = tokio::join!(ask_at_once(&store, &policies, users(20)), dropped);
    assert!(gone.is_err());
    assert!(stay.into_iter().all(Result::unwrap));
    let client = subject(Key::user("alice"));
    let left = store.decide(Check::new(&policies, &client, 0)).await.unwrap();
    let charged = 1_000 - left.quotas()[0].remaining();
    assert!((20..=40).contains(&charged), "{charged}");
}
