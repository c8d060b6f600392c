//! Databases that keep state and leave the deciding to Rust: a transaction
//! locks the clients, reads what is kept, and writes what has become of it.

use std::collections::{BTreeMap, HashMap};

use super::{Dialect, Rows, locks, name};
use crate::{
    algorithm::Level,
    ban::{Ban, BanRule, Offender},
    decide::Change,
    store::shared::{
        backend::{Before, Kept, Named, Run, outcome, parse_ban},
        naming,
        operation::{Operation, slack},
        wire,
    },
    time::Timestamp,
};

/// A database whose rows are locked and read in one round trip, and written in
/// another.
pub(super) trait Locking: Dialect {
    /// How an INSERT goes on to replace the columns of a row that is there.
    fn replacing(columns: &[&str]) -> String;

    /// Begins a transaction that has locked these numbers, runs `select`, and
    /// answers with its rows and one more: "now", and the instant once the
    /// locks were held.
    async fn begin(
        connection: &mut Self::Connection,
        prefix: &str,
        locks: &[u64],
        select: &str,
    ) -> Result<Rows, sqlx::Error>;

    /// Whether the transaction was rolled back, so that it can be tried again.
    fn is_conflict(error: &sqlx::Error) -> bool;
}

/// How often a transaction is tried that meets others.
const TRIES: usize = 4;

/// Does what is asked in one transaction, and leaves none open.
pub(super) async fn transact<D: Locking>(
    connection: &mut D::Connection,
    prefix: &str,
    runs: &[Run],
) -> Result<Vec<Before>, sqlx::Error> {
    let mut tries = 1;
    loop {
        let result = transact_once::<D>(connection, prefix, runs).await;
        if !matches!(result, Err(sqlx::Error::Database(_))) {
            return result;
        }
        // A database may have ended the transaction already.
        let _ = D::rows(connection, "ROLLBACK".to_owned()).await;
        if tries == TRIES || !result.as_ref().is_err_and(D::is_conflict) {
            return result;
        }
        tries += 1;
    }
}

async fn transact_once<D: Locking>(
    connection: &mut D::Connection,
    prefix: &str,
    runs: &[Run],
) -> Result<Vec<Before>, sqlx::Error> {
    let names: Vec<Vec<[String; 3]>> =
        runs.iter().map(|run| run.items.iter().map(names).collect()).collect();
    let select = select(prefix, &names.concat());
    let rows = D::begin(connection, prefix, &locks(prefix, runs), &select).await?;
    let mut rows: HashMap<String, String> = rows.into_iter().collect();
    let theirs = rows.get("now").and_then(|now| now.parse().ok()).map(Timestamp::from_micros);
    let mut answers = Vec::with_capacity(runs.len());
    let mut writes = Writes::default();
    for (run, names) in runs.iter().zip(names) {
        let now = run.now.or(theirs).ok_or_else(|| {
            sqlx::Error::Protocol("the database answered without the time".to_owned())
        })?;
        let kept = names.iter().map(|names| kept(&rows, names, now)).collect();
        let before = Before { now, kept };
        let own = Writes::of(run, &names, &before);
        // What the next one finds.
        own.show(&mut rows);
        writes.add(own);
        answers.push(before);
    }
    D::rows(connection, format!("{}COMMIT", writes.sql::<D>(prefix))).await?;
    Ok(answers)
}

fn names(item: &Named) -> [String; 3] {
    naming::parts(item.scope()).map(|part| name(&item.client, &part))
}

fn select(prefix: &str, names: &[[String; 3]]) -> String {
    let counters = quoted(names.iter().flat_map(|[counter, strikes, _]| [counter, strikes]));
    let bans = quoted(names.iter().map(|[_, _, ban]| ban));
    format!(
        "SELECT name, state FROM {prefix}_counters WHERE name IN ({counters}) \
         UNION ALL SELECT name, CONCAT(ends, ',', lasted) FROM {prefix}_bans WHERE name IN ({bans})"
    )
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    super::join(names.into_iter().map(|name| format!("'{name}'")))
}

