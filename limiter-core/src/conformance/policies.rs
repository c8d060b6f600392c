//! Cases of checks by several policies: all are charged or none.

use super::{
    harness::{Harness, policy, secs, wait},
    quotas::{align, counted_by},
};
use crate::{
    Algorithm, Check, Decision, Item, Key, Mode, Policy, Subject, Verdict,
    decide::Usage,
    settlement::{Adjustment, SettledItem},
};

/// Nor does a refusal by one policy charge the others, each with its own key.
pub async fn several_policies_are_all_or_nothing(harness: &Harness) {
    let policies = [policy("burst", "2/minute"), policy("daily", "100/day")];
    let shared = harness.subject("tenant");
    for client in ["one", "two"] {
        let subjects = [harness.subject(client), shared.clone()];
        for _ in 0..2 {
            assert!(harness.decide(Check::new(&policies, &subjects, 1)).await.is_allowed());
        }
        let refused = harness.decide(Check::new(&policies, &subjects, 1)).await;
        assert_eq!(refused.verdict(), Verdict::Limited);
        assert_eq!(refused.quotas()[0].policy(), 0);
        assert!(refused.quotas()[0].refuses() && !refused.quotas()[1].refuses());
    }
    let daily = harness.check(&policies[1..], &shared, 0).await;
    assert_eq!(daily.quotas()[0].remaining(), 96);
}

/// Another key, or another policy, has a count of its own.
pub async fn keys_and_policies_are_apart(harness: &Harness) {
    let (a, b) = ([policy("a", "1/minute")], [policy("b", "1/minute")]);
    for client in [harness.subject("one"), harness.subject("two")] {
        for policies in [&a, &b] {
            assert!(harness.check(policies, &client, 1).await.is_allowed());
            assert!(!harness.check(policies, &client, 1).await.is_allowed());
        }
    }
}

/// Whatever a client sends as its identity, it is one key and no other.
pub async fn hostile_keys_are_told_apart(harness: &Harness) {
    let policies = [policy("hostile", "1/hour")];
    let long = "x".repeat(1 << 20);
    let texts = [
        "", "{}", "}", "{", "*", ":", "?", "[a]", "\0", "\n", "\r\n", " ", "'", "\\", "\u{fe0f}",
        &long,
    ];
    let of_trial = harness.subject("hostile").key;
    let mut keys: Vec<Key> = Vec::new();
    for text in texts {
        keys.extend([Key::user(text), Key::custom("user", text)]);
        keys.push(Key::header("x-api-key", text.as_bytes()));
    }
    keys.push(Key::user("ab").and(Key::user("c")));
    keys.push(Key::user("a").and(Key::user("bc")));
    keys.push(Key::custom("a:b", "c"));
    keys.push(Key::custom("a", "b:c"));
    for key in keys {
        let subject = Subject::new(of_trial.clone().and(key));
        assert!(harness.check(&policies, &subject, 1).await.is_allowed(), "{}", subject.key);
        assert!(!harness.check(&policies, &subject, 1).await.is_allowed(), "{}", subject.key);
    }
}

/// A limit may be changed while clients are being counted.
pub async fn a_changed_limit_keeps_what_was_used(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let client = harness.subject(algorithm.as_str());
        assert!(harness.check(&counted_by(algorithm, "10/hour"), &client, 8).await.is_allowed());
        let raised = harness.check(&counted_by(algorithm, "20/hour"), &client, 0).await;
        assert_eq!(raised.quotas()[0].remaining(), 12, "{algorithm:?}");
        let lowered = harness.check(&counted_by(algorithm, "5/hour"), &client, 1).await;
        assert_eq!(lowered.verdict(), Verdict::Limited, "{algorithm:?}");
    }
}

/// Each quota is counted for itself, whatever others the policy has: one more, one less,
/// and another order change nothing of what was used of the others.
pub async fn a_quota_more_or_less_keeps_the_others(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let client = harness.subject(algorithm.as_str());
        let hour = counted_by(algorithm, "10/hour");
        let both = counted_by(algorithm, "10/hour; 20/day");
        let remaining = async |policies: &[Policy; 1], cost: u64| {
            let decision = harness.check(policies, &client, cost).await;
            assert!(decision.is_allowed(), "{algorithm:?}: {decision:?}");
            decision.quotas().iter().map(|quota| quota.remaining()).collect::<Vec<_>>()
        };
        align(harness, secs(86_400));
        assert_eq!(remaining(&hour, 4).await, [6], "{algorithm:?}");
        assert_eq!(remaining(&both, 0).await, [6, 20], "{algorithm:?}");
        assert_eq!(remaining(&both, 2).await, [4, 18], "{algorithm:?}");
        // A server that does not know the new quota yet, and one in which it comes first.
        assert_eq!(remaining(&hour, 1).await, [3], "{algorithm:?}");
        let three = counted_by(algorithm, "20/day; 5/minute; 10/hour");
        assert_eq!(remaining(&three, 1).await, [4, 2, 17], "{algorithm:?}");
        assert_eq!(remaining(&counted_by(algorithm, "30/day"), 1).await, [26], "{algorithm:?}");
        assert_eq!(remaining(&both, 0).await, [2, 16], "{algorithm:?}");
        assert_eq!(remaining(&hour, 2).await, [0], "{algorithm:?}");
        let refused = harness.check(&both, &client, 1).await;
        assert!(refused.quotas()[0].refuses() && !refused.quotas()[1].refuses());
        // A reset forgets all of them.
        let item = Item { policy: &hour[0], subject: &client };
        harness.store().reset(item).await.expect("the store works");
        assert_eq!(remaining(&three, 0).await, [5, 10, 20], "{algorithm:?}");
    }
}

