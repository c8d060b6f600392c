//! Cases of ban rules: which refusals strike, when a ban begins, and how long it holds.

use std::time::Duration;

use super::harness::{Harness, policy, rule, secs, wait};
use crate::{BanChange, Check, Clock, Policy, Retry, Subject, Verdict};

/// `2/hour`, banned by the third refusal within a minute.
fn strict() -> Policy {
    policy("strict", "2/hour").with_ban(rule(3))
}

/// Uses up the quota of [`strict`].
async fn exhaust(harness: &Harness, policies: &[Policy], client: &Subject) {
    assert!(harness.check(policies, client, 2).await.is_allowed());
}

async fn refuse(harness: &Harness, policies: &[Policy], client: &Subject, times: u32) {
    for _ in 0..times {
        let refused = harness.check(policies, client, 1).await;
        assert_eq!(refused.verdict(), Verdict::Limited, "{refused:?}");
    }
}

/// Two refusals are limited, the third is already answered as banned.
pub async fn the_refusal_that_reaches_the_threshold_is_banned(harness: &Harness) {
    let (policies, client) = ([strict()], harness.subject("client"));
    exhaust(harness, &policies, &client).await;
    refuse(harness, &policies, &client, 2).await;
    let banned = harness.check(&policies, &client, 1).await;
    assert_eq!(banned.verdict(), Verdict::Banned);
    assert!(banned.is_new_ban());
    assert_eq!(banned.banned_until(), Some(harness.clock().now().after(secs(120))));
    let again = harness.check(&policies, &client, 1).await;
    assert_eq!(again.verdict(), Verdict::Banned);
    assert!(!again.is_new_ban());
    // A look says so as well.
    assert_eq!(harness.check(&policies, &client, 0).await.verdict(), Verdict::Banned);
    let other = harness.subject("other");
    assert!(harness.check(&policies, &other, 1).await.is_allowed());
}

/// The end of a ban stays, however many requests its client sends meanwhile.
pub async fn a_banned_request_neither_strikes_nor_extends(harness: &Harness) {
    let (policies, client) =
        ([policy("short", "2/minute").with_ban(rule(3))], harness.subject("client"));
    exhaust(harness, &policies, &client).await;
    refuse(harness, &policies, &client, 2).await;
    for second in 0..120 {
        let banned = harness.check(&policies, &client, 1).await;
        assert_eq!(wait(&banned), secs(120 - second));
        harness.advance(secs(1));
    }
    assert!(harness.check(&policies, &client, 2).await.is_allowed());
    // The ban cleared the strikes: it takes three again.
    refuse(harness, &policies, &client, 2).await;
    assert_eq!(harness.check(&policies, &client, 1).await.verdict(), Verdict::Banned);
}

/// Strikes slide: a window's edge does not wipe them, two windows do.
pub async fn strikes_over_a_window_edge_add_up(harness: &Harness) {
    let policies = [strict()];
    let edge = 60_000_000 - harness.clock().now().as_micros() % 60_000_000;
    harness.advance(Duration::from_micros(edge) + secs(59));
    for (client, pause, verdict) in [("soon", 2, Verdict::Banned), ("later", 120, Verdict::Limited)]
    {
        let client = harness.subject(client);
        exhaust(harness, &policies, &client).await;
        refuse(harness, &policies, &client, 2).await;
        harness.advance(secs(pause));
        assert_eq!(harness.check(&policies, &client, 1).await.verdict(), verdict);
    }
}

/// Each ban is longer than the last, up to the longest, until it is forgotten.
pub async fn bans_escalate_and_are_forgiven(harness: &Harness) {
    let rule = rule(1)
        .with_factor_thousandths(1_500)
        .and_then(|rule| rule.with_max_duration(secs(400)))
        .and_then(|rule| rule.with_forgive_after(secs(600)))
        .expect("the case's rule is one");
    let policies = [policy("escalating", "2/day").with_ban(rule)];
    let client = harness.subject("client");
    exhaust(harness, &policies, &client).await;
    for duration in [120, 180, 270, 400, 400] {
        let banned = harness.check(&policies, &client, 1).await;
        let until = banned.banned_until().expect("one strike bans");
        assert_eq!(until.since(harness.clock().now()), secs(duration));
        harness.clock().set(until);
    }
    harness.advance(secs(600));
    let banned = harness.check(&policies, &client, 1).await;
    assert_eq!(banned.banned_until(), Some(harness.clock().now().after(secs(120))));
}

