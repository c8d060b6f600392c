//! Changes of each kind: what is kept, what starts anew, what is refused.

use std::time::Duration;

use limiter_core::{
    AdmitOptions, Config, Key, Limiter, LimiterBuilder, ManualClock, MemoryStore, Mode, Policy,
    PolicySet, Timestamp, Verdict,
};

use super::{Reloads, limiter, reload};
use crate::test_request::from;

fn api(rest: &str) -> String {
    format!("[policies.api]\n{rest}\n")
}

/// How many of so many requests a set admits.
async fn admitted(set: &PolicySet, times: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u32::from(set.admit(&from("192.0.2.1"), AdmitOptions::default()).await.is_ok());
    }
    admitted
}

/// A handle that was made at the start follows each reload.
#[tokio::test]
async fn a_changed_limit_keeps_what_was_used() {
    let limiter = limiter(&api("quota = \"5/hour\"")).await;
    let set = limiter.policy("api").unwrap();
    assert_eq!(admitted(&set, 9).await, 5);
    assert_eq!(reload(&limiter, &api("quota = \"7/hour\"")).unwrap().len(), 1);
    assert!(!set.is_current() && set.current().is_current());
    assert_eq!(admitted(&set, 9).await, 2);
    // Other windows are counted apart.
    reload(&limiter, &api("quota = \"3/day\"")).unwrap();
    assert_eq!(admitted(&set, 9).await, 3);
    reload(&limiter, &api("quota = \"8/hour\"")).unwrap();
    assert_eq!(admitted(&set, 9).await, 1);
}

#[tokio::test]
async fn a_quota_more_or_less_keeps_what_was_used_of_the_others() {
    let limiter = limiter(&api("quota = \"5/hour\"")).await;
    let set = limiter.policy("api").unwrap();
    assert_eq!(admitted(&set, 9).await, 5);
    for (quota, more) in [
        ("5/hour; 9/day", 0),
        ("9/day; 7/hour", 2),
        ("9/day", 7),
        ("8/hour", 1),
        ("3/second; 8/hour; 10/day", 0),
        ("10/day", 1),
    ] {
        reload(&limiter, &api(&format!("quota = \"{quota}\""))).unwrap();
        assert_eq!(admitted(&set, 9).await, more, "{quota}");
    }
}

#[tokio::test]
async fn a_thousand_reloads_that_change_nothing_of_a_policy_refill_nobody() {
    let text = |n: u32| {
        let other = format!("[policies.other]\nquota = \"{}/minute\"\n", n % 7 + 1);
        api(
            "quota = \"5/hour; 9/day\"\nban = { threshold = 2, window = \"1h\", duration = \"1h\" }",
        ) + &other
    };
    let limiter = limiter(&text(0)).await;
    let set = limiter.policy("api").unwrap();
    assert_eq!(admitted(&set, 9).await, 5);
    for n in 1..=1_000 {
        // Every other one changes nothing at all.
        reload(&limiter, &text(n / 2)).unwrap();
        assert_eq!(admitted(&set, 1).await, 0);
    }
    let key = Key::ip("192.0.2.1".parse().unwrap());
    assert!(limiter.banned("api", &key).await.unwrap().is_some());
    assert_eq!(limiter.stats().policies["api"].allowed, 5);
}

#[tokio::test]
async fn lists_proxies_and_prefixes_change() {
    let limiter = limiter(&api("quota = \"1/hour\"")).await;
    let set = limiter.policy("api").unwrap();
    let status = async |peer: &str| match set.admit(&from(peer), AdmitOptions::default()).await {
        Ok(admission) => u16::from(admission.permit().is_some()),
        Err(refusal) => refusal.status(),
    };
    assert_eq!([status("192.0.2.1").await, status("192.0.2.1").await], [1, 429]);
    let change = |root: &str| reload(&limiter, &(root.to_owned() + &api("quota = \"1/hour\"")));
    change("allow = [\"192.0.2.1\"]\n").unwrap();
    assert_eq!(status("192.0.2.1").await, 0);
    change("block = [\"192.0.2.0/24\"]\n").unwrap();
    assert_eq!(status("192.0.2.1").await, 403);
    change("trusted_proxies = [\"192.0.2.1\"]\nclient_ip_header = \"x-real-ip\"\n").unwrap();
    let behind = from("192.0.2.1").with("x-real-ip", "198.51.100.1");
    assert!(set.admit(&behind, AdmitOptions::default()).await.is_ok());
    change("ipv6_prefix = 48\n").unwrap();
    assert_eq!(status("192.0.2.1").await, 429);
    assert_eq!([status("2001:db8::1").await, status("2001:db8:0:1::1").await], [1, 429]);
}

