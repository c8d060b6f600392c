//! Cases of bans by hand and by refusals: they are found, end, are lifted, and are listed.

use super::harness::{Harness, policy, rule, secs};
use crate::{Ban, BanChange, Check, Clock, OutageUsage, Subject};

/// A ban is found by its key and in the list, while it holds.
pub async fn bans_are_found(harness: &Harness) {
    let policies = [policy(&harness.unique("found"), "2/day").with_ban(rule(1))];
    let store = harness.store();
    let clients: Vec<Subject> =
        (0..5).map(|client| harness.subject(&format!("client-{client}"))).collect();
    for (at, client) in clients.iter().enumerate() {
        let duration = secs(60 * (at as u64 + 1));
        harness.change_ban(&policies[0], client, BanChange::Ban(duration)).await;
    }
    harness.change_ban(&policies[0], &clients[4], BanChange::Lift).await;
    harness.advance(secs(60));
    for (at, client) in clients.iter().enumerate() {
        let item = crate::Item { policy: &policies[0], subject: client };
        let found = store.ban(item).await.expect("the store looks a ban up");
        let expected = (1..4).contains(&at).then(|| secs(60 * at as u64));
        assert_eq!(found.map(|ban| ban.until.since(harness.clock().now())), expected);
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.bans(&policies[0], after.as_deref(), 2).await;
        let page = page.expect("the store lists bans");
        listed.extend(page.bans.into_iter().map(|banned| banned.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // A page may hold bans of the page before.
    listed.sort_by_key(ToString::to_string);
    listed.dedup();
    assert_eq!(listed, clients[1..4].iter().map(|client| client.key.clone()).collect::<Vec<_>>());
}

/// The record counts bans until they are forgiven; what is added to a ban in force is
/// that ban.
pub async fn bans_are_counted(harness: &Harness) {
    let rule = rule(1).with_forgive_after(secs(600)).expect("the case's rule is one");
    let policies = [policy("counted", "1/hour").with_ban(rule)];
    let client = harness.subject("client");
    let item = crate::Item { policy: &policies[0], subject: &client };
    let count = async || {
        let ban = harness.store().ban(item).await.expect("the store looks a ban up");
        ban.map(|ban| ban.count)
    };
    let _ = harness.check(&policies, &client, 1).await;
    for expected in 1..=3 {
        let _ = harness.check(&policies, &client, 1).await;
        assert_eq!(count().await, Some(expected));
        harness.advance(secs(120));
    }
    // By hand, and again by hand while that one is in force.
    for (duration, expected) in [(30, 4), (60, 4)] {
        harness.change_ban(&policies[0], &client, BanChange::Ban(secs(duration))).await;
        assert_eq!(count().await, Some(expected));
    }
    harness.change_ban(&policies[0], &client, BanChange::Lift).await;
    let _ = harness.check(&policies, &client, 1).await;
    assert_eq!(count().await, Some(5));
    // An outage's ban follows on it, one that is brought again does not.
    harness.advance(secs(120));
    let now = harness.clock().now();
    for expected in [7, 7] {
        let mut usage = OutageUsage::new(&policies[0], now);
        usage.ban(Ban { until: now.after(secs(50)), duration: 50_000_000, count: 2 });
        let (usage, subjects) = ([Some(usage)], [client.clone()]);
        let _ = harness.decide(Check::new(&policies, &subjects, 0).with_outage_usage(&usage)).await;
        assert_eq!(count().await, Some(expected));
    }
    harness.advance(secs(650));
    let _ = harness.check(&policies, &client, 1).await;
    let _ = harness.check(&policies, &client, 1).await;
    assert_eq!(count().await, Some(1));
}