/// The time to wait is when the request would pass, be that after the ban.
pub async fn a_ban_lasts_until_the_quota_lets_pass(harness: &Harness) {
    let (policies, client) = ([strict()], harness.subject("client"));
    exhaust(harness, &policies, &client).await;
    refuse(harness, &policies, &client, 2).await;
    let banned = harness.check(&policies, &client, 1).await;
    // The ban is over in two minutes, a unit is there in thirty.
    assert_eq!(wait(&banned), secs(1_800));
    harness.advance(secs(1_800) - Duration::from_micros(1));
    assert!(!harness.check(&policies, &client, 1).await.is_allowed());
    harness.advance(Duration::from_micros(1));
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    // A request that never passes gets no Retry-After, not even the ban's end.
    let other = harness.subject("other");
    harness.change_ban(&policies[0], &other, BanChange::Ban(secs(60))).await;
    assert_eq!(harness.check(&policies, &other, 3).await.retry(), Retry::Never);
}

/// A response of a named status strikes, any other does not.
pub async fn statuses_strike(harness: &Harness) {
    let rule = rule(3).with_statuses([401, 404]).expect("the case's rule is one");
    let policies = [policy("login", "1000/minute").with_ban(rule)];
    let client = harness.subject("client");
    for status in [401, 200, 403, 500, 404] {
        assert_eq!(harness.strike(&policies, &client, status).await, None);
    }
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    let until = harness.clock().now().after(secs(120));
    assert_eq!(harness.strike(&policies, &client, 401).await, Some(until));
    assert_eq!(harness.check(&policies, &client, 1).await.banned_until(), Some(until));
    // A response to a request from before the ban adds nothing.
    harness.advance(secs(1));
    assert_eq!(harness.strike(&policies, &client, 401).await, None);
    assert_eq!(harness.check(&policies, &client, 1).await.banned_until(), Some(until));
}

/// With `refusals = false` only statuses strike.
pub async fn refusals_strike_only_where_said(harness: &Harness) {
    let policies = [policy("patient", "2/hour").with_ban(rule(3).with_refusals(false))];
    let client = harness.subject("client");
    exhaust(harness, &policies, &client).await;
    refuse(harness, &policies, &client, 10).await;
}

fn grouped(name: &str) -> Policy {
    let rule = rule(3).with_statuses([401]).and_then(|rule| rule.with_group("front"));
    policy(name, "2/hour").with_ban(rule.expect("the case's rule is one"))
}

/// Strikes under one policy of a group count for all of them.
pub async fn a_group_shares_strikes_and_bans(harness: &Harness) {
    let (one, other) = ([grouped("one")], [grouped("other")]);
    let client = harness.subject("client");
    exhaust(harness, &one, &client).await;
    refuse(harness, &one, &client, 1).await;
    assert_eq!(harness.strike(&other, &client, 401).await, None);
    let banned = harness.check(&one, &client, 1).await;
    assert_eq!(banned.verdict(), Verdict::Banned);
    assert_eq!(harness.check(&other, &client, 1).await.verdict(), Verdict::Banned);
    // A policy outside the group does not know of it.
    assert!(harness.check(&[strict()], &client, 1).await.is_allowed());
}

/// Two policies of a group that both refuse are one strike.
pub async fn a_request_strikes_a_group_once(harness: &Harness) {
    let policies = [grouped("one"), grouped("other")];
    let client = harness.subject("client");
    exhaust(harness, &policies, &client).await;
    refuse(harness, &policies, &client, 2).await;
    assert_eq!(harness.check(&policies, &client, 1).await.verdict(), Verdict::Banned);
    let another = harness.subject("another");
    for _ in 0..2 {
        assert_eq!(harness.strike(&policies, &another, 401).await, None);
    }
    assert!(harness.strike(&policies, &another, 401).await.is_some());
}

/// A subject that is not bannable neither strikes nor is held by a ban.
pub async fn who_is_never_banned_is_only_limited(harness: &Harness) {
    let rule = rule(1).with_statuses([401]).expect("the case's rule is one");
    let policies = [policy("spared", "2/hour").with_ban(rule)];
    let spared = harness.subject("client").with_bannable(false);
    exhaust(harness, &policies, &spared).await;
    refuse(harness, &policies, &spared, 5).await;
    assert_eq!(harness.strike(&policies, &spared, 401).await, None);
    harness.change_ban(&policies[0], &spared, BanChange::Ban(secs(60))).await;
    assert!(harness.check(&policies, &spared, 0).await.is_allowed());
    // Nor is anything left of it, should the key become bannable.
    let bannable = harness.subject("client");
    assert!(harness.check(&policies, &bannable, 0).await.is_allowed());
}

