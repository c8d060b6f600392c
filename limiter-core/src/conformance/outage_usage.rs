//! Cases of the usage of an outage, which a check brings along to be charged first.

use std::time::Duration;

use super::{
    harness::{Harness, policy, rule, secs, wait},
    quotas::counted_by,
};
use crate::{
    Algorithm, Ban, BanChange, Check, Clock, Decision, OutageUsage, Policy, Quota, Quotas, Subject,
    Verdict,
};

/// Looks at one policy, and brings outage usage.
async fn look(
    harness: &Harness,
    policies: &[Policy],
    client: &Subject,
    outage_usage: OutageUsage,
) -> Decision {
    let (subjects, outage_usage) = ([client.clone()], [Some(outage_usage)]);
    harness.decide(Check::new(policies, &subjects, 0).with_outage_usage(&outage_usage)).await
}

fn usage(harness: &Harness, policy: &Policy, units: u64) -> OutageUsage {
    let now = harness.clock().now();
    let mut outage_usage = OutageUsage::new(policy, now);
    outage_usage.charge(units, now);
    outage_usage
}

/// Outage usage is charged even by a request of cost 0.
pub async fn outage_usage_is_charged_once(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "9/minute");
        let client = harness.subject(algorithm.as_str());
        let _ = harness.check(&policies, &client, 2).await;
        let outage_usage = usage(harness, &policies[0], 3);
        assert_eq!(
            look(harness, &policies, &client, outage_usage).await.quotas()[0].remaining(),
            4
        );
        let decision = harness.check(&policies, &client, 1).await;
        assert_eq!(decision.quotas()[0].remaining(), 3, "{algorithm:?}");
    }
}

/// It is charged first: the request that brings it may be refused for it.
pub async fn outage_usage_may_refuse_the_request(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "5/minute");
        let client = harness.subject(algorithm.as_str());
        let _ = harness.check(&policies, &client, 1).await;
        let outage_usage = [Some(usage(harness, &policies[0], 4))];
        let subjects = [client.clone()];
        let refused = harness
            .decide(Check::new(&policies, &subjects, 1).with_outage_usage(&outage_usage))
            .await;
        assert_eq!(refused.verdict(), Verdict::Limited, "{algorithm:?}");
        assert_eq!(harness.check(&policies, &client, 0).await.quotas()[0].remaining(), 0);
    }
}

/// However much was admitted, nobody is locked out for longer than a full count.
pub async fn outage_usage_fills_to_the_limit(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "5/minute");
        for used in [0, 5] {
            let client = harness.subject(&format!("{} {used}", algorithm.as_str()));
            let _ = harness.check(&policies, &client, used).await;
            let outage_usage = usage(harness, &policies[0], 1_000_000);
            let full = look(harness, &policies, &client, outage_usage).await;
            assert_eq!(full.quotas()[0].remaining(), 0, "{algorithm:?}");
            assert!(full.quotas()[0].reset_after() <= secs(120), "{algorithm:?}");
            // A sliding window may have to fade after the running one.
            assert!(wait(&harness.check(&policies, &client, 1).await) <= secs(72), "{algorithm:?}");
        }
    }
}

/// Windows that begin at a set time do so by the store's clock, though a clock that was an
/// hour ahead admitted.
pub async fn windows_at_a_set_time_take_outage_usage(harness: &Harness) {
    let (policies, client) =
        ([policy("aligned", "5/day from midnight UTC")], harness.subject("client"));
    let now = harness.clock().now().as_micros();
    harness.advance(Duration::from_micros(86_400_000_000 - now % 86_400_000_000) + secs(6 * 3_600));
    let ahead = harness.clock().now().after(secs(3_600));
    let mut outage_usage = OutageUsage::new(&policies[0], ahead);
    outage_usage.charge(4, ahead);
    let charged = look(harness, &policies, &client, outage_usage).await;
    assert_eq!(charged.quotas()[0].remaining(), 1);
    assert_eq!(charged.quotas()[0].reset_after(), secs(18 * 3_600));
}

/// Outage usage ages: it weighs only what is left of it when it is charged.
pub async fn outage_usage_fades_as_what_is_charged(harness: &Harness) {
    let (policies, client) = ([policy("bucket", "5/minute")], harness.subject("client"));
    let outage_usage = usage(harness, &policies[0], 5);
    harness.advance(secs(36));
    let outage_usage = outage_usage.at(harness.clock().now());
    assert_eq!(look(harness, &policies, &client, outage_usage).await.quotas()[0].remaining(), 3);
    // Usage that is long over is not charged, though the key is in use.
    let other = harness.subject("other");
    let outage_usage = usage(harness, &policies[0], 5);
    harness.advance(secs(600));
    let _ = harness.check(&policies, &other, 1).await;
    let outage_usage = outage_usage.at(harness.clock().now());
    assert_eq!(look(harness, &policies, &other, outage_usage).await.quotas()[0].remaining(), 4);
}

