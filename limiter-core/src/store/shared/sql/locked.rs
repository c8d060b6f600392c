//! Databases that keep state and leave the deciding to Rust: a transaction
//! locks the clients, reads what is kept, and writes what has become of it.

use std::collections::{BTreeMap, HashMap};

use smallvec::SmallVec;

use super::{Dialect, Rows, locks, name};
use crate::{
    algorithm::{Level, State},
    ban::{Ban, BanRule, Offender},
    decide::Change,
    quota::Algorithm,
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
    fn replacing(columns: &[&str]) -> String {
        let replaced = columns.iter().map(|column| format!("{column}=excluded.{column}"));
        format!("ON CONFLICT (name) DO UPDATE SET {}", super::join(replaced))
    }

    /// Begins a transaction that has locked these numbers, runs `select`, and
    /// answers with its rows and one more: "now", and the instant once the
    /// locks were held.
    async fn begin(
        &self,
        connection: &mut Self::Connection,
        locks: &[u64],
        select: &str,
    ) -> Result<Rows, sqlx::Error>;

    /// Whether the transaction was rolled back, so that it can be tried again.
    fn is_conflict(error: &sqlx::Error) -> bool;

    /// The states of a counter or of strikes as text, in a SELECT.
    const STATE: &str = "state";

    /// Reads what [`STATE`](Self::STATE) has told of counters by that algorithm.
    fn read_states(_: Algorithm, text: &str) -> SmallVec<[Option<State>; 2]> {
        wire::states(text).collect()
    }

    /// States as they are written, between quotes.
    fn write_states(states: impl Iterator<Item = Option<State>>) -> String {
        wire::write_states(states)
    }

    /// Strikes, in the same way.
    fn write_strikes(state: Option<State>) -> String {
        wire::write_states([state])
    }
}

/// How often a transaction is tried that meets others.
const TRIES: usize = 4;

/// Does what is asked in one transaction, and leaves none open.
pub(super) async fn transact<D: Locking>(
    dialect: &D,
    connection: &mut D::Connection,
    runs: &[Run],
) -> Result<Vec<Before>, sqlx::Error> {
    let mut tries = 1;
    loop {
        let result = transact_once(dialect, connection, runs).await;
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
    dialect: &D,
    connection: &mut D::Connection,
    runs: &[Run],
) -> Result<Vec<Before>, sqlx::Error> {
    let prefix = dialect.prefix();
    let names: Vec<Vec<[String; 3]>> =
        runs.iter().map(|run| run.items.iter().map(names).collect()).collect();
    let select = select::<D>(prefix, &names.concat());
    let rows = dialect.begin(connection, &locks(prefix, runs), &select).await?;
    let mut rows: HashMap<String, String> = rows.into_iter().collect();
    let theirs = rows.get("now").and_then(|now| now.parse().ok()).map(Timestamp::from_micros);
    let mut answers = Vec::with_capacity(runs.len());
    let mut writes = Writes::default();
    for (run, names) in runs.iter().zip(names) {
        let now = run.now.or(theirs).ok_or_else(|| {
            sqlx::Error::Protocol("the database answered without the time".to_owned())
        })?;
        let items = run.items.iter().zip(&names);
        let kept = items.map(|(item, names)| kept::<D>(&rows, item, names, now)).collect();
        let before = Before { now, kept };
        let own = Writes::of::<D>(run, &names, &before);
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

fn select<D: Locking>(prefix: &str, names: &[[String; 3]]) -> String {
    let counters = quoted(names.iter().flat_map(|[counter, strikes, _]| [counter, strikes]));
    let bans = quoted(names.iter().map(|[_, _, ban]| ban));
    format!(
        "SELECT name, {} FROM {prefix}_counters WHERE name IN ({counters}) \
         UNION ALL SELECT name, CONCAT(ends, ',', lasted) FROM {prefix}_bans WHERE name IN ({bans})",
        D::STATE
    )
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    super::join(names.into_iter().map(|name| format!("'{name}'")))
}

fn kept<D: Locking>(
    rows: &HashMap<String, String>,
    item: &Named,
    names: &[String; 3],
    now: Timestamp,
) -> Kept {
    let algorithm = item.policy.quotas()[0].algorithm();
    let [counter, strikes, ban] = names.each_ref().map(|name| rows.get(name).map(String::as_str));
    Kept {
        now,
        states: counter.map(|text| D::read_states(algorithm, text)).unwrap_or_default(),
        strikes: strikes.and_then(|text| {
            D::read_states(Algorithm::SlidingWindow, text).first().copied().flatten()
        }),
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
    fn of<D: Locking>(run: &Run, names: &[[String; 3]], before: &Before) -> Self {
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