fn kept(rows: &HashMap<String, String>, names: &[String; 3], now: Timestamp) -> Kept {
    let [counter, strikes, ban] = names.each_ref().map(|name| rows.get(name).map(String::as_str));
    Kept {
        now,
        states: counter.map(|text| wire::states(text).collect()).unwrap_or_default(),
        strikes: strikes.and_then(wire::state),
        ban: ban.and_then(parse_ban),
    }
}

/// What to write, by the names of rows; `None` removes one. In the order of the
/// names, as every transaction writes.
#[derive(Default)]
struct Writes {
    counters: BTreeMap<String, Option<(String, u64)>>,
    bans: BTreeMap<String, Option<(Ban, u64)>>,
    slack: u64,
    now: Timestamp,
}

impl Writes {
    fn of(run: &Run, names: &[[String; 3]], before: &Before) -> Self {
        let mut writes = Self { slack: slack(run.now), now: before.now, ..Self::default() };
        let items = run.items.iter().zip(names).zip(&before.kept);
        match run.operation {
            Operation::Decide(cost) => writes.decide(run, names, before, cost),
            Operation::Owe => items.zip(&run.owed).for_each(|(((item, names), kept), owed)| {
                let repaid = kept.prior(item.item()).repaid(item.item(), owed, before.now);
                writes.count(&names[0], &repaid.levels);
                if let Some((rule, offender)) = item.policy.ban().zip(repaid.offender.as_ref()) {
                    writes.keep(rule, names, offender);
                }
            }),
            Operation::Strike => items.for_each(|((item, names), kept)| {
                writes.offend(item, names, kept, |rule, before| {
                    Some(before.strike(rule, kept.now)).filter(|after| *after != before)
                });
            }),
            Operation::ChangeBan(change) => items.for_each(|((item, names), kept)| {
                writes.offend(item, names, kept, |rule, before| {
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

    fn decide(&mut self, run: &Run, names: &[[String; 3]], before: &Before, cost: u64) {
        let outcome = outcome(run.items.iter(), &before.kept, cost, before.now);
        for ((item, names), change) in run.items.iter().zip(names).zip(outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(levels) => self.count(&names[0], &levels),
                Change::Struck(offender) => {
                    if let Some(rule) = item.policy.ban() {
                        self.keep(rule, names, &offender);
                    }
                }
            }
        }
    }

    /// Writes what has become of an offender, if anything has.
    fn offend(
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
            self.keep(rule, names, &after);
        }
    }

    fn keep(&mut self, rule: &BanRule, [_, strikes, ban]: &[String; 3], offender: &Offender) {
        self.count(strikes, std::slice::from_ref(&offender.strikes));
        let row = |ban: Ban| {
            (ban, rule.forget_at(&ban).max(self.now).as_micros().saturating_add(self.slack))
        };
        self.bans.insert(ban.clone(), offender.ban().map(row));
    }

    fn count(&mut self, name: &str, levels: &[Level]) {
        let longest = levels.iter().map(Level::reset_after).max().unwrap_or(0);
        let used = levels.iter().any(|level| level.state().is_some());
        let text = wire::write_states(levels.iter().map(Level::state));
        let expires = self.now.as_micros() + longest + self.slack;
        self.counters.insert(name.to_owned(), used.then_some((text, expires)));
    }

    /// Changes rows that were read.
    fn show(&self, rows: &mut HashMap<String, String>) {
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

    fn add(&mut self, later: Self) {
        self.counters.extend(later.counters);
        self.bans.extend(later.bans);
    }

    /// As SQL, each statement with a semicolon behind it.
    fn sql<D: Locking>(self, prefix: &str) -> String {
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
        let (rows, replacing) = (super::join(rows), D::replacing(columns));
        sql +=
            &format!("INSERT INTO {table} (name,{}) VALUES {rows} {replacing};", columns.join(","));
    }
    if !gone.is_empty() {
        let names = quoted(gone.iter().map(|(name, _)| name));
        sql += &format!("DELETE FROM {table} WHERE name IN ({names});");
    }
    sql
}
