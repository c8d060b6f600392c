//! Replay of a check that was decided several times in a row, or of settlements that were
//! folded: the server returns the state before the first time, and the pure functions
//! derive that before each other.

use std::{slice, sync::Arc};

use super::BatchEntry;
use crate::{
    algorithm::Wait,
    decide::{Change, Outcome, Usage},
    settlement::{SettledItem, settle},
    store::remote::{
        backend::{NamedItem, Reply, StoreRequest, outcome},
        operation::Operation,
    },
};

/// The state before the next time.
pub(super) struct Replay<'a> {
    request: &'a StoreRequest,
    /// Settlements that are still to be replayed.
    settlements: slice::Iter<'a, Arc<StoreRequest>>,
    reply: Reply,
    /// True once a reply was returned, after which the state is the one before that time.
    has_replied: bool,
    is_fixed: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(entry: &'a BatchEntry, reply: Reply) -> Self {
        let settlements = entry.settlements.iter();
        let request = &entry.request;
        Self { request, settlements, reply, has_replied: false, is_fixed: false }
    }

    /// Returns the state before the next time. The first is as the server has returned it;
    /// most entries have no other.
    pub(super) fn next(&mut self) -> Reply {
        self.end_time();
        self.has_replied = true;
        self.reply.clone()
    }

    /// The state before all further times, if these are refused and change nothing.
    /// Returns with it how long they have to wait, in microseconds.
    pub(super) fn fixed_refusal(mut self) -> Option<(Reply, u64)> {
        self.end_time();
        let outcome = self.advance()?;
        match outcome.decision.wait() {
            Wait::Micros(wait) if self.is_fixed => Some((self.reply, wait)),
            _ => None,
        }
    }

    /// Goes on behind the time that has its reply, if there is one.
    fn end_time(&mut self) {
        if self.has_replied && !self.is_fixed {
            self.advance();
        }
    }

    fn advance(&mut self) -> Option<Outcome> {
        let cost = match self.request.operation {
            Operation::Decide(cost) => cost,
            Operation::Settle => {
                self.settle();
                return None;
            }
            _ => {
                self.is_fixed = true;
                return None;
            }
        };
        let items = &self.request.items;
        let outcome = outcome(items.iter(), &self.reply.kept, cost, self.reply.now);
        self.is_fixed = true;
        for (at, change) in outcome.changes.iter().enumerate() {
            self.is_fixed &= matches!(change, Change::None);
            self.apply(at, change);
        }
        Some(outcome)
    }

    /// Goes on behind a settlement, which gives units back.
    fn settle(&mut self) {
        let items = self.request.items.iter().zip(&self.request.settlements);
        for ((item, settlement), kept) in items.zip(&mut self.reply.kept) {
            let settled = SettledItem { item: item.item(), settlement: settlement.clone() };
            let outcome = settle(&settled, &kept.prior(item.item()), kept.now);
            kept.states = outcome.settled.usages.iter().map(Usage::state).collect();
        }
        match self.settlements.next() {
            Some(next) => self.request = next,
            None => self.is_fixed = true,
        }
    }

    fn apply(&mut self, at: usize, change: &Change) {
        match change {
            Change::None => {}
            Change::Charged(levels) => {
                self.reply.kept[at].states = levels.iter().map(Usage::state).collect();
            }
            Change::Struck(record) => {
                let struck = &self.request.items[at];
                for (item, kept) in self.request.items.iter().zip(&mut self.reply.kept) {
                    if shares_bans(item, struck) {
                        kept.strikes = record.strikes();
                        kept.ban = record.ban();
                    }
                }
            }
        }
    }
}

/// Returns true if a strike of one is a strike of the other.
fn shares_bans(one: &NamedItem, other: &NamedItem) -> bool {
    one.namespaces().strikes == other.namespaces().strikes && one.client == other.client
}
