//! Settlement in the store, and what becomes of it while the store is away.
//!
//! | charged | at the settlement | what is done |
//! |---|---|---|
//! | in the store | it answers | settled there |
//! | in the store | it fails | what was to be given back stays charged, and is counted as lost; more is charged in memory, where the policy says `local` |
//! | in memory, while the store was away | any | settled in memory, and taken off what is to be charged to the store later, if that has not happened yet |
//! | nowhere (`allow`) | any | nothing |
//!
//! A settlement is sent once. One whose answer was lost may have been applied.

use super::{
    Limiter,
    fallback::FallbackItem,
    request_ledger::{Charge, ChargePlace, Done, Due},
};
use crate::{
    check::Item,
    error::StoreError,
    events::BanCause,
    policy::{Mode, OnStoreError},
    settlement::{Adjustment, Settled, SettledItem, Settlement},
    stats::counters::{LimiterCounter, PolicyCounter},
    time::Timestamp,
};

/// The settlements that were stored, and the error of those that were lost.
pub(super) struct SettledDue {
    /// One for each that was due.
    pub(super) done: Vec<Done>,
    pub(super) lost: Option<StoreError>,
}

impl Due {
    fn item(&self) -> Item<'_> {
        Item { policy: &self.policy, subject: &self.subject }
    }

    /// Returns true if it gives back units that were charged in memory.
    fn is_in_fallback(&self) -> bool {
        self.refunded.as_ref().is_some_and(|charge| charge.place == ChargePlace::Fallback)
    }

    /// Returns the settlement that is sent to the store.
    fn in_store(&self) -> Option<SettledItem<'_>> {
        let settlement = match self.is_in_fallback() {
            true => Settlement { adjustment: Adjustment::None, ..self.settlement.clone() },
            false => self.settlement.clone(),
        };
        (settlement != Settlement::default()).then(|| SettledItem { item: self.item(), settlement })
    }

    /// Returns the settlement in memory: `fails` says that the store was called and has failed.
    fn in_fallback(&self, fails: bool) -> Option<FallbackItem<'_>> {
        let settlement = Settlement {
            adjustment: match &self.settlement.adjustment {
                Adjustment::Refund { .. } if !self.is_in_fallback() => Adjustment::None,
                Adjustment::Charge(_) if !fails => Adjustment::None,
                adjustment => adjustment.clone(),
            },
            strikes: self.settlement.strikes && fails,
        };
        let is_local = self.policy.on_store_error() == OnStoreError::Local;
        let is_wanted = is_local && settlement != Settlement::default();
        is_wanted.then(|| FallbackItem {
            settled: SettledItem { item: self.item(), settlement },
            cost: self.cost,
            charged_at: self.refunded.as_ref().map(|charge| charge.at),
        })
    }

    /// Returns true if units are not given back, or not charged, where the store fails.
    fn is_lost(&self) -> bool {
        match self.settlement.adjustment {
            Adjustment::None => false,
            Adjustment::Refund { .. } => !self.is_in_fallback(),
            Adjustment::Charge(_) => self.policy.on_store_error() != OnStoreError::Local,
        }
    }
}

impl Limiter {
    /// Settles what is due: in the store, and in memory what was charged there or what the
    /// store fails to do.
    pub(super) async fn settle(&self, due: &[Due]) -> SettledDue {
        let mut done: Vec<Done> = due.iter().map(Done::lost).collect();
        let (places, items): (Vec<_>, Vec<_>) =
            due.iter().enumerate().filter_map(|(at, due)| Some((at, due.in_store()?))).unzip();
        let answer = match items.is_empty() {
            true => Ok(Vec::new()),
            false => self.0.store.settle(items).await,
        };
        let error = match answer {
            Ok(settled) => {
                for (at, settled) in places.into_iter().zip(settled) {
                    self.record_strike(&due[at], Some(settled.new_ban));
                    done[at] = due[at].done(settled, ChargePlace::Store);
                }
                None
            }
            Err(error) => {
                self.0.counters.add(LimiterCounter::of_store_error(error.kind()));
                Some(error)
            }
        };
        self.settle_in_fallback(due, error.as_ref(), &mut done).await;
        due.iter().zip(&done).for_each(|(due, done)| self.record_refund(due, done));
        let lost = error.filter(|_| due.iter().any(Due::is_lost));
        if lost.is_some() {
            self.0.counters.add(LimiterCounter::LostSettlements);
        }
        SettledDue { done, lost }
    }

    async fn settle_in_fallback(&self, due: &[Due], error: Option<&StoreError>, done: &mut [Done]) {
        let items = due.iter().enumerate();
        let (places, items): (Vec<_>, Vec<_>) =
            items.filter_map(|(at, due)| Some((at, due.in_fallback(error.is_some())?))).unzip();
        let mut struck: Vec<Option<Option<Timestamp>>> = vec![None; due.len()];
        if !items.is_empty() {
            // What the store may have charged after all is not charged again.
            let is_owed = error.is_some_and(StoreError::is_not_applied);
            let answers = self.0.fallback.settle(items, is_owed).await;
            for (at, settled) in places.into_iter().zip(answers) {
                if let Some(settled) = settled {
                    struck[at] = Some(settled.new_ban);
                    done[at] = due[at].done(settled, ChargePlace::Fallback);
                }
            }
        }
        if error.is_some() {
            due.iter().zip(struck).for_each(|(due, struck)| self.record_strike(due, struck));
        }
    }
}

impl Limiter {
    /// Records that units were given back, if they were.
    fn record_refund(&self, due: &Due, done: &Done) {
        if due.refunded.is_some() && done.usages.is_some() {
            self.0.counters.of_policy(due.policy.reported_name()).add(PolicyCounter::Refunded);
        }
    }

    /// Records a strike, if it was one, and the end of the ban that it brought; `None` if it
    /// is lost.
    fn record_strike(&self, due: &Due, struck: Option<Option<Timestamp>>) {
        if !due.settlement.strikes {
            return;
        }
        let Some(ban) = struck else {
            return self.0.counters.add(LimiterCounter::LostStrikes);
        };
        let is_shadow = due.policy.mode() == Mode::Shadow;
        let counter = if is_shadow { PolicyCounter::ShadowStrikes } else { PolicyCounter::Strikes };
        self.0.counters.of_policy(due.policy.reported_name()).add(counter);
        if let Some(until) = ban {
            self.0.record_ban(due.item(), until, BanCause::Responses);
        }
    }
}

impl Due {
    /// Returns what was done.
    fn done(&self, settled: Settled, place: ChargePlace) -> Done {
        let charge = match self.settlement.adjustment {
            Adjustment::Charge(units) => Some(Charge::of(units, &settled, place)),
            Adjustment::None | Adjustment::Refund { .. } => None,
        };
        Done { charge, usages: Some(settled.usages) }
    }
}

impl Done {
    /// Returns the result of a settlement that was lost. Its units count as charged nowhere.
    fn lost(due: &Due) -> Self {
        let charge = match due.settlement.adjustment {
            Adjustment::Charge(units) => Some(Charge::lost(units)),
            Adjustment::None | Adjustment::Refund { .. } => None,
        };
        Self { charge, usages: None }
    }
}
