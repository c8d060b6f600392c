//! A slice of a key's budget, and what is left of it in the end.

use std::sync::atomic::{AtomicU64, Ordering};

use super::LIFE;
use crate::{
    check::Item,
    decision::{Decision, QuotaStatus},
    policy::Policy,
    request::Subjects,
    settlement::{Adjustment, SettledItem},
    time::{Timestamp, micros},
};

/// Units that the store has charged, and that this process admits requests from.
pub(super) struct Slice {
    /// The store's decision that has charged them.
    decision: Decision,
    /// The last units of that charge, which nobody has used yet.
    left: AtomicU64,
    /// When it ends, by the clock of this process.
    ends: Timestamp,
}

impl Slice {
    /// Returns the slice of the last `units` of a charge that was sent at `sent`.
    ///
    /// It ends with the window that was charged. The store's clock may be another one, so that
    /// the rest of the window counts from the moment before the store was called.
    pub(super) fn new(decision: Decision, units: u64, sent: Timestamp) -> Self {
        let life = rest_of_window(&decision).unwrap_or(u64::MAX).min(micros(LIFE));
        Self { decision, left: AtomicU64::new(units), ends: sent.after_micros(life) }
    }

    /// Admits a request of that cost. Returns the decision as if the units that are left
    /// afterwards had never been charged; `None` if it has ended or has fewer units.
    pub(super) fn admit(&self, cost: u64, now: Timestamp) -> Option<Decision> {
        if self.has_ended(now) {
            return None;
        }
        let take = |left: u64| left.checked_sub(cost);
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(self.decision.without_last(left - cost))
    }

    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        now >= self.ends
    }

    /// Ends the slice. Returns what is left of it, once.
    pub(super) fn end(&self, policies: &[Policy], subjects: &Subjects) -> Option<Remainder> {
        let units = self.left.swap(0, Ordering::Relaxed);
        (units > 0).then(|| Remainder {
            policies: policies.into(),
            subjects: subjects.clone(),
            decision: self.decision.clone(),
            units,
        })
    }
}

/// Returns the microseconds until the first window or segment ends that a decision has
/// charged.
pub(super) fn rest_of_window(decision: &Decision) -> Option<u64> {
    decision.quotas.iter().filter_map(|status| status.usage.same_window_for()).min()
}

/// The units of a slice that nobody has used.
pub(super) struct Remainder {
    policies: Box<[Policy]>,
    subjects: Subjects,
    /// The decision that has charged them.
    decision: Decision,
    units: u64,
}

impl Remainder {
    /// Returns the settlement that gives them back, into the windows that were charged.
    pub(super) fn refunds(&self) -> Vec<SettledItem<'_>> {
        let items = self.policies.iter().zip(&self.subjects).enumerate();
        let refunds = items.map(|(at, (policy, subject))| {
            let mark = |status: &QuotaStatus| status.usage.mark();
            let marks = self.decision.quotas_of(at).map(mark).collect();
            let refund = Adjustment::Refund { units: self.units, marks };
            SettledItem::adjusted(Item { policy, subject }, refund)
        });
        refunds.collect()
    }
}
