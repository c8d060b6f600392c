//! Decisions while the store cannot answer, policy by policy.

mod explain_outage;
mod locally_counted_items;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use self::locally_counted_items::LocallyCounted;
#[cfg(not(feature = "memory"))]
use super::without_memory_store::{DenyCache, LastSeen, ReconciliationLog};
#[cfg(feature = "memory")]
use super::{deny_cache::DenyCache, last_seen_usage::LastSeen, reconciliation::ReconciliationLog};
#[cfg(feature = "memory")]
use crate::stats::EntryStats;
use crate::{
    algorithm::Usage,
    ban::{Ban, BanChange},
    check::{Check, Item},
    decision::{Decision, Verdict},
    error::{ConfigError, Error, StoreError},
    outage_usage::OutageUsage,
    policy::{OnStoreError, Policy},
    settlement::{Adjustment, Settled, SettledItem},
    store::{
        Answer, Store,
        memory_capacity::MemoryLimits,
        store_choice::{HAS_MEMORY, memory},
    },
    time::{Clock, SystemClock, Timestamp},
};

/// Stands in for a store that fails.
#[derive(Debug)]
pub(super) struct Fallback {
    /// For policies that say `local`, and for bans that the store has returned; made
    /// when first needed.
    local: OnceLock<Arc<dyn Store>>,
    caps: MemoryLimits,
    /// Among how many servers limits are divided.
    local_share: AtomicU32,
    deny_cache: DenyCache,
    last_seen: LastSeen,
    reconciliation: ReconciliationLog,
}

