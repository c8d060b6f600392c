//! `mode`: enforce, shadow, off.

use std::time::Duration;

use limiter_core::{BanRule, Config, Key, Limiter, MemoryStore, Mode, Policy, Subjects, Verdict};

use crate::test_request::from;

fn policy(mode: Mode) -> Policy {
    let hour = Duration::from_secs(3_600);
    let rule = BanRule::after_strikes(3).within(hour).for_duration(hour).unwrap();
    Policy::new("api", "2/hour").unwrap().with_ban(rule).with_mode(mode)
}

async fn limiter(store: &MemoryStore, policy: Policy, mode: Mode) -> Limiter {
    let builder = Limiter::builder().store(store.clone()).policy(policy).mode(mode);
    builder.build().await.unwrap()
}

/// Usage of the shadow policy, strikes and bans included, counts for nothing
/// once the policy is enforced.
#[tokio::test]
async fn a_shadow_policy_that_is_enforced_bans_for_nothing_of_before() {
    let store = MemoryStore::builder().build();
    for mode in [Mode::Shadow, Mode::Enforce] {
        // At the root and at the policy it is the same.
        let shadow = limiter(&store, policy(mode), Mode::Shadow).await;
        assert_eq!(from("192.0.2.1").admitted(&shadow, "api", 20).await, 20);
    }
    let enforced = limiter(&store, policy(Mode::Enforce), Mode::Enforce).await;
    assert_eq!(from("192.0.2.1").admitted(&enforced, "api", 2).await, 2);
    let verdict = from("192.0.2.1").ask(&enforced, "api").await.unwrap().verdict();
    assert_eq!(verdict, Verdict::Limited);
}

/// Nothing is refused, and neither a store nor an address is needed.
#[tokio::test]
async fn what_is_off_lets_everything_pass_without_a_store() {
    let toml = "mode = \"off\"\nstore = \"redis://127.0.0.1:1\"\nblock = [\"192.0.2.1\"]\n\
                [policies.api]\nquota = \"1/hour\"\n[policies.two]\nquota = \"1/hour\"";
    let limiter = Limiter::from_config(Config::from_toml(toml).unwrap()).await.unwrap();
    assert_eq!(from("").admitted(&limiter, "api", 9).await, 9);
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 9).await, 9);
    let both = limiter.policies(["api", "two"]).unwrap();
    let subjects = limiter.subjects([Key::user("a"), Key::user("b")]);
    for _ in 0..9 {
        assert!(both.check(&subjects, 1).await.unwrap().is_allowed());
    }
}

/// A policy that is off is left out.
#[tokio::test]
async fn one_policy_that_is_off_leaves_the_others() {
    let limiter = Limiter::builder()
        .policy(Policy::new("off", "1/hour").unwrap().with_mode(Mode::Off))
        .policy(Policy::new("on", "3/hour").unwrap())
        .build()
        .await
        .unwrap();
    let both = limiter.policies(["off", "on"]).unwrap();
    let subjects = limiter.subjects([Key::user("a"), Key::user("b")]);
    let mut admitted = 0;
    for _ in 0..9 {
        admitted += u32::from(both.check(&subjects, 1).await.unwrap().is_allowed());
    }
    assert_eq!(admitted, 3);
    let resolved: Subjects = both.resolve_subjects(&from("192.0.2.1"), None).unwrap().unwrap();
    assert_eq!(resolved.len(), 1);
}
