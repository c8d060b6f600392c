//! A store outside of `limiter-core`: maps behind one lock.
//!
//! It shows what a store has to do: read what is stored, decide by the pure functions
//! of [`limiter_core::decide`], and write what changed, all under one lock or in one
//! transaction. Its test is the conformance suite that every store passes. A store for
//! production also bounds what it keeps, and drops what is in force no more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use limiter_core::{
    Answer, Ban, BanChange, BanPage, BanRule, Banned, Check, Clock, Decision, Item, Key, KeyStates,
    Policy, QuotaId, State, Store, Timestamp,
    decide::{BanRecord, Change, PriorState, Usage, decide},
    settlement::{Settled, SettledItem, settle},
};

/// A namespace of a policy, and the encoded key that is counted there.
type Row = (u64, Vec<u8>);

/// Keeps counters, strikes and bans in maps. Clones share them.
#[derive(Clone, Debug)]
pub struct MapStore {
    clock: Arc<dyn Clock>,
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    /// The state of each quota by its id, also of quotas that another configuration has.
    counters: BTreeMap<Row, BTreeMap<QuotaId, State>>,
    strikes: BTreeMap<Row, State>,
    bans: BTreeMap<Row, (Key, Ban)>,
}

impl MapStore {
    /// Returns an empty store that takes the time from that clock.
    pub fn new(clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), tables: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(namespace: u64, item: Item<'_>) -> Row {
    (namespace, item.subject.key.as_bytes().to_vec())
}

impl Tables {
    fn prior_state(&self, item: Item<'_>, now: Timestamp) -> PriorState {
        let namespaces = item.policy.namespaces();
        let counter = self.counters.get(&row(namespaces.counters, item));
        let state = |id| counter.and_then(|states| states.get(id).cloned());
        let states = item.policy.quota_ids().iter().map(state);
        let strikes = self.strikes.get(&row(namespaces.strikes, item)).cloned();
        let ban = self.bans.get(&row(namespaces.bans, item)).map(|(_, ban)| *ban);
        PriorState::new(item, states, strikes, ban, now)
    }

    /// The rule and the record of a subject that may be banned.
    fn ban_record<'a>(&self, item: Item<'a>, now: Timestamp) -> Option<(&'a BanRule, BanRecord)> {
        let rule = item.policy.ban().filter(|_| item.subject.is_bannable())?;
        let namespaces = item.policy.namespaces();
        let strikes = self.strikes.get(&row(namespaces.strikes, item)).cloned();
        let ban = self.bans.get(&row(namespaces.bans, item)).map(|(_, ban)| *ban);
        Some((rule, BanRecord::at(rule, strikes, ban, now)))
    }

    fn save_counters(&mut self, item: Item<'_>, usages: &[Usage]) {
        let counter = row(item.policy.namespaces().counters, item);
        let states = self.counters.entry(counter).or_default();
        for (id, usage) in item.policy.quota_ids().iter().zip(usages) {
            match usage.state() {
                Some(state) => states.insert(*id, state),
                None => states.remove(id),
            };
        }
    }

    fn save_ban_record(&mut self, item: Item<'_>, record: &BanRecord) {
        let namespaces = item.policy.namespaces();
        let (strikes, bans) = (row(namespaces.strikes, item), row(namespaces.bans, item));
        match record.strikes() {
            Some(state) => self.strikes.insert(strikes, state),
            None => self.strikes.remove(&strikes),
        };
        match record.ban() {
            Some(ban) => self.bans.insert(bans, (item.subject.key.clone(), ban)),
            None => self.bans.remove(&bans),
        };
    }
}

impl Store for MapStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        let mut tables = self.lock();
        let now = self.clock.now();
        // Units that were admitted while the store was away are charged first.
        for (_, item, usage) in check.outage_usage() {
            let charged = tables.prior_state(item, now).reconciled(item, usage, now);
            tables.save_counters(item, &charged.levels);
            if let Some(record) = &charged.offender {
                tables.save_ban_record(item, record);
            }
        }
        let priors: Vec<_> = check.items().map(|item| tables.prior_state(item, now)).collect();
        let outcome = decide(&check, &priors, now);
        for (item, change) in check.items().zip(&outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(usages) => tables.save_counters(item, usages),
                Change::Struck(record) => tables.save_ban_record(item, record),
            }
        }
        Answer::ready(Ok(outcome.decision))
    }

    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        let mut tables = self.lock();
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(items.len());
        for settled in &items {
            let outcome = settle(settled, &tables.prior_state(settled.item, now), now);
            if outcome.is_adjusted {
                tables.save_counters(settled.item, &outcome.settled.usages);
            }
            if let Some(record) = &outcome.record {
                tables.save_ban_record(settled.item, record);
            }
            answers.push(outcome.settled);
        }
        Answer::ready(Ok(answers))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        let mut tables = self.lock();
        let now = self.clock.now();
        if let Some((rule, record)) = tables.ban_record(item, now) {
            tables.save_ban_record(item, &record.change(rule, change, now));
        }
        Answer::ready(Ok(()))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        self.lock().counters.remove(&row(item.policy.namespaces().counters, item));
        Answer::ready(Ok(()))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        let tables = self.lock();
        let ban = tables.bans.get(&row(item.policy.namespaces().bans, item));
        let now = self.clock.now();
        Answer::ready(Ok(ban.map(|(_, ban)| *ban).filter(|ban| ban.holds(now))))
    }

    fn look<'a>(&'a self, items: Vec<Item<'a>>) -> Answer<'a, KeyStates> {
        let tables = self.lock();
        let now = self.clock.now();
        let states = items.into_iter().map(|item| tables.prior_state(item, now)).collect();
        Answer::ready(Ok(KeyStates::new(now, states)))
    }

    /// All on one page.
    fn bans<'a>(&'a self, policy: &'a Policy, _: Option<&'a str>, _: usize) -> Answer<'a, BanPage> {
        let (now, namespace) = (self.clock.now(), policy.namespaces().bans);
        let tables = self.lock();
        let own = tables.bans.iter().filter(|(row, (_, ban))| row.0 == namespace && ban.holds(now));
        let bans = own.map(|(_, (key, ban))| Banned::new(key.clone(), *ban)).collect();
        Answer::ready(Ok(BanPage::new(bans, None)))
    }
}