/// Banned, lifted and forgiven by hand.
pub async fn bans_by_hand(harness: &Harness) {
    let rule = rule(1).with_factor_thousandths(2_000).expect("the case's rule is one");
    let policies = [policy("byhand", "2/day").with_ban(rule)];
    let client = harness.subject("client");
    harness.change_ban(&policies[0], &client, BanChange::Ban(secs(300))).await;
    let until = harness.clock().now().after(secs(300));
    assert_eq!(harness.check(&policies, &client, 1).await.banned_until(), Some(until));
    // A shorter one does not shorten it.
    harness.change_ban(&policies[0], &client, BanChange::Ban(secs(1))).await;
    assert_eq!(harness.check(&policies, &client, 1).await.banned_until(), Some(until));
    harness.change_ban(&policies[0], &client, BanChange::Lift).await;
    exhaust(harness, &policies, &client).await;
    // It was lifted, not forgotten: the next one is twice as long.
    let next = harness.check(&policies, &client, 1).await;
    assert_eq!(next.banned_until(), Some(harness.clock().now().after(secs(600))));
    harness.change_ban(&policies[0], &client, BanChange::Forgive).await;
    let first = harness.check(&policies, &client, 1).await;
    assert_eq!(first.banned_until(), Some(harness.clock().now().after(secs(120))));
}

/// A reset gives the quota back, and leaves the ban.
pub async fn a_reset_forgets_the_counter_and_not_the_ban(harness: &Harness) {
    let (policies, client) = ([strict()], harness.subject("client"));
    exhaust(harness, &policies, &client).await;
    let item = crate::Item { policy: &policies[0], subject: &client };
    harness.store().reset(item).await.expect("the store resets");
    exhaust(harness, &policies, &client).await;
    harness.change_ban(&policies[0], &client, BanChange::Ban(secs(60))).await;
    harness.store().reset(item).await.expect("the store resets");
    assert_eq!(harness.check(&policies, &client, 1).await.verdict(), Verdict::Banned);
}

/// A ban outlives the counters: the key's quota may long have expired.
pub async fn a_ban_holds_without_a_counter(harness: &Harness) {
    let rule = crate::BanRule::after_strikes(1)
        .within(secs(60))
        .for_duration(secs(7_200))
        .expect("the case's rule is one");
    let policies = [policy("lasting", "2/second").with_ban(rule), policy("free", "9/second")];
    let client = harness.subject("client");
    let subjects = [client.clone(), harness.subject("elsewhere")];
    assert!(harness.decide(Check::new(&policies, &subjects, 2)).await.is_allowed());
    assert_eq!(harness.check(&policies, &client, 1).await.verdict(), Verdict::Banned);
    harness.advance(secs(7_199));
    assert_eq!(harness.check(&policies, &client, 1).await.verdict(), Verdict::Banned);
    harness.advance(secs(1));
    assert!(harness.decide(Check::new(&policies, &subjects, 1)).await.is_allowed());
}

/// No ban lasts longer than it did when it began, and none comes back, whatever the
/// clock does.
pub async fn a_clock_that_steps_ends_bans_at_the_latest(harness: &Harness) {
    let (policies, start) = ([strict()], harness.clock().now());
    for (step, name) in [(3_600, "hour"), (86_400, "day")] {
        harness.clock().set(start.after(secs(step)));
        let (banned, ended) = (harness.subject(name), harness.subject(&format!("ended-{name}")));
        harness.change_ban(&policies[0], &ended, BanChange::Ban(secs(60))).await;
        harness.advance(secs(61));
        harness.change_ban(&policies[0], &banned, BanChange::Ban(secs(60))).await;
        harness.clock().set(start);
        for client in [banned, ended] {
            assert!(harness.check(&policies, &client, 0).await.is_allowed(), "{name}");
            let item = crate::Item { policy: &policies[0], subject: &client };
            assert_eq!(harness.store().ban(item).await.expect("the store answers"), None);
        }
    }
    // Forwards, it ends early; a second backwards is no step.
    let client = harness.subject("client");
    harness.change_ban(&policies[0], &client, BanChange::Ban(secs(60))).await;
    harness.clock().set(crate::Timestamp::from_micros(start.as_micros() - 1_000_000));
    assert_eq!(harness.check(&policies, &client, 0).await.verdict(), Verdict::Banned);
    harness.clock().set(start.after(secs(3_600)));
    assert!(harness.check(&policies, &client, 0).await.is_allowed());
}
