//! Properties of every decision, for random policies and states.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    ban::BanRule,
    check::Subject,
    key::Key,
    policy::Policy,
    quota::{Algorithm, Quota, Quotas},
};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// A policy: quotas, units of each that are used, and whether it only watches,
/// has a ban rule, and a ban in force.
type Given = (Vec<Quota>, Vec<u64>, bool, bool, bool);

fn used_policy() -> impl Strategy<Value = Given> {
    let algorithms = prop::sample::select(Algorithm::ALL);
    let quotas = (prop::collection::vec((1u64..6, 1u64..90), 1..4), algorithms).prop_map(
        |(numbers, algorithm)| {
            let mut quotas: Vec<Quota> = Vec::new();
            for (limit, window) in numbers {
                let quota = Quota::new(limit, Duration::from_micros(window)).unwrap();
                let quota = quota.with_algorithm(algorithm).unwrap();
                if !quotas.contains(&quota) {
                    quotas.push(quota);
                }
            }
            quotas
        },
    );
    let used = prop::collection::vec(0u64..6, 3);
    (quotas, used, any::<bool>(), any::<bool>(), any::<bool>())
}

struct Setup {
    policies: Vec<Policy>,
    subjects: Vec<Subject>,
    priors: Vec<PriorState>,
}

fn setup(given: &[Given]) -> Setup {
    let rule = BanRule::after_strikes(2)
        .within(Duration::from_secs(1))
        .for_duration(Duration::from_secs(1))
        .unwrap();
    let mut setup = Setup { policies: Vec::new(), subjects: Vec::new(), priors: Vec::new() };
    for (at, (quotas, used, shadow, bans, banned)) in given.iter().enumerate() {
        let quotas = Quotas::new(quotas.iter().copied()).unwrap();
        let mut policy = Policy::new(&format!("p{at}"), quotas).unwrap();
        if *shadow {
            policy = policy.with_mode(Mode::Shadow);
        }
        if *bans {
            policy = policy.with_ban(rule.clone());
        }
        let subject = Subject::new(Key::user(&at.to_string()));
        let states: Vec<_> = policy
            .quotas()
            .iter()
            .zip(used)
            .map(|(quota, used)| {
                let none: Usage = Usage::at(*quota, None, NOW);
                none.charge((*used).min(quota.limit())).state()
            })
            .collect();
        let ban = banned.then_some(Ban { until: NOW.after_micros(5), duration: 9, count: 1 });
        let item = Item { policy: &policy, subject: &subject };
        setup.priors.push(PriorState::new(item, states, None, ban, NOW));
        setup.policies.push(policy);
        setup.subjects.push(subject);
    }
    setup
}

proptest! {
    /// Admitted if and only if every enforced quota alone admits and no ban
    /// holds; then all enforced policies are charged, and else none is.
    #[test]
    fn all_or_nothing(given in prop::collection::vec(used_policy(), 1..4), cost in 0u64..4) {
        let Setup { policies, subjects, priors } = setup(&given);
        let check = Check::new(&policies, &subjects, cost);
        let outcome = decide(&check, &priors, NOW);
        let enforced = |at: &usize| policies[*at].mode() == Mode::Enforce;
        let positions = || (0..policies.len()).filter(enforced);
        let admits = |at: usize| {
            let free = priors[at].offender.is_none_or(|o| o.banned_until(NOW).is_none());
            free && priors[at].levels.iter().all(|level| level.wait(cost) == Wait::None)
        };
        prop_assert_eq!(outcome.decision.is_allowed(), positions().all(admits));
        for at in positions() {
            let charged = matches!(outcome.changes[at], Change::Charged(_));
            prop_assert_eq!(charged, outcome.decision.is_allowed() && cost > 0);
            if !charged {
                let statuses = outcome.decision.quotas().iter().filter(|s| s.policy() == at);
                for (status, before) in statuses.zip(&priors[at].levels) {
                    prop_assert_eq!(status.usage, before.summary(), "a refusal changes nothing");
                }
            }
        }
    }

    /// In whatever order policies and quotas are given, the answer is the same.
    #[test]
    fn the_order_makes_no_difference(
        given in prop::collection::vec(used_policy(), 1..4), cost in 0u64..4,
    ) {
        let forwards = setup(&given);
        let check = Check::new(&forwards.policies, &forwards.subjects, cost);
        let first = decide(&check, &forwards.priors, NOW).decision;
        let Setup { mut policies, mut subjects, mut priors } = forwards;
        policies.reverse();
        subjects.reverse();
        priors.reverse();
        let second = decide(&Check::new(&policies, &subjects, cost), &priors, NOW).decision;
        prop_assert_eq!(first.verdict(), second.verdict());
        prop_assert_eq!(first.retry(), second.retry());
        prop_assert_eq!(first.banned_until(), second.banned_until());
    }

    /// The time to wait is exact for the whole: all quotas and the ban.
    #[test]
    fn the_retry_is_exact_for_the_whole(
        given in prop::collection::vec(used_policy(), 1..4), cost in 1u64..4,
    ) {
        let Setup { policies, subjects, priors } = setup(&given);
        let check = Check::new(&policies, &subjects, cost);
        let outcome = decide(&check, &priors, NOW);
        let Wait::Micros(wait) = outcome.decision.wait() else { return Ok(()) };
        let later = |by: u64| {
            let now = NOW.after_micros(by);
            let priors: Vec<_> = check
                .items()
                .zip(&priors)
                .zip(&outcome.changes)
                .map(|((item, prior), change)| {
                    let states = prior.levels.iter().map(|level| level.state());
                    let offender = match change {
                        Change::Struck(offender) => Some(*offender),
                        _ => prior.offender,
                    };
                    let ban = offender.and_then(|offender| offender.ban());
                    PriorState::new(item, states.collect::<Vec<_>>(), None, ban, now)
                })
                .collect();
            decide(&check, &priors, now).decision.is_allowed()
        };
        prop_assert!(later(wait));
        prop_assert!(!later(wait - 1));
    }
}