impl Fallback {
    pub(super) fn new<'a>(
        policies: impl IntoIterator<Item = &'a Policy> + Clone,
        caps: MemoryLimits,
    ) -> Result<Self, ConfigError> {
        check_local(policies.clone())?;
        let longest = policies.into_iter().map(Policy::remembered_for).max().unwrap_or_default();
        let longest = longest.max(Duration::from_secs(60));
        Ok(Self {
            local: OnceLock::new(),
            local_share: caps.local_share.into(),
            caps,
            deny_cache: DenyCache::default(),
            last_seen: LastSeen::new(),
            reconciliation: ReconciliationLog::new(caps, longest),
        })
    }

    /// Keeps outage usage for as long as that of a policy may matter, if that is longer
    /// than so far: the quotas of a request may have longer windows.
    pub(super) fn keep_for(&self, policy: &Policy) {
        self.reconciliation.keep_for(policy.remembered_for());
    }

    fn local_share(&self) -> u32 {
        self.local_share.load(Ordering::Relaxed)
    }

    /// Forgets refusals by rules that are replaced. Outage usage is kept: it is charged in
    /// units, by whatever limit is then in force.
    #[cfg(feature = "config")]
    pub(super) fn rules_changed(&self, local_share: u32, longest: Duration) {
        self.local_share.store(local_share, Ordering::Relaxed);
        self.reconciliation.keep_for(longest);
        self.deny_cache.clear();
    }

    /// The stand-in, if it is compiled in.
    fn local(&self) -> Option<&dyn Store> {
        if let Some(local) = self.local.get() {
            return Some(&**local);
        }
        let made = memory(self.caps).ok()?;
        Some(&**self.local.get_or_init(|| made))
    }

    /// Returns a refusal that the store has returned and that still answers.
    pub(super) fn known_refusal(&self, check: &Check<'_>) -> Option<Decision> {
        self.deny_cache.get(check)
    }

    /// Forgets a refusal of a check that has room again.
    pub(super) fn forget_refusal(&self, check: &Check<'_>) {
        self.deny_cache.forget(check);
    }

    /// Learns from a decision of the store, which was called at `sent`. A ban that the
    /// store does not know any more is forgotten.
    pub(super) fn observe_decision(&self, check: &Check<'_>, decision: &Decision, sent: Instant) {
        self.deny_cache.put(check, decision, sent);
        self.reconciliation.answered(check);
        if self.local_share() == 1 {
            self.last_seen.put(check, decision);
        }
        if decision.verdict() == Verdict::Allowed && self.local.get().is_some() {
            for item in check.items() {
                self.forget(item);
            }
        }
    }

    /// Takes the usage that was admitted without the store, to be charged by this check;
    /// empty if there is none.
    pub(super) fn take_outage_usage(&self, check: &Check<'_>) -> Vec<Option<OutageUsage>> {
        self.reconciliation.take(check)
    }

    /// Notes that the store has failed at a check, which may have brought outage usage.
    pub(super) fn failed(&self, check: &Check<'_>, error: &StoreError) {
        self.reconciliation.failed(check, error.is_not_applied());
    }

    /// Forgets what was known of a ban and of refusals: it was changed by hand.
    pub(super) fn changed_ban(&self, item: Item<'_>, change: BanChange) {
        match (change, self.local.get()) {
            // The strikes, too.
            (BanChange::Forgive, Some(local)) => {
                let _ = at_once(local.change_ban(item, change));
            }
            _ => self.forget(item),
        }
        self.reconciliation.forget_ban(item);
        self.deny_cache.clear();
    }

    /// Forgets what was counted here, outage usage, and refusals: the count was
    /// reset by hand.
    pub(super) fn reset(&self, item: Item<'_>) {
        if let Some(local) = self.local.get() {
            let _ = at_once(local.reset(item));
        }
        self.last_seen.forget(item);
        self.reconciliation.forget_units(item);
        self.deny_cache.clear();
    }

    /// Forgets a ban, if one is known.
    fn forget(&self, item: Item<'_>) {
        if let Some(local) = self.local.get()
            && at_once(local.ban(item)).flatten().is_some()
        {
            let _ = at_once(local.change_ban(item, BanChange::Forgive));
        }
    }

    /// Returns the number of entries here: the stand-in's, and known refusals and bans.
    #[cfg(feature = "memory")]
    pub(super) fn entries(&self) -> Vec<EntryStats> {
        let local = self.local.get().and_then(|local| local.as_memory());
        let local = local.map(crate::MemoryStore::entries);
        local.into_iter().flatten().chain(self.deny_cache.entries()).collect()
    }

    /// Returns a refusal or ban that is known and holds while the store is away.
    pub(super) fn refusal_while_away(&self, check: &Check<'_>) -> Option<Decision> {
        self.deny_cache.get_while_away(check)
    }

    /// Decides without the store. Too many requests are refused; a policy that says `deny` refuses; those that say `local`
    /// count in memory, the others admit.
    pub(super) async fn decide(
        &self,
        check: &Check<'_>,
        error: StoreError,
    ) -> Result<Decision, Error> {
        let is_not_applied = error.is_not_applied();
        if let Some(error) = Self::refuse_undecided(check, error) {
            return Err(error);
        }
        let local = LocallyCounted::of(check, self.local_share());
        if local.positions.is_empty() {
            return Ok(Decision::uncounted());
        }
        let Some(store) = self.local() else { return Ok(Decision::uncounted()) };
        for item in check.items() {
            self.last_seen.move_to(store, item);
        }
        let part = Check::new(&local.policies, &local.subjects, check.cost());
        let mut decision = store.decide(part).await.map_err(Error::Unavailable)?;
        decision.move_to(&local.positions);
        decision.set_of_fallback();
        // Units that the store may have charged after all are not charged again.
        if is_not_applied {
            self.reconciliation.note(check, &decision);
        }
        self.reconciliation.note_ban(check, &decision);
        Ok(decision)
    }

    /// Settles items in memory; `is_owed` says that what is charged there is to be charged
    /// to the store afterwards. Answers for each item, with nothing if it was lost.
    pub(super) async fn settle(
        &self,
        items: Vec<FallbackItem<'_>>,
        is_owed: bool,
    ) -> Vec<Option<Settled>> {
        let Some(store) = self.local() else { return vec![None; items.len()] };
        for FallbackItem { settled, .. } in &items {
            self.last_seen.move_to(store, settled.item);
        }
        let policies: Vec<_> = items.iter().map(|item| self.local_policy(item)).collect();
        let local = items.iter().zip(&policies).map(|(FallbackItem { settled, .. }, policy)| {
            let item = Item { policy, subject: settled.item.subject };
            SettledItem { item, settlement: settled.settlement.clone() }
        });
        match store.settle(local.collect()).await {
            Ok(settled) => {
                for (item, settled) in items.iter().zip(&settled) {
                    self.note_settlement(item, settled, is_owed);
                }
                settled.into_iter().map(Some).collect()
            }
            Err(error) => {
                tracing::error!(%error, "a settlement was lost");
                vec![None; items.len()]
            }
        }
    }

    /// The policy by which this process counts alone.
    fn local_policy(&self, item: &FallbackItem<'_>) -> Policy {
        match self.caps.local_share {
            1 => item.settled.item.policy.clone(),
            servers => item.settled.item.policy.divided(servers, item.cost),
        }
    }

    /// Has the store know of it once it is back.
    fn note_settlement(&self, item: &FallbackItem<'_>, settled: &Settled, is_owed: bool) {
        let SettledItem { item: of, settlement } = &item.settled;
        let now = settled.usages.first().map_or_else(|| SystemClock.now(), Usage::now);
        match (&settlement.adjustment, item.charged_at) {
            (Adjustment::Charge(units), _) if is_owed => {
                self.reconciliation.charge(*of, *units, now);
            }
            (Adjustment::Refund { units, .. }, Some(charged_at)) => {
                self.reconciliation.give_back(*of, *units, charged_at, now);
            }
            _ => {}
        }
        if let Some(until) = settled.new_ban {
            self.reconciliation
                .ban(*of, Ban { until, duration: until.micros_since(now), count: 1 });
        }
    }
}

/// An item that is settled in memory.
pub(super) struct FallbackItem<'a> {
    pub(super) settled: SettledItem<'a>,
    /// The cost at which the request was checked.
    pub(super) cost: u64,
    /// When what is given back was charged.
    pub(super) charged_at: Option<Timestamp>,
}

/// Checks that policies which count in memory can do so.
pub(super) fn check_local<'a>(
    policies: impl IntoIterator<Item = &'a Policy>,
) -> Result<(), ConfigError> {
    let is_local = |policy: &&Policy| policy.on_store_error() == OnStoreError::Local;
    match policies.into_iter().find(is_local) {
        Some(policy) if !HAS_MEMORY => {
            let message = "is \"local\", for which the feature \"memory\" must be enabled; \
                           enable it, or write \"deny\" or \"allow\"";
            let error = ConfigError::at("on_store_error", message);
            Err(error.within(policy.name()).within("policies"))
        }
        _ => Ok(()),
    }
}

/// The answer of a store that always has it at hand.
pub(super) fn at_once<T>(answer: Answer<'_, T>) -> Option<T> {
    match answer {
        Answer::Ready(answer) => answer?.ok(),
        Answer::Pending(_) => None,
    }
}
