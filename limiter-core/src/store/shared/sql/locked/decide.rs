//! What a run makes of the rows.

use super::rows::{Places, Rows};
use crate::{
    algorithm::{Level, Owed},
    ban::{BanRule, Offender},
    decide::Change,
    store::shared::{
        backend::{Kept, Named, Run, outcome},
        operation::{Operation, slack},
    },
    time::Timestamp,
};

/// A run at its instant.
pub(super) struct Step<'a, 'r> {
    rows: &'a mut Rows<'r>,
    run: &'r Run,
    now: Timestamp,
}

impl<'a, 'r> Step<'a, 'r> {
    pub(super) fn new(rows: &'a mut Rows<'r>, run: &'r Run, now: Timestamp) -> Self {
        Self { rows, run, now }
    }

    /// Changes the rows of its items, of which that was kept.
    pub(super) fn perform(mut self, places: &[Places], kept: &[Kept]) {
        let items = self.run.items.iter().zip(places).zip(kept);
        match self.run.operation {
            Operation::Decide(cost) => self.decide(places, kept, cost),
            Operation::Owe => {
                items.zip(&self.run.owed).for_each(|(((item, places), kept), owed)| {
                    self.repay(item, *places, kept, owed);
                });
            }
            Operation::Strike => items.for_each(|((item, places), kept)| {
                self.offend(item, *places, kept, |rule, before| {
                    Some(before.strike(rule, kept.now)).filter(|after| *after != before)
                });
            }),
            Operation::ChangeBan(change) => items.for_each(|((item, places), kept)| {
                self.offend(item, *places, kept, |rule, before| {
                    Some(before.change(rule, change, kept.now))
                });
            }),
            Operation::Reset => places.iter().for_each(|places| {
                self.rows.write_counter(places.counter, None, 0);
            }),
            #[cfg(feature = "redis")]
            Operation::Charge(_) | Operation::GiveBack(_) => {
                unreachable!("only a cluster is asked item by item")
            }
        }
    }

    fn decide(&mut self, places: &[Places], kept: &[Kept], cost: u64) {
        let outcome = outcome(self.run.items.iter(), kept, cost, self.now);
        for ((item, places), change) in self.run.items.iter().zip(places).zip(outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(levels) => self.count(places.counter, &levels),
                Change::Struck(offender) => {
                    if let Some(rule) = item.policy.ban() {
                        self.keep(rule, *places, &offender);
                    }
                }
            }
        }
    }

    fn repay(&mut self, item: &Named, places: Places, kept: &Kept, owed: &Owed) {
        let repaid = kept.prior(item.item()).repaid(item.item(), owed, self.now);
        self.count(places.counter, &repaid.levels);
        if let Some((rule, offender)) = item.policy.ban().zip(repaid.offender.as_ref()) {
            self.keep(rule, places, offender);
        }
    }

    /// Writes what has become of an offender, if anything has.
    fn offend(
        &mut self,
        item: &Named,
        places: Places,
        kept: &Kept,
        change: impl FnOnce(&BanRule, Offender) -> Option<Offender>,
    ) {
        let prior = kept.prior(item.item()).offender;
        if let (Some(rule), Some(before)) = (item.policy.ban(), prior)
            && let Some(after) = change(rule, before)
        {
            self.keep(rule, places, &after);
        }
    }

    fn keep(&mut self, rule: &BanRule, places: Places, offender: &Offender) {
        let Some((strikes, ban)) = places.offender else { return };
        self.count(strikes, std::slice::from_ref(&offender.strikes));
        let forgotten = offender.ban().map_or(self.now, |ban| rule.forget_at(&ban).max(self.now));
        let expires = forgotten.as_micros().saturating_add(slack(self.run.now));
        self.rows.write_ban(ban, offender.ban(), expires);
    }

    fn count(&mut self, at: usize, levels: &[Level]) {
        let longest = levels.iter().map(Level::reset_after).max().unwrap_or(0);
        let used = levels.iter().any(|level| level.state().is_some());
        let states = used.then(|| levels.iter().map(Level::state).collect());
        self.rows.write_counter(at, states, self.now.as_micros() + longest + slack(self.run.now));
    }
}
