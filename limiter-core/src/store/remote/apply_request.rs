//! Applies a store request to the rows, by the pure functions.
//!
//! Input: a request, and the state of its items. Output: changed rows.

use super::{
    counter_states::States,
    state_rows::{Places, Rows},
};
use crate::{
    algorithm::{Arithmetic, Usage},
    ban::{BanChange, BanRecord, BanRule},
    decide::Change,
    outage_usage::OutageUsage,
    settlement::{SettledItem, Settlement, settle},
    store::remote::{
        backend::{NamedItem, StoreRequest, StoredState, outcome},
        operation::{Operation, ttl_grace},
    },
    time::Timestamp,
};

/// A request at its instant.
pub(in crate::store) struct Apply<'a, 'r, V = String> {
    rows: &'a mut Rows<'r, V>,
    request: &'r StoreRequest,
    now: Timestamp,
}

impl<'a, 'r, V> Apply<'a, 'r, V> {
    pub(in crate::store) fn new(
        rows: &'a mut Rows<'r, V>,
        request: &'r StoreRequest,
        now: Timestamp,
    ) -> Self {
        Self { rows, request, now }
    }

    /// Changes the rows of its items, of which that was kept. Returns whether a check
    /// has changed anything.
    pub(in crate::store) fn perform(mut self, places: &[Places], kept: &[StoredState]) -> bool {
        let items = self.request.items.iter().zip(places).zip(kept);
        match self.request.operation {
            Operation::Decide(cost) => return self.decide(places, kept, cost),
            Operation::Reconcile => {
                items.zip(&self.request.outage_usage).for_each(
                    |(((item, places), kept), outage_usage)| {
                        self.reconcile(item, *places, kept, outage_usage);
                    },
                );
            }
            Operation::Settle => items.zip(&self.request.settlements).for_each(
                |(((item, places), kept), settlement)| {
                    self.settle(item, *places, kept, settlement);
                },
            ),
            Operation::ChangeBan(change) => items.for_each(|((item, places), kept)| {
                self.change_ban(item, *places, kept, change);
            }),
            Operation::Look => {}
            Operation::Reset => places.iter().for_each(|places| {
                self.rows.remove_counter(places.counter);
            }),
            #[cfg(feature = "redis")]
            Operation::Charge(_) => unreachable!("only a cluster decides item by item"),
        }
        false
    }

    fn decide(&mut self, places: &[Places], kept: &[StoredState], cost: u64) -> bool {
        let outcome = outcome(self.request.items.iter(), kept, cost, self.now);
        let mut is_changed = false;
        for ((item, places), change) in self.request.items.iter().zip(places).zip(outcome.changes) {
            is_changed |= !matches!(change, Change::None);
            match change {
                Change::None => {}
                Change::Charged(levels) => self.count(item, *places, &levels),
                Change::Struck(offender) => {
                    if let Some(rule) = item.policy.ban() {
                        self.keep(rule, *places, &offender);
                    }
                }
            }
        }
        is_changed
    }

    fn reconcile(
        &mut self,
        item: &'r NamedItem,
        places: Places,
        kept: &StoredState,
        outage_usage: &OutageUsage,
    ) {
        let reconciled = kept.prior(item.item()).reconciled(item.item(), outage_usage, self.now);
        self.count(item, places, &reconciled.levels);
        if let Some((rule, offender)) = item.policy.ban().zip(reconciled.offender.as_ref()) {
            self.keep(rule, places, offender);
        }
    }

    fn settle(
        &mut self,
        item: &'r NamedItem,
        places: Places,
        kept: &StoredState,
        settlement: &Settlement,
    ) {
        let settled = SettledItem { item: item.item(), settlement: settlement.clone() };
        let outcome = settle(&settled, &kept.prior(item.item()), kept.now);
        if outcome.is_adjusted {
            self.count(item, places, &outcome.settled.usages);
        }
        if let Some((rule, record)) = item.policy.ban().zip(outcome.record.as_ref()) {
            self.keep(rule, places, record);
        }
    }

    fn change_ban(
        &mut self,
        item: &'r NamedItem,
        places: Places,
        kept: &StoredState,
        change: BanChange,
    ) {
        let prior = kept.prior(item.item()).offender;
        if let Some((rule, before)) = item.policy.ban().zip(prior) {
            self.keep(rule, places, &before.change(rule, change, kept.now));
        }
    }

    fn keep(&mut self, rule: &BanRule, places: Places, offender: &BanRecord) {
        let Some((strikes, ban)) = places.offender else { return };
        let (states, until) = self.states(std::slice::from_ref(&offender.strikes));
        self.rows.write_strikes(strikes, states, until, self.now);
        let forgotten = offender.ban().map_or(self.now, |ban| rule.forget_at(&ban).max(self.now));
        let expires = forgotten.as_micros().saturating_add(ttl_grace(self.request.now));
        self.rows.write_ban(ban, offender.ban(), expires);
    }

    fn count(&mut self, item: &'r NamedItem, places: Places, levels: &[Usage]) {
        let (states, until) = self.states(levels);
        self.rows.write_counter(places.counter, item, states, until, self.now);
    }

    /// Returns the states of usages, and when they have expired.
    fn states<S: Arithmetic>(&self, usages: &[Usage<S>]) -> (States, u64) {
        let longest = usages.iter().map(Usage::reset_after).max().unwrap_or(0);
        let until = self.now.as_micros() + longest + ttl_grace(self.request.now);
        (usages.iter().map(Usage::state).collect(), until)
    }
}