/// The switch for an incident: bans hold again afterwards.
#[tokio::test]
async fn the_root_mode_opens_everything_and_closes_it_again() {
    let policy =
        api("quota = \"1/hour\"\nban = { threshold = 1, window = \"1h\", duration = \"1h\" }");
    let limiter = limiter(&policy).await;
    let set = limiter.policy("api").unwrap();
    assert_eq!(admitted(&set, 3).await, 1);
    for mode in ["shadow", "off"] {
        reload(&limiter, &format!("mode = \"{mode}\"\n{policy}")).unwrap();
        assert_eq!(admitted(&set, 20).await, 20, "{mode}");
        reload(&limiter, &policy).unwrap();
        let refusal = set.admit(&from("192.0.2.1"), AdmitOptions::default()).await.unwrap_err();
        assert_eq!(refusal.status(), 403, "{mode}");
    }
}

/// The set with another plan is found again in the new rules.
#[tokio::test]
async fn plans_follow_a_reload() {
    let limiter = limiter(&api("quota = \"5/hour\"\nheaders = \"none\"")).await;
    let free = limiter.policy("api").unwrap();
    let paying = free.with_quotas("api", &"50/hour".parse().unwrap()).unwrap();
    assert_eq!(admitted(&paying, 20).await, 20);
    reload(&limiter, &api("quota = \"5/hour\"")).unwrap();
    assert_eq!(admitted(&free, 1).await, 0);
    assert_eq!(admitted(&paying, 99).await, 30);
    assert!(paying.current().policy_field().unwrap().contains("q=50"));
}

/// All limits of a request go by the rules of the first, and so do its strikes.
#[tokio::test]
async fn a_request_is_decided_by_one_state_of_the_rules() {
    let text = |limit: u32| {
        format!("[policies.a]\nquota = \"{limit}/hour\"\n[policies.b]\nquota = \"{limit}/hour\"\n")
    };
    let limiter = limiter(&text(10)).await;
    let (a, b) = (limiter.policy("a").unwrap(), limiter.policy("b").unwrap());
    let request = from("192.0.2.1");
    let outer = a.admit(&request, AdmitOptions::default()).await.unwrap();
    reload(&limiter, &text(20)).unwrap();
    let options = AdmitOptions::default().after(outer.permit().cloned());
    let inner = b.admit(&request, options).await.unwrap();
    let limit = |set: &PolicySet| set.policies()[0].quotas()[0].limit();
    assert_eq!(limit(inner.permit().unwrap().policies()), 10);
    let next = b.admit(&request, AdmitOptions::default()).await.unwrap();
    assert_eq!(limit(next.permit().unwrap().policies()), 20);
}

