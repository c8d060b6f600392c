//! Cases of `Store::look`, which reads usage, strikes and bans and changes nothing.

use super::harness::{Harness, policy, rule, secs};
use crate::{
    Algorithm, BanChange, Check, Item, KeyStates, Mode, Policy, Quota, Quotas, Subject,
    decide::decide,
};

async fn look(harness: &Harness, policies: &[Policy], subjects: &[Subject]) -> KeyStates {
    let items = policies.iter().zip(subjects).map(|(policy, subject)| Item { policy, subject });
    harness.store().look(items.collect()).await.expect("the store looks")
}

/// A look has usage, strikes and ban, and the ones after it have the same.
pub async fn a_look_has_everything_and_changes_nothing(harness: &Harness) {
    let policies = [policy("seen", "3/hour; 5/day").with_ban(rule(3))];
    let client = [harness.subject("client")];
    let nothing = look(harness, &policies, &client).await;
    assert_eq!(nothing.states[0].usages()[0].remaining(), 3);
    let _ = harness.check(&policies, &client[0], 3).await;
    let _ = harness.check(&policies, &client[0], 1).await;
    for _ in 0..3 {
        let KeyStates { now, states } = look(harness, &policies, &client).await;
        let remaining: Vec<u64> =
            states[0].usages().iter().map(|usage| usage.remaining()).collect();
        let record = states[0].ban_record().expect("the policy bans");
        assert_eq!((remaining, record.strike_count(), record.ban()), (vec![0, 2], 1, None));
        assert_eq!(now, crate::Clock::now(harness.clock()));
    }
    harness.change_ban(&policies[0], &client[0], BanChange::Ban(secs(60))).await;
    for _ in 0..2 {
        let KeyStates { now, states } = look(harness, &policies, &client).await;
        let record = states[0].ban_record().expect("the policy bans");
        assert_eq!(record.banned_until(now), Some(now.after(secs(60))));
        assert_eq!((record.strike_count(), record.ban().map(|ban| ban.count)), (0, Some(1)));
    }
    // A key that may not be banned has usage alone.
    let spared = [client[0].clone().with_bannable(false)];
    let KeyStates { states, .. } = look(harness, &policies, &spared).await;
    assert_eq!((states[0].usages()[0].remaining(), states[0].ban_record()), (0, None));
}

/// From what a look has, the pure functions derive the next decision, whatever came
/// before: several policies of all algorithms, a shared group, a shadow policy, one
/// client and two.
pub async fn the_next_check_does_what_a_look_says(harness: &Harness) {
    let shared = rule(3).with_group("looked").and_then(|rule| rule.with_statuses([401]));
    let shared = shared.expect("the case's rule is one");
    let limits = ["3/2s", "5/5s", "7/9s", "6/8s"];
    let mixed: Vec<Quota> = Algorithm::ALL.iter().zip(limits).map(mix).collect();
    let policies = [
        Policy::new("mixed", Quotas::new(mixed).expect("they differ"))
            .expect("the case's name is one")
            .with_ban(shared.clone()),
        policy("second", "4/3s").with_ban(shared),
        policy("shadow", "2/4s").with_ban(rule(2)).with_mode(Mode::Shadow),
    ];
    let (one, other) = (harness.subject("one"), harness.subject("other"));
    let mut random = 1_u64;
    for step in 0..100 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let draw = |bits: u32, of: u64| (random >> bits) % of;
        let second = if draw(20, 3) == 0 { &other } else { &one };
        let subjects = [one.clone(), second.clone(), one.clone()];
        match draw(25, 8) {
            0 => drop(harness.strike(&policies[..1], &one, 401).await),
            1 if draw(40, 4) == 0 => {
                harness
                    .change_ban(&policies[1], second, BanChange::Ban(secs(1 + draw(30, 3))))
                    .await;
            }
            2 => harness.advance(std::time::Duration::from_millis(draw(34, 3_000))),
            _ => {}
        }
        let check = Check::new(&policies, &subjects, draw(50, 4));
        let KeyStates { now, states } = look(harness, &policies, &subjects).await;
        let expected = decide(&check, &states, now).decision;
        assert_eq!(harness.decide(check).await, expected, "step {step}");
    }
}

fn mix((algorithm, quota): (&Algorithm, &str)) -> Quota {
    let quota: Quota = quota.parse().expect("the case's quota is one");
    quota.with_algorithm(*algorithm).expect("it has no burst")
}
