//! The harness of a case: a store, its clock, names that no other case has, and short calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    BanChange, BanRule, Check, Decision, Item, Key, ManualClock, Policy, Quotas, Retry, Store,
    Subject, Timestamp,
    settlement::{Settled, SettledItem},
};

/// A store under test, the clock it goes by, and keys that no other harness has.
#[derive(Clone, Debug)]
pub struct Harness {
    store: Arc<dyn Store>,
    clock: ManualClock,
    prefix: String,
}

impl Harness {
    /// Units that [`take_from_one_key`](Self::take_from_one_key) finds to take.
    pub const SHARED_LIMIT: u64 = 1_000;

    /// A harness of a store that was given that clock.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: ManualClock) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("harness-{}-{count}", std::process::id());
        Self { store, clock, prefix }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// A subject that only this harness has.
    #[must_use]
    pub fn subject(&self, name: &str) -> Subject {
        let key = Key::custom("harness", &self.prefix).and(Key::custom("name", name));
        Subject::new(key)
    }

    /// A policy's name that only this harness has.
    #[must_use]
    pub fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.prefix)
    }

    /// Decides, for one subject under all policies.
    pub async fn check(&self, policies: &[Policy], subject: &Subject, cost: u64) -> Decision {
        let subjects = vec![subject.clone(); policies.len()];
        self.decide(Check::new(policies, &subjects, cost)).await
    }

    /// Decides a check.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn decide(&self, check: Check<'_>) -> Decision {
        self.store.decide(check).await.expect("the store decides")
    }

    /// Strikes the subject under all policies that count that status; returns
    /// the end of a ban that this brought.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn strike(
        &self,
        policies: &[Policy],
        subject: &Subject,
        status: u16,
    ) -> Option<Timestamp> {
        let subjects = vec![subject.clone(); policies.len()];
        let offenders = Check::new(policies, &subjects, 1).offenders(status);
        let settled = self.settle(offenders.into_iter().map(SettledItem::struck).collect()).await;
        settled.into_iter().filter_map(|settled| settled.new_ban).max()
    }

    /// Settles items.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn settle(&self, items: Vec<SettledItem<'_>>) -> Vec<Settled> {
        self.store.settle(items).await.expect("the store settles")
    }

    /// Changes a ban by hand.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn change_ban(&self, policy: &Policy, subject: &Subject, change: BanChange) {
        let item = Item { policy, subject };
        self.store.change_ban(item, change).await.expect("the store changes a ban");
    }

    /// Moves time on.
    pub fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// Asks `times` times for one unit of a key that all clones share, and
    /// returns how many were admitted.
    pub async fn take_from_one_key(self, times: u32) -> u64 {
        let policies = [policy("shared", &format!("{}/hour", Self::SHARED_LIMIT))];
        let subject = self.subject("shared");
        let mut admitted = 0;
        for _ in 0..times {
            admitted += u64::from(self.check(&policies, &subject, 1).await.is_allowed());
        }
        admitted
    }
}

/// A policy of that name.
pub(super) fn policy(name: &str, quotas: &str) -> Policy {
    let quotas: Quotas = quotas.parse().expect("the case's quota is one");
    Policy::new(name, quotas).expect("the case's name is one")
}

/// A ban rule: `threshold` strikes within a minute ban for two.
pub(super) fn rule(threshold: u64) -> BanRule {
    BanRule::after_strikes(threshold)
        .within(secs(60))
        .for_duration(secs(120))
        .expect("the case's rule is one")
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The exact wait of a refusal.
pub(super) fn wait(decision: &Decision) -> Duration {
    match decision.retry() {
        Retry::After(wait) => wait,
        other => panic!("a wait was expected, not {other:?}: {decision:?}"),
    }
}
