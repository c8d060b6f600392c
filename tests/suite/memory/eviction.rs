//! Random checks of a store that is always full, beside a store without a bound.

use std::time::Duration;

use limiter_core::{
    Algorithm, Check, Clock, ManualClock, MemoryStore, Policy, Quota, Quotas, Store, Subject,
    conformance::ReferenceStore,
};
use proptest::prelude::*;

use super::address;
use crate::conformance::clock;

#[derive(Clone, Debug)]
enum Step {
    Admission { key: u32, cost: u64, policy: usize },
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0u32..12, 1u64..3, 0usize..2)
            .prop_map(|(key, cost, policy)| Step::Admission { key, cost, policy }),
        1 => (0u64..40).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However small the store, what it admits one without a bound would have
    /// admitted as well: displacement forgets nothing.
    #[test]
    fn a_full_store_admits_no_more_than_one_without_a_bound(
        steps in steps(),
        algorithm in prop::sample::select(vec![Algorithm::Gcra, Algorithm::SlidingWindow]),
        max_keys in 1usize..6,
    ) {
        let mut full = Full::new(algorithm, max_keys);
        let model = ReferenceStore::new(full.clock.clone());
        for step in steps {
            if let Some((policy, subject, cost)) = full.take(&step) {
                let check = Check::new(&policy, &subject, cost);
                prop_assert!(full.runtime.block_on(model.decide(check)).unwrap().is_allowed());
            }
            prop_assert!(full.store.len() <= max_keys);
        }
    }

    /// Fixed windows start at a key's first request, so that a displaced key's
    /// may start elsewhere; but the documented worst case holds.
    #[test]
    fn a_full_store_keeps_the_worst_case_of_fixed_windows(steps in steps(), max_keys in 1usize..6) {
        let mut full = Full::new(Algorithm::FixedWindow, max_keys);
        let mut admitted: Vec<(u64, Subject, u64)> = Vec::new();
        for step in steps {
            let now = full.clock.now().as_micros();
            match full.take(&step) {
                Some((policy, [subject], cost)) if policy[0].name() == "one" => {
                    admitted.push((now, subject, cost));
                }
                _ => {}
            }
        }
        for (from, subject, _) in &admitted {
            let within = admitted.iter().filter(|(at, other, _)| {
                other == subject && (*from..from + ONE.1).contains(at)
            });
            prop_assert!(within.map(|(_, _, cost)| cost).sum::<u64>() < 2 * ONE.0);
        }
    }
}

/// The limit and the window, in microseconds, of the policy `one`.
const ONE: (u64, u64) = (3, 100);

/// A store that is soon full, and two policies.
struct Full {
    clock: ManualClock,
    store: MemoryStore,
    policies: [Policy; 2],
    runtime: tokio::runtime::Runtime,
}

impl Full {
    fn new(algorithm: Algorithm, max_keys: usize) -> Self {
        let quotas = [ONE, (5, 377)].map(|(limit, window)| {
            let quota = Quota::new(limit, Duration::from_micros(window));
            quota.and_then(|quota| quota.with_algorithm(algorithm)).unwrap()
        });
        let clock = clock();
        Self {
            store: MemoryStore::builder().max_keys(max_keys).clock(clock.clone()).build(),
            clock,
            policies: [
                Policy::new("two", Quotas::new(quotas).unwrap()).unwrap(),
                Policy::new("one", quotas[0]).unwrap(),
            ],
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        }
    }

    /// Does a step; returns what was admitted.
    fn take(&mut self, step: &Step) -> Option<([Policy; 1], [Subject; 1], u64)> {
        match *step {
            Step::Advance(micros) => {
                self.clock.advance(Duration::from_micros(micros));
                None
            }
            Step::Admission { key, cost, policy } => {
                let (policy, subject) = ([self.policies[policy].clone()], [address(key)]);
                let check = Check::new(&policy, &subject, cost);
                let decision = self.runtime.block_on(self.store.decide(check)).unwrap();
                decision.is_allowed().then_some((policy, subject, cost))
            }
        }
    }
}
