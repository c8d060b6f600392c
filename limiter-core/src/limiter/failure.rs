//! What happens while the store cannot answer, policy by policy.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    decision::Decision,
    error::{ConfigError, Error, StoreError},
    policy::{Mode, OnStoreError, Policy},
    request::Subjects,
    store::{
        Check, Item, Store,
        choice::{Caps, HAS_MEMORY, memory},
    },
    time::Timestamp,
};

/// Stands in for a store that fails.
#[derive(Debug)]
pub(super) struct Fallback {
    /// For policies that say `local`; made when first needed.
    local: OnceLock<Arc<dyn Store>>,
    caps: Caps,
    degraded: AtomicBool,
}

impl Fallback {
    pub(super) fn new<'a>(
        policies: impl IntoIterator<Item = &'a Policy>,
        caps: Caps,
    ) -> Result<Self, ConfigError> {
        for policy in policies {
            if policy.on_store_error() == OnStoreError::Local && !HAS_MEMORY {
                let message = "is \"local\", for which the feature \"memory\" must be enabled; \
                               enable it, or write \"deny\" or \"allow\"";
                let error = ConfigError::at("on_store_error", message);
                return Err(error.within(policy.name()).within("policies"));
            }
        }
        Ok(Self { local: OnceLock::new(), caps, degraded: AtomicBool::new(false) })
    }

    /// The stand-in, if it is compiled in.
    fn local(&self) -> Option<&dyn Store> {
        if let Some(local) = self.local.get() {
            return Some(&**local);
        }
        let made = memory(self.caps).ok()?;
        Some(&**self.local.get_or_init(|| made))
    }

    /// Notes that the store answered; said once per change.
    pub(super) fn healthy(&self) {
        if self.degraded.load(Ordering::Relaxed) && self.degraded.swap(false, Ordering::Relaxed) {
            tracing::info!("the store answers again");
        }
    }

    /// Notes that the store failed; said once per change.
    pub(super) fn degraded(&self, error: &StoreError) {
        if !self.degraded.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the store does not answer; policies do as on_store_error says");
        }
    }

    /// Decides without the store: one policy that says `deny` refuses, those
    /// that say `local` count in memory, the others admit.
    pub(super) async fn decide(
        &self,
        check: &Check<'_>,
        error: StoreError,
    ) -> Result<Decision, Error> {
        self.degraded(&error);
        let denies = |policy: &Policy| {
            policy.mode() == Mode::Enforce && policy.on_store_error() == OnStoreError::Deny
        };
        if check.items().any(|item| denies(item.policy)) {
            return Err(Error::Unavailable(error));
        }
        let local = LocalPart::of(check);
        if local.positions.is_empty() {
            return Ok(Decision::uncounted());
        }
        let Some(store) = self.local() else { return Ok(Decision::uncounted()) };
        let check = Check::new(&local.policies, &local.subjects, check.cost());
        let mut decision = store.decide(check).await.map_err(Error::Unavailable)?;
        decision.move_to(&local.positions);
        Ok(decision)
    }

    /// Strikes without the store, for policies that say `local`; answers for
    /// each offender, as a store does.
    pub(super) async fn strike(
        &self,
        offenders: Vec<Item<'_>>,
        error: StoreError,
    ) -> Vec<Option<Timestamp>> {
        self.degraded(&error);
        let mut bans = vec![None; offenders.len()];
        let Some(store) = self.local() else { return bans };
        let is_local =
            |(_, item): &(usize, Item<'_>)| item.policy.on_store_error() == OnStoreError::Local;
        let (positions, local): (Vec<_>, Vec<_>) =
            offenders.into_iter().enumerate().filter(is_local).unzip();
        match store.strike(local).await {
            Ok(struck) => positions.into_iter().zip(struck).for_each(|(at, ban)| bans[at] = ban),
            Err(error) => tracing::error!(%error, "a strike was lost"),
        }
        bans
    }
}

/// The items that count in memory, and where they stood in the check.
#[derive(Default)]
struct LocalPart {
    positions: Vec<usize>,
    policies: Vec<Policy>,
    subjects: Subjects,
}

impl LocalPart {
    fn of(check: &Check<'_>) -> Self {
        let mut local = Self::default();
        for (position, item) in check.items().enumerate() {
            if item.policy.on_store_error() == OnStoreError::Local {
                local.positions.push(position);
                local.policies.push(item.policy.clone());
                local.subjects.push(item.subject.clone());
            }
        }
        local
    }
}
