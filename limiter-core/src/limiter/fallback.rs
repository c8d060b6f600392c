//! What happens while the store cannot answer, policy by policy.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

#[cfg(not(feature = "memory"))]
use super::no_memory::{DenyCache, ReconciliationLog};
#[cfg(feature = "memory")]
use super::{deny_cache::DenyCache, reconciliation::ReconciliationLog};
use crate::{
    ban::{Ban, BanChange},
    decision::{Decision, PolicyBan, Verdict},
    error::{ConfigError, Error, StoreError},
    outage_usage::OutageUsage,
    policy::{Mode, OnStoreError, Policy},
    request::Subjects,
    store::{
        Answer, Check, Item, Store,
        select::{HAS_MEMORY, MemoryLimits, memory},
    },
    time::{Clock, SystemClock, Timestamp},
};

/// Stands in for a store that fails.
#[derive(Debug)]
pub(super) struct Fallback {
    /// For policies that say `local`, and for bans that the store has told; made
    /// when first needed.
    local: OnceLock<Arc<dyn Store>>,
    caps: MemoryLimits,
    denied: DenyCache,
    debts: ReconciliationLog,
}

impl Fallback {
    pub(super) fn new<'a>(
        policies: impl IntoIterator<Item = &'a Policy>,
        caps: MemoryLimits,
    ) -> Result<Self, ConfigError> {
        let mut longest = Duration::from_secs(60);
        for policy in policies {
            longest = longest.max(policy.remembered_for());
            if policy.on_store_error() == OnStoreError::Local && !HAS_MEMORY {
                let message = "is \"local\", for which the feature \"memory\" must be enabled; \
                               enable it, or write \"deny\" or \"allow\"";
                let error = ConfigError::at("on_store_error", message);
                return Err(error.within(policy.name()).within("policies"));
            }
        }
        Ok(Self {
            local: OnceLock::new(),
            caps,
            denied: DenyCache::default(),
            debts: ReconciliationLog::new(caps, longest),
        })
    }

    /// The stand-in, if it is compiled in.
    fn local(&self) -> Option<&dyn Store> {
        if let Some(local) = self.local.get() {
            return Some(&**local);
        }
        let made = memory(self.caps).ok()?;
        Some(&**self.local.get_or_init(|| made))
    }

    /// Whether there is nothing but to ask the store: nothing was refused as yet,
    /// nothing fails, nothing is owed. So it stays with a store in memory.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        !self.denied.is_used() && !self.debts.is_used()
    }

    /// A refusal that the store has told and that need not be asked for again.
    pub(super) fn denied(&self, check: &Check<'_>) -> Option<Decision> {
        self.denied.get(check)
    }

    /// Keeps a refusal that the store, asked at `sent`, has told. A ban holds
    /// while the store is away, too; one that the store does not know any more
    /// is forgotten.
    pub(super) fn learn(&self, check: &Check<'_>, decision: &Decision, sent: Instant) {
        self.denied.put(check, decision, sent);
        self.debts.answered(check);
        match decision.ban() {
            Some(ban) => {
                let (Some(item), Some(local)) = (check.items().nth(ban.policy), self.local())
                else {
                    return;
                };
                let left = ban.until.since(decision.now);
                let known = at_once(local.ban(item)).flatten();
                // To the second: an attack is not written down at each request.
                let enough = known.is_some_and(|ban| {
                    ban.until.after_micros(1_000_000) >= SystemClock.now().after(left)
                });
                if !enough {
                    let _ = at_once(local.change_ban(item, BanChange::Ban(left)));
                }
            }
            None if decision.verdict == Verdict::Allowed => {
                for item in check.items() {
                    self.forget(item);
                }
            }
            None => {}
        }
    }

    /// Takes what was admitted without the store, to be charged by this check;
    /// empty if nothing is owed. A store that has just failed is not trusted
    /// with it: what is sent and not answered is lost.
    pub(super) fn take_owed(&self, check: &Check<'_>) -> Vec<Option<OutageUsage>> {
        self.debts.take(check)
    }

    /// Notes that the store has failed at a check, which may have brought what
    /// is owed.
    pub(super) fn failed(&self, check: &Check<'_>, error: &StoreError) {
        self.debts.failed(check, error.is_not_applied());
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
        self.debts.forget_ban(item);
        self.denied.clear();
    }

    /// Forgets what was counted here, what is owed, and refusals: the count was
    /// reset by hand.
    pub(super) fn reset(&self, item: Item<'_>) {
        if let Some(local) = self.local.get() {
            let _ = at_once(local.reset(item));
        }
        self.debts.forget_units(item);
        self.denied.clear();
    }

    /// Forgets a ban, if one is known.
    fn forget(&self, item: Item<'_>) {
        if let Some(local) = self.local.get()
            && at_once(local.ban(item)).flatten().is_some()
        {
            let _ = at_once(local.change_ban(item, BanChange::Forgive));
        }
    }

    /// The ban that ends last of those known, and the position of its policy.
    fn known_ban(&self, check: &Check<'_>) -> Option<PolicyBan> {
        let local = self.local.get()?;
        let enforced = check.items().enumerate().filter(|(_, item)| {
            item.policy.mode() == Mode::Enforce
                && item.policy.ban().is_some()
                && item.subject.bannable
        });
        enforced
            .filter_map(|(policy, item)| {
                let until = at_once(local.ban(item)).flatten()?.until;
                Some(PolicyBan { policy, until })
            })
            .max_by_key(|ban| ban.until)
    }

    /// Decides without the store: a ban that is known holds, one policy that
    /// says `deny` refuses, those that say `local` count in memory, the others
    /// admit.
    pub(super) async fn decide(
        &self,
        check: &Check<'_>,
        error: StoreError,
    ) -> Result<Decision, Error> {
        if let Some(ban) = self.known_ban(check) {
            return Ok(Decision::banned(ban, SystemClock.now()));
        }
        let denies = |policy: &Policy| {
            policy.mode() == Mode::Enforce && policy.on_store_error() == OnStoreError::Deny
        };
        if check.items().any(|item| denies(item.policy)) {
            return Err(Error::Unavailable(error));
        }
        let local = LocalPart::of(check, self.caps.local_share);
        if local.positions.is_empty() {
            return Ok(Decision::uncounted());
        }
        let Some(store) = self.local() else { return Ok(Decision::uncounted()) };
        let part = Check::new(&local.policies, &local.subjects, check.cost());
        let mut decision = store.decide(part).await.map_err(Error::Unavailable)?;
        decision.move_to(&local.positions);
        // What the store may have charged after all is not charged again.
        if error.is_not_applied() {
            self.debts.note(check, &decision);
        }
        self.debts.note_ban(check, &decision);
        Ok(decision)
    }

    /// Strikes without the store, for policies that say `local`; answers for
    /// each offender, as a store does.
    pub(super) async fn strike(&self, offenders: Vec<Item<'_>>) -> Vec<Option<Timestamp>> {
        let mut bans = vec![None; offenders.len()];
        let Some(store) = self.local() else { return bans };
        let is_local =
            |(_, item): &(usize, Item<'_>)| item.policy.on_store_error() == OnStoreError::Local;
        let (positions, local): (Vec<_>, Vec<_>) =
            offenders.into_iter().enumerate().filter(is_local).unzip();
        match store.strike(local.clone()).await {
            Ok(struck) => {
                let now = SystemClock.now();
                for ((at, item), until) in positions.into_iter().zip(local).zip(struck) {
                    bans[at] = until;
                    if let Some(until) = until {
                        self.debts.ban(item, Ban { until, duration: until.micros_since(now) });
                    }
                }
            }
            Err(error) => tracing::error!(%error, "a strike was lost"),
        }
        bans
    }
}

/// The answer of a store that always has it at hand.
fn at_once<T>(answer: Answer<'_, T>) -> Option<T> {
    match answer {
        Answer::Ready(answer) => answer?.ok(),
        Answer::Pending(_) => None,
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
    fn of(check: &Check<'_>, share: u32) -> Self {
        let mut local = Self::default();
        for (position, item) in check.items().enumerate() {
            if item.policy.on_store_error() == OnStoreError::Local {
                local.positions.push(position);
                local.policies.push(match share {
                    1 => item.policy.clone(),
                    servers => item.policy.divided(servers, check.cost()),
                });
                local.subjects.push(item.subject.clone());
            }
        }
        local
    }
}