/// Each is refused whole, names what is wrong, and leaves everything as it was.
#[tokio::test]
async fn what_cannot_change_is_refused() {
    let right = api("quota = \"2/hour\"") + "[policies.spare]\nquota = \"1/hour\"\n";
    let limiter = limiter(&right).await;
    let set = limiter.policy("api").unwrap();
    assert_eq!(admitted(&set, 1).await, 1);
    let more = right.replace("2/hour", "9/hour");
    let wrong: [(String, &str); 8] = [
        (more.replace("9/hour", "9/fortnight"), "policies.api.quota: \"9/fortnight\""),
        (format!("{more}qouta = 1"), "qouta"),
        (more.replace("[policies.api]", "[policies.apx]"), "policies.api: is missing"),
        (format!("store = \"redis://:secret@127.0.0.1\"\n{more}"), "store: cannot change"),
        (format!("max_keys = 10\n{more}"), "max_keys: cannot change"),
        (format!("reload = \"watch\"\n{more}"), "reload: cannot change"),
        (format!("allow = [\"10.0.0.0/8\"]\nblock = [\"10.0.0.0/8\"]\n{more}"), "allow"),
        (String::new(), "policies: there is none any more"),
    ];
    for (toml, reason) in wrong {
        let error = reload(&limiter, &toml).unwrap_err();
        assert!(error.starts_with(reason) || error.contains(reason), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert!(set.is_current());
    }
    assert_eq!(admitted(&set, 9).await, 1);
    // A policy that nobody uses may go.
    let changes = reload(&limiter, &api("quota = \"2/hour\"")).unwrap();
    assert_eq!(changes, ["policies.spare.quota: \"1/hour\" -> nothing"]);
    assert!(limiter.policy("spare").is_err());
}

/// The demands of the application at the start hold for each reload.
#[tokio::test]
async fn demands_of_the_start_are_made_again() {
    let right = api("quota = \"2/hour\"") + "[policies.needed]\nquota = \"1/hour\"\n";
    let config = Config::from_toml(&right).unwrap().require(["needed"]).unwrap();
    let limiter = Limiter::from_config(config).await.unwrap();
    let error = reload(&limiter, &api("quota = \"3/hour\"")).unwrap_err();
    assert!(error.contains("\"needed\" is missing"), "{error}");
    limiter.check_reloads(|policies| match policies.iter().any(|one| one.ban().is_some()) {
        true => Ok(()),
        false => Err("some policy has to ban".to_owned()),
    });
    assert_eq!(reload(&limiter, &right).unwrap_err(), "some policy has to ban");
    let ban = "ban = { threshold = 9, window = \"1h\", duration = \"1h\" }\n";
    assert_eq!(reload(&limiter, &(right + ban)).unwrap().len(), 3);
}

/// Settings in code stand over each configuration.
#[tokio::test]
async fn what_is_set_in_code_stays() {
    let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
    let config = Config::from_toml(&api("quota = \"1/minute\"")).unwrap();
    let limiter = LimiterBuilder::from_config(config)
        .store(MemoryStore::builder().clock(clock.clone()).build())
        .policy(Policy::new("code", "2/minute").unwrap())
        .block("198.51.100.0/24")
        .build()
        .await
        .unwrap();
    let code = limiter.policy("code").unwrap();
    assert_eq!(admitted(&code, 9).await, 2);
    let root = "block = [\"192.0.2.1\"]\nmode = \"enforce\"\n";
    reload(&limiter, &(root.to_owned() + &api("quota = \"3/minute\""))).unwrap();
    let blocked = code.admit(&from("198.51.100.1"), AdmitOptions::default()).await.unwrap_err();
    assert_eq!(blocked.status(), 403);
    assert_eq!(admitted(&code, 9).await, 0);
    clock.advance(Duration::from_secs(30));
    assert_eq!(admitted(&code, 9).await, 1);
}

/// Without a store there is nothing to enforce with.
#[tokio::test]
async fn a_limiter_that_was_started_off_says_that_it_has_no_store() {
    let text = |mode| {
        format!("mode = \"{mode}\"\nstore = \"redis://127.0.0.1:1\"\n{}", api("quota = \"1/s\""))
    };
    let limiter = limiter(&text("off")).await;
    let error = reload(&limiter, &text("enforce")).unwrap_err();
    assert!(error.starts_with("mode: was \"off\" at the start"), "{error}");
    // In memory nothing had to be connected.
    let off = super::limiter(&("mode = \"off\"\n".to_owned() + &api("quota = \"1/hour\""))).await;
    let set = off.policy("api").unwrap();
    assert_eq!(admitted(&set, 5).await, 5);
    reload(&off, &api("quota = \"1/hour\"")).unwrap();
    assert_eq!(admitted(&set, 5).await, 1);
    assert_eq!(set.current().policies()[0].mode(), Mode::Enforce);
}

#[tokio::test]
async fn each_outcome_is_reported_once() {
    let reloads = Reloads::default();
    let config = Config::from_toml(&api("quota = \"1/hour\"")).unwrap();
    let limiter = reloads.observing(LimiterBuilder::from_config(config)).build().await.unwrap();
    for _ in 0..3 {
        reload(&limiter, &api("quota = \"1/hour\"")).unwrap();
    }
    reloads.assert_no_more();
    for _ in 0..3 {
        reload(&limiter, "").unwrap_err();
    }
    let refused = limiter.stats().reloads;
    assert_eq!((refused.applied, refused.refused), (0, 1));
    assert!(refused.refused_since.is_some() && refused.refusal.is_some());
    assert!(reloads.wait().starts_with("refused: policies: there is none any more"));
    reload(&limiter, &api("quota = \"1/hour\"")).unwrap();
    reload(&limiter, &api("quota = \"2/hour\"")).unwrap();
    assert_eq!(
        [reloads.wait(), reloads.wait()],
        ["", "policies.api.quota: \"1/hour\" -> \"2/hour\""]
    );
    let applied = limiter.stats().reloads;
    assert_eq!((applied.applied, applied.refused, applied.refusal), (2, 1, None));
    assert_eq!(limiter.reload().unwrap_err().to_string().split(';').count(), 2);
}

/// Bans end when they were to end, whatever the rule says now.
#[tokio::test]
async fn a_changed_ban_rule_keeps_bans() {
    let ban = |duration| {
        api(&format!(
            "quota = \"1/hour\"\nban = {{ threshold = 1, window = \"1h\", duration = \"{duration}\" }}"
        ))
    };
    let limiter = limiter(&ban("1h")).await;
    let set = limiter.policy("api").unwrap();
    assert_eq!(admitted(&set, 2).await, 1);
    let key = Key::ip("192.0.2.1".parse().unwrap());
    let until = limiter.banned("api", &key).await.unwrap().unwrap().until;
    reload(&limiter, &ban("5m")).unwrap();
    assert_eq!(limiter.banned("api", &key).await.unwrap().unwrap().until, until);
    let current = set.current();
    let decision = current.check(&current.subjects_of(&key), 1).await.unwrap();
    assert_eq!(decision.verdict(), Verdict::Banned);
}
