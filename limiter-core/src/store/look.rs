//! Look: what a store keeps of a key, read without a write.
//!
//! Input: items. Output: their state at one instant, from which [`decide`](crate::decide::decide) derives what
//! a check would be answered.

use super::Store;
use crate::{
    ban::BanRecord,
    check::{Check, Item},
    decide::{PriorState, Usage},
    decision::QuotaStatus,
    error::StoreError,
    time::Timestamp,
};

/// Everything that a store keeps of some items, from [`Store::look`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyStates {
    /// The instant by the store's clock.
    pub now: Timestamp,
    /// One state an item, in their order.
    pub states: Vec<PriorState>,
}

impl KeyStates {
    /// Returns the states of items at one instant.
    #[must_use]
    pub const fn new(now: Timestamp, states: Vec<PriorState>) -> Self {
        Self { now, states }
    }
}

/// Looks by checks of cost 0, which have the usage, and by the ban of each item.
pub(super) async fn look_by_checks<S: Store + ?Sized>(
    store: &S,
    items: Vec<Item<'_>>,
) -> Result<KeyStates, StoreError> {
    let mut looked = KeyStates::new(Timestamp::default(), Vec::with_capacity(items.len()));
    for item in items {
        let (policies, subjects) = ([item.policy.clone()], [item.subject.clone()]);
        let decision = store.decide(Check::new(&policies, &subjects, 0)).await?;
        let ban = store.ban(item).await?;
        let now = decision.decided_at();
        let usage = |status: &QuotaStatus| Usage::at(*status.quota(), status.usage.state(), now);
        let rule = item.policy.ban().filter(|_| item.subject.is_bannable());
        looked.now = looked.now.max(now);
        looked.states.push(PriorState {
            levels: decision.quotas.iter().map(usage).collect(),
            offender: rule.map(|rule| BanRecord::at(rule, None, ban, now)),
        });
    }
    Ok(looked)
}