/// Units that are given back or charged beyond the limit change the policy's own quotas
/// alone.
pub async fn a_settlement_keeps_quotas_that_it_does_not_know(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let client = harness.subject(algorithm.as_str());
        let hour = counted_by(algorithm, "10/hour");
        let both = counted_by(algorithm, "10/hour; 20/day");
        align(harness, secs(86_400));
        assert!(harness.check(&both, &client, 3).await.is_allowed());
        let item = || Item { policy: &hour[0], subject: &client };
        let settle = async |adjustment| {
            harness.settle(vec![SettledItem::adjusted(item(), adjustment)]).await.swap_remove(0)
        };
        let charged = settle(Adjustment::Charge(2)).await;
        let marks = charged.usages.iter().map(Usage::mark).collect();
        let look = harness.check(&both, &client, 0).await;
        let remaining = |look: &Decision| {
            look.quotas().iter().map(|quota| quota.remaining()).collect::<Vec<_>>()
        };
        assert_eq!(remaining(&look), [5, 17], "{algorithm:?}");
        settle(Adjustment::Refund { units: 5, marks }).await;
        let look = harness.check(&both, &client, 0).await;
        assert_eq!(remaining(&look), [10, 17], "{algorithm:?}");
    }
}

/// Another window is another rule: two configurations can run side by side.
pub async fn a_changed_window_starts_anew(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let client = harness.subject(algorithm.as_str());
        let (old, new) = (counted_by(algorithm, "1/hour"), counted_by(algorithm, "1/day"));
        assert!(harness.check(&old, &client, 1).await.is_allowed());
        assert!(harness.check(&new, &client, 1).await.is_allowed(), "{algorithm:?}");
        assert!(!harness.check(&old, &client, 1).await.is_allowed());
        assert!(!harness.check(&new, &client, 1).await.is_allowed());
    }
}

/// A shadow policy counts and reports, but never refuses.
pub async fn a_shadow_policy_watches(harness: &Harness) {
    let client = harness.subject("client");
    let shadow = policy("shadow", "1/hour").with_mode(Mode::Shadow);
    let policies = [policy("enforced", "3/hour"), shadow];
    for (refusals, enforced_remaining) in [(0, 2), (1, 1), (1, 0)] {
        let decision = harness.check(&policies, &client, 1).await;
        assert!(decision.is_allowed());
        assert_eq!(decision.shadow_refusals().count(), refusals);
        let tightest = decision.tightest().map(|quota| quota.remaining());
        assert_eq!(tightest, Some(enforced_remaining));
    }
    assert_eq!(harness.check(&policies, &client, 1).await.verdict(), Verdict::Limited);
}

/// Nor does a smaller bucket forgive what was taken from the larger one.
pub async fn a_lowered_burst_keeps_what_was_used(harness: &Harness) {
    let client = harness.subject("client");
    assert!(harness.check(&[policy("lowered", "1/s burst 100")], &client, 100).await.is_allowed());
    let refused = harness.check(&[policy("lowered", "1/s burst 10")], &client, 1).await;
    assert_eq!(wait(&refused), secs(91));
}

/// A lowered limit makes a client wait as long as it says, to the microsecond.
pub async fn a_lowered_limit_says_how_long(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let client = harness.subject(algorithm.as_str());
        assert!(harness.check(&counted_by(algorithm, "100/2s"), &client, 82).await.is_allowed());
        let lowered = counted_by(algorithm, "1/2s");
        let wait = wait(&harness.check(&lowered, &client, 1).await);
        assert!(wait <= secs(4), "{algorithm:?}: {wait:?}");
        let micro = std::time::Duration::from_micros(1);
        harness.advance(wait - micro);
        assert!(!harness.check(&lowered, &client, 1).await.is_allowed(), "{algorithm:?}");
        harness.advance(micro);
        assert!(harness.check(&lowered, &client, 1).await.is_allowed(), "{algorithm:?}");
    }
}
