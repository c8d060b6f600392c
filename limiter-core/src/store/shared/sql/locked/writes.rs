//! What a transaction writes.

use std::collections::{BTreeMap, HashMap};

use super::{Locking, quoted};
use crate::{
    algorithm::Level,
    ban::{Ban, BanRule, Offender},
    decide::Change,
    store::shared::{
        backend::{Before, Kept, Named, Run, outcome},
        operation::{Operation, slack},
        sql::join,
    },
    time::Timestamp,
};

/// What to write, by the names of rows; `None` removes one. In the order of the
/// names, as every transaction writes.
#[derive(Default)]
pub(super) struct Writes {
    counters: BTreeMap<String, Option<(String, u64)>>,
    bans: BTreeMap<String, Option<(Ban, u64)>>,
    slack: u64,
    now: Timestamp,
}

impl Writes {
    pub(super) fn of<D: Locking>(run: &Run, names: &[[String; 3]], before: &Before) -> Self {
        let mut writes = Self { slack: slack(run.now), now: before.now, ..Self::default() };
        let items = run.items.iter().zip(names).zip(&before.kept);
        match run.operation {
            Operation::Decide(cost) => writes.decide::<D>(run, names, before, cost),
            Operation::Owe => items.zip(&run.owed).for_each(|(((item, names), kept), owed)| {
                let repaid = kept.prior(item.item()).repaid(item.item(), owed, before.now);
                writes.count::<D>(&names[0], &repaid.levels);
                if let Some((rule, offender)) = item.policy.ban().zip(repaid.offender.as_ref()) {
                    writes.keep::<D>(rule, names, offender);
                }
            }),
            Operation::Strike => items.for_each(|((item, names), kept)| {
                writes.offend::<D>(item, names, kept, |rule, before| {
                    Some(before.strike(rule, kept.now)).filter(|after| *after != before)
                });
            }),
            Operation::ChangeBan(change) => items.for_each(|((item, names), kept)| {
                writes.offend::<D>(item, names, kept, |rule, before| {
                    Some(before.change(rule, change, kept.now))
                });
            }),
            Operation::Reset => names.iter().for_each(|[counter, ..]| {
                writes.counters.insert(counter.clone(), None);
            }),
            #[cfg(feature = "redis")]
            Operation::Charge(_) | Operation::GiveBack(_) => {
                unreachable!("only a cluster is asked item by item")
            }
        }
        writes
    }

    fn decide<D: Locking>(&mut self, run: &Run, names: &[[String; 3]], before: &Before, cost: u64) {
        let outcome = outcome(run.items.iter(), &before.kept, cost, before.now);
        for ((item, names), change) in run.items.iter().zip(names).zip(outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(levels) => self.count::<D>(&names[0], &levels),
                Change::Struck(offender) => {
                    if let Some(rule) = item.policy.ban() {
                        self.keep::<D>(rule, names, &offender);
                    }
                }
            }
        }
    }

    /// Writes what has become of an offender, if anything has.
    fn offend<D: Locking>(
        &mut self,
        item: &Named,
        names: &[String; 3],
        kept: &Kept,
        change: impl FnOnce(&BanRule, Offender) -> Option<Offender>,
    ) {
        let prior = kept.prior(item.item()).offender;
        if let (Some(rule), Some(before)) = (item.policy.ban(), prior)
            && let Some(after) = change(rule, before)
        {
            self.keep::<D>(rule, names, &after);
        }
    }

    fn keep<D: Locking>(
        &mut self,
        rule: &BanRule,
        [_, strikes, ban]: &[String; 3],
        offender: &Offender,
    ) {
        let text = D::write_strikes(offender.strikes());
        self.write_counter(strikes, std::slice::from_ref(&offender.strikes), text);
        let row = |ban: Ban| {
            (ban, rule.forget_at(&ban).max(self.now).as_micros().saturating_add(self.slack))
        };
        self.bans.insert(ban.clone(), offender.ban().map(row));
    }

    fn count<D: Locking>(&mut self, name: &str, levels: &[Level]) {
        let text = D::write_states(levels.iter().map(Level::state));
        self.write_counter(name, levels, text);
    }

    fn write_counter(&mut self, name: &str, levels: &[Level], text: String) {
        let longest = levels.iter().map(Level::reset_after).max().unwrap_or(0);
        let used = levels.iter().any(|level| level.state().is_some());
        let expires = self.now.as_micros() + longest + self.slack;
        self.counters.insert(name.to_owned(), used.then_some((text, expires)));
    }

    /// Changes rows that were read.
    pub(super) fn show(&self, rows: &mut HashMap<String, String>) {
        let counters = self
            .counters
            .iter()
            .map(|(name, row)| (name, row.as_ref().map(|(state, _)| state.clone())));
        let bans = self.bans.iter().map(|(name, row)| (name, row.map(|(ban, _)| text(ban))));
        for (name, row) in counters.chain(bans) {
            match row {
                Some(row) => rows.insert(name.clone(), row),
                None => rows.remove(name),
            };
        }
    }

    pub(super) fn add(&mut self, later: Self) {
        self.counters.extend(later.counters);
        self.bans.extend(later.bans);
    }

    /// As SQL, each statement with a semicolon behind it.
    pub(super) fn sql<D: Locking>(self, prefix: &str) -> String {
        let counters = self
            .counters
            .into_iter()
            .map(|(name, row)| (name, row.map(|(state, expires)| format!("'{state}',{expires}"))));
        let bans = self.bans.into_iter().map(|(name, row)| {
            let values = |(ban, expires): (Ban, u64)| format!("{},{expires}", text(ban));
            (name, row.map(values))
        });
        changes::<D>(&format!("{prefix}_counters"), &["state", "expires"], counters)
            + &changes::<D>(&format!("{prefix}_bans"), &["ends", "lasted", "expires"], bans)
    }
}

fn text(ban: Ban) -> String {
    format!("{},{}", ban.until.as_micros(), ban.duration)
}

/// The SQL that replaces rows of a table, or removes those that have no values.
fn changes<D: Locking>(
    table: &str,
    columns: &[&str],
    rows: impl Iterator<Item = (String, Option<String>)>,
) -> String {
    let (kept, gone): (Vec<_>, Vec<_>) = rows.partition(|(_, values)| values.is_some());
    let mut sql = String::new();
    if !kept.is_empty() {
        let rows =
            kept.into_iter().filter_map(|(name, values)| Some(format!("('{name}',{})", values?)));
        let (rows, replacing) = (join(rows), D::replacing(columns));
        sql +=
            &format!("INSERT INTO {table} (name,{}) VALUES {rows} {replacing};", columns.join(","));
    }
    if !gone.is_empty() {
        let names = quoted(gone.iter().map(|(name, _)| name));
        sql += &format!("DELETE FROM {table} WHERE name IN ({names});");
    }
    sql
}
