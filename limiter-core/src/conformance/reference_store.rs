//! The reference: a store without bound that runs the pure functions on maps.

use std::{collections::HashMap, sync::Mutex};

use crate::{
    Answer, Ban, BanChange, BanPage, BanRule, Banned, Check, Clock, Decision, Item, Key, KeyStates,
    ManualClock, Policy, QuotaId, State, Store, Timestamp,
    ban::BanRecord,
    decide::{Change, PriorState, Usage, decide},
    settlement::{Settled, SettledItem, settle},
};

/// The reference: a store without a bound that runs the pure functions on maps.
/// A differential test asks it and a real store the same.
#[derive(Debug)]
pub struct ReferenceStore {
    clock: ManualClock,
    kept: Mutex<Kept>,
}

type Name = (u64, Key);

#[derive(Debug, Default)]
struct Kept {
    counters: HashMap<Name, HashMap<QuotaId, State>>,
    strikes: HashMap<Name, Option<State>>,
    bans: HashMap<Name, Option<Ban>>,
}

impl ReferenceStore {
    /// An empty model that goes by that clock.
    #[must_use]
    pub fn new(clock: ManualClock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().expect("no thread panicked while it held the model")
    }
}

impl Kept {
    fn prior(&self, item: Item<'_>, now: Timestamp) -> PriorState {
        let counters = self.counters.get(&counters(item));
        let state = |id| counters.and_then(|states| states.get(id).cloned());
        let states = item.policy.quota_ids().iter().map(state);
        let strikes = self.strikes.get(&strikes(item)).cloned().flatten();
        let ban = self.bans.get(&bans(item)).copied().flatten();
        PriorState::new(item, states, strikes, ban, now)
    }

    fn offender<'a>(&self, item: Item<'a>, now: Timestamp) -> Option<(&'a BanRule, BanRecord)> {
        let rule = item.policy.ban()?;
        self.prior(item, now).offender.map(|offender| (rule, offender))
    }

    fn charge(&mut self, item: Item<'_>, levels: &[Usage]) {
        let states = self.counters.entry(counters(item)).or_default();
        for (id, usage) in item.policy.quota_ids().iter().zip(levels) {
            match usage.state() {
                Some(state) => states.insert(*id, state),
                None => states.remove(id),
            };
        }
    }

    fn offend(&mut self, item: Item<'_>, offender: BanRecord) {
        self.strikes.insert(strikes(item), offender.strikes());
        self.bans.insert(bans(item), offender.ban());
    }
}

fn counters(item: Item<'_>) -> Name {
    (item.policy.namespaces().counters, item.subject.key.clone())
}

fn strikes(item: Item<'_>) -> Name {
    (item.policy.namespaces().strikes, item.subject.key.clone())
}

fn bans(item: Item<'_>) -> Name {
    (item.policy.namespaces().bans, item.subject.key.clone())
}

impl Store for ReferenceStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        let mut kept = self.kept();
        let now = self.clock.now();
        for (_, item, outage_usage) in check.outage_usage() {
            let reconciled = kept.prior(item, now).reconciled(item, outage_usage, now);
            kept.charge(item, &reconciled.levels);
            if let Some(offender) = &reconciled.offender {
                kept.offend(item, *offender);
            }
        }
        let priors: Vec<_> = check.items().map(|item| kept.prior(item, now)).collect();
        let outcome = decide(&check, &priors, now);
        for (item, change) in check.items().zip(outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(levels) => kept.charge(item, &levels),
                Change::Struck(offender) => kept.offend(item, offender),
            }
        }
        Answer::ready(Ok(outcome.decision))
    }

    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        let mut kept = self.kept();
        let now = self.clock.now();
        let settle = |settled: &SettledItem<'_>| {
            let outcome = settle(settled, &kept.prior(settled.item, now), now);
            if outcome.is_adjusted {
                kept.charge(settled.item, &outcome.settled.usages);
            }
            if let Some(record) = outcome.record {
                kept.offend(settled.item, record);
            }
            outcome.settled
        };
        Answer::ready(Ok(items.iter().map(settle).collect()))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        let mut kept = self.kept();
        let now = self.clock.now();
        if let Some((rule, before)) = kept.offender(item, now) {
            let after = before.change(rule, change, now);
            kept.offend(item, after);
        }
        Answer::ready(Ok(()))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        self.kept().counters.remove(&counters(item));
        Answer::ready(Ok(()))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        let ban = self.kept().bans.get(&bans(item)).copied().flatten();
        Answer::ready(Ok(ban.filter(|ban| ban.holds(self.clock.now()))))
    }

    fn look<'a>(&'a self, items: Vec<Item<'a>>) -> Answer<'a, KeyStates> {
        let kept = self.kept();
        let now = self.clock.now();
        let states = items.into_iter().map(|item| kept.prior(item, now)).collect();
        Answer::ready(Ok(KeyStates::new(now, states)))
    }

    /// All on one page.
    fn bans<'a>(&'a self, policy: &'a Policy, _: Option<&'a str>, _: usize) -> Answer<'a, BanPage> {
        let (now, scope) = (self.clock.now(), policy.namespaces().bans);
        let kept = self.kept();
        let of_scope = kept.bans.iter().filter(|(name, _)| name.0 == scope);
        let bans = of_scope.filter_map(|((_, key), ban)| {
            ban.filter(|ban| ban.holds(now)).map(|ban| Banned { key: key.clone(), ban })
        });
        Answer::ready(Ok(BanPage { bans: bans.collect(), next: None }))
    }
}
