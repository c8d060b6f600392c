//! Decisions without the store, for an explanation: nothing is counted.

use super::{Fallback, at_once, locally_counted_items::LocallyCounted};
use crate::{
    check::{Check, Item},
    decide::{PriorState, decide},
    decision::Decision,
    error::{Error, StoreError},
    limiter::explain::{AnsweredBy, Outlook},
    outage_usage::OutageUsage,
    store::KeyStates,
    time::Timestamp,
};

impl Fallback {
    /// Returns a refusal that would answer now, without being the request of this second
    /// that goes to the store.
    pub(in crate::limiter) fn peek_refusal(&self, check: &Check<'_>) -> Option<Decision> {
        self.deny_cache.peek(check)
    }

    /// Returns the usage that the next check would charge to the store; empty if there
    /// is none.
    pub(in crate::limiter) fn outage_usage(&self, check: &Check<'_>) -> Vec<Option<OutageUsage>> {
        self.reconciliation.peek(check)
    }

    /// Returns what [`decide`](Self::decide) would decide.
    pub(in crate::limiter) fn outlook(&self, check: &Check<'_>, error: StoreError) -> Outlook {
        let nothing = |decision, by| {
            let states = check.items().map(|_| None).collect();
            Outlook { now: Timestamp::default(), states, decision, by }
        };
        if let Some(refusal) = self.deny_cache.get_while_away(check) {
            return nothing(Ok(refusal), AnsweredBy::DenyCache);
        }
        if let Some(error) = Self::refuse_undecided(check, error) {
            return nothing(Err(error), AnsweredBy::Fallback);
        }
        let local = LocallyCounted::of(check, self.local_share());
        let part = Check::new(&local.policies, &local.subjects, check.cost());
        let Some(KeyStates { now, states }) = self.look(&part) else {
            return nothing(Ok(Decision::uncounted()), AnsweredBy::Fallback);
        };
        let mut decision = decide(&part, &states, now).decision;
        decision.move_to(&local.positions);
        let mut outlook = nothing(Ok(decision), AnsweredBy::Fallback);
        outlook.now = now;
        for (at, state) in local.positions.into_iter().zip(states) {
            outlook.states[at] = Some(state);
        }
        outlook
    }

    /// Returns the error of a check that is not decided without the store: too many
    /// requests wait, or a policy says `deny`.
    pub(super) fn refuse_undecided(check: &Check<'_>, error: StoreError) -> Option<Error> {
        use crate::policy::{Mode, OnStoreError};
        let denies = |item: Item<'_>| {
            let policy = item.policy;
            policy.mode() == Mode::Enforce && policy.on_store_error() == OnStoreError::Deny
        };
        if error.is_overload() {
            return Some(error.into());
        }
        check.items().any(denies).then_some(Error::Unavailable(error))
    }

    /// The states of items in memory, with what was seen of them last in the store.
    fn look(&self, part: &Check<'_>) -> Option<KeyStates> {
        let items: Vec<Item<'_>> = part.items().collect();
        if items.is_empty() {
            return None;
        }
        let mut looked = at_once(self.local()?.look(items))?;
        for (item, state) in part.items().zip(&mut looked.states) {
            if let Some(usages) = self.last_seen.peek(item) {
                *state = PriorState { levels: usages, offender: state.offender };
            }
        }
        Some(looked)
    }
}