/// The later end counts of a ban from an outage and one that the store has.
pub async fn a_ban_of_an_outage_holds_to_the_later_end(harness: &Harness) {
    let policies = [policy("banning", "9/minute").with_ban(rule(2))];
    for (name, own, expected) in [("none", 0, 100), ("sooner", 50, 100), ("later", 200, 200)] {
        let client = harness.subject(name);
        if own > 0 {
            harness.change_ban(&policies[0], &client, BanChange::Ban(secs(own))).await;
        }
        let now = harness.clock().now();
        let mut outage_usage = OutageUsage::new(&policies[0], now);
        outage_usage.ban(Ban { until: now.after(secs(100)), duration: 100_000_000, count: 1 });
        let banned = look(harness, &policies, &client, outage_usage).await;
        assert_eq!(banned.verdict(), Verdict::Banned, "{name}");
        assert_eq!(banned.banned_until(), Some(now.after(secs(expected))), "{name}");
    }
    let spared = harness.subject("spared").with_bannable(false);
    let mut outage_usage = usage(harness, &policies[0], 4);
    let until = harness.clock().now().after(secs(100));
    outage_usage.ban(Ban { until, duration: 100_000_000, count: 1 });
    let decision = look(harness, &policies, &spared, outage_usage).await;
    assert_eq!((decision.verdict(), decision.quotas()[0].remaining()), (Verdict::Allowed, 5));
}

/// Each item of a check has its own outage usage.
pub async fn each_item_owes_for_itself(harness: &Harness) {
    let policies = [policy("one", "9/minute"), policy("two", "9/minute; 90/hour")];
    let subjects = [harness.subject("alice"), harness.subject("bob")];
    let outage_usage = [None, Some(usage(harness, &policies[1], 4))];
    let decision =
        harness.decide(Check::new(&policies, &subjects, 1).with_outage_usage(&outage_usage)).await;
    let remaining: Vec<u64> = decision.quotas().iter().map(|quota| quota.remaining()).collect();
    assert_eq!(remaining, [8, 4, 85]);
}

/// Quotas of several algorithms in one policy are each charged in their own way.
pub async fn algorithms_may_be_mixed(harness: &Harness) {
    let quota = |text: &str| text.parse::<Quota>().expect("the case's quota is one");
    let fixed = quota("20/hour").with_algorithm(Algorithm::FixedWindow).expect("it has no burst");
    let sliding = quota("30/day").with_algorithm(Algorithm::SlidingWindow).expect("nor this");
    let quotas = Quotas::new([quota("9/minute"), fixed, sliding]).expect("they are distinct");
    let policies = [Policy::new("mixed", quotas).expect("the case's name is one")];
    let client = harness.subject("client");
    let _ = harness.check(&policies, &client, 2).await;
    let outage_usage = usage(harness, &policies[0], 3);
    let decision = look(harness, &policies, &client, outage_usage).await;
    let remaining: Vec<u64> = decision.quotas().iter().map(|quota| quota.remaining()).collect();
    assert_eq!(remaining, [4, 15, 25]);
}

/// A ban of an outage neither resets escalation nor counts for less than it
/// lasted.
pub async fn a_ban_of_an_outage_is_escalated_from(harness: &Harness) {
    let rule = rule(1).with_factor_thousandths(2_000).expect("the factor is one");
    let policies = [policy("escalating", "1/day").with_ban(rule)];
    let client = harness.subject("client");
    let banned_for = async || {
        let _ = harness.check(&policies, &client, 1).await;
        let decision = harness.check(&policies, &client, 1).await;
        decision.banned_until().expect("it is banned").since(decision.decided_at())
    };
    assert_eq!(banned_for().await, secs(120));
    harness.advance(secs(120));
    assert_eq!(banned_for().await, secs(240));
    harness.advance(secs(240));
    // Ten seconds are left of a ban of two minutes.
    let now = harness.clock().now();
    let mut outage_usage = OutageUsage::new(&policies[0], now);
    outage_usage.ban(Ban { until: now.after(secs(10)), duration: 120_000_000, count: 2 });
    let _ = look(harness, &policies, &client, outage_usage).await;
    harness.advance(secs(10));
    assert_eq!(banned_for().await, secs(480));
}
