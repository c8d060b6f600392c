//! The statements of the [fast path](crate::store::sql::fast_path) on MySQL.
//!
//! Input: checks. Output: a script of one round trip, which charges those that fit in one
//! transaction, and what its row says. It is text: the numbers of a prepared
//! statement cannot be as many as there are counters.

use std::{collections::BTreeMap, str::FromStr};

use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, MySqlConnection, raw_sql};

use super::NOW;
use crate::{
    store::{
        remote::operation::ttl_grace,
        sql::{
            Charged, SqlError,
            counter_columns::GcraUnits,
            fast_path::{Charge, FastPath, namespace},
            row_literals::quoted,
            without_comments,
        },
    },
    time::Timestamp,
};

const UPDATE: &str = include_str!("fast_path.sql");

/// Checks that one statement charges: of one namespace and quota, and with bans of one
/// namespace or without. In this order everybody locks.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Group<'a> {
    counters: &'a str,
    bans: Option<&'a str>,
    quota: GcraUnits,
}

/// The statement of the fast path, and the names of its tables.
#[derive(Debug)]
pub(super) struct FastStatement {
    update: String,
    prefix: String,
}

impl FastStatement {
    pub(super) fn new(prefix: &str) -> Self {
        let update = without_comments(UPDATE).replace("{prefix}", prefix);
        Self { update, prefix: prefix.to_owned() }
    }

    /// Charges the checks that fit, and writes the replies to them.
    pub(super) async fn run(
        &self,
        connection: &mut MySqlConnection,
        checks: &FastPath,
        replies: &mut Charged,
    ) -> Result<(), SqlError> {
        let (charged, now) = charged_row(connection, self.script(checks)).await?;
        let now = Timestamp::from_micros(number(&now)?);
        for (counter, tat) in charged.split(';').filter_map(|one| one.split_once(' ')) {
            checks.reply(counter, now, number(tat)?, replies);
        }
        Ok(())
    }

    fn script(&self, checks: &FastPath) -> String {
        let mut groups: BTreeMap<Group<'_>, Vec<&Charge>> = BTreeMap::new();
        for charge in &checks.charges {
            let quota = checks.quotas[charge.quota];
            let (counters, bans) = (namespace(&charge.counter), charge.ban.as_deref());
            let group = Group { counters, bans: bans.map(namespace), quota };
            groups.entry(group).or_default().push(charge);
        }
        let now = checks.now.map_or_else(|| NOW.to_owned(), |now| now.as_micros().to_string());
        let mut script =
            format!("START TRANSACTION; SET @now = CAST({now} AS SIGNED), @charged = '';");
        for (group, charges) in groups {
            script += &self.update(&group, &charges, ttl_grace(checks.now));
            script.push(';');
        }
        script + "SELECT @charged, @now; COMMIT"
    }

    fn update(&self, group: &Group<'_>, charges: &[&Charge], grace: u64) -> String {
        let Group { counters, bans, quota } = group;
        let names: Vec<&str> = charges.iter().map(|charge| charge.counter.as_str()).collect();
        let ban = bans.map_or_else(String::new, |bans| {
            format!(
                "AND NOT EXISTS (SELECT 1 FROM {}_bans AS ban \
                 WHERE ban.name = CONCAT('{bans}', SUBSTR(counter.name, {})) AND ban.ends_at > @now \
                 LOCK IN SHARE MODE)",
                self.prefix,
                counters.len() + 1
            )
        });
        self.update
            .replace("{ban}", &ban)
            .replace("{grace}", &grace.to_string())
            .replace("{q}", &quota.q.to_string())
            .replace("{capacity}", &quota.capacity().to_string())
            .replace("{limit}", &quota.limit().to_string())
            .replace("{burst}", &quota.burst().to_string())
            .replace("{window}", &quota.window().to_string())
            // Last, since they are long.
            .replace("{charge}", &units(charges))
            .replace("{names}", &quoted(&names, '\''))
    }
}

/// Returns the units that each counter is charged, as an expression: mostly those of one
/// check, where equal checks are not folded.
fn units(charges: &[&Charge]) -> String {
    let mut by_units: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for charge in charges {
        by_units.entry(charge.units).or_default().push(&charge.counter);
    }
    let most = by_units.iter().max_by_key(|(_, names)| names.len()).map_or(0, |(units, _)| *units);
    by_units.remove(&most);
    if by_units.is_empty() {
        return most.to_string();
    }
    let others = by_units
        .iter()
        .map(|(units, names)| format!("WHEN name IN ({}) THEN {units} ", quoted(names, '\'')));
    format!("CASE {}ELSE {most} END", others.collect::<String>())
}

/// Runs a script, and returns its only row: what was charged, and when.
///
/// The row is sent before the transaction is committed: an error of the server without it proves
/// that nothing was changed. A connection that ends without it does not: the server may have the
/// script, and carries it out.
async fn charged_row(
    connection: &mut MySqlConnection,
    script: String,
) -> Result<(String, String), SqlError> {
    let mut rows = raw_sql(AssertSqlSafe(script)).fetch(connection);
    let mut charged = None;
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => charged = Some((super::text(&row, 0)?, super::text(&row, 1)?)),
            Err(error @ sqlx::Error::Database(_)) if charged.is_none() => {
                return Err(SqlError::unwritten(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    charged.ok_or_else(|| unread("no row"))
}

fn number<T: FromStr>(text: &str) -> Result<T, SqlError> {
    text.parse().map_err(|_| unread(text))
}

/// An answer that cannot be read, behind which everything may have been charged.
fn unread(answer: &str) -> SqlError {
    SqlError::new(&format!("a script of the fast path returned {answer:?}")).partly_applied()
}
