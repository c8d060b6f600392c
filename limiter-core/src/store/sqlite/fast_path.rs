//! The statement of the [fast path](crate::store::sql::fast_path) on SQLite.
//!
//! Input: checks. Output: the replies to those that `fast_path.sql` has charged.

use std::{collections::BTreeMap, sync::Arc};

use sqlx::{AssertSqlSafe, SqliteConnection, query_as};

use super::statements::array;
use crate::{
    store::{
        remote::operation::ttl_grace,
        sql::{
            Charged, SqlError,
            fast_path::{Charge, FastPath, namespace},
            without_comments,
        },
    },
    time::{Timestamp, wall_clock},
};

/// Checks that one statement charges.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Group<'a> {
    counters: &'a str,
    bans: Option<&'a str>,
    /// The place of the quota in the checks.
    quota: usize,
    units: i64,
}

/// The statement of the fast path.
#[derive(Debug)]
pub(super) struct FastStatement(Arc<str>);

impl FastStatement {
    pub(super) fn new(prefix: &str) -> Self {
        let sql = without_comments(include_str!("fast_path.sql"));
        Self(sql.replace("{prefix}", prefix).into())
    }

    /// Charges the checks that fit, and writes the replies to them.
    pub(super) async fn run(
        &self,
        connection: &mut SqliteConnection,
        checks: &FastPath,
        replies: &mut Charged,
    ) -> Result<(), SqlError> {
        for (group, charges) in groups(checks) {
            let now = checks.now.unwrap_or_else(wall_clock);
            let charged = match self.charge(connection, checks, &group, &charges, now).await {
                Ok(charged) => charged,
                // The groups before were charged. The general form meets the error again.
                Err(_) if replies.iter().any(Option::is_some) => break,
                Err(error) => return Err(error),
            };
            for (counter, tat) in charged {
                checks.reply(&counter, now, tat, replies);
            }
        }
        Ok(())
    }

    async fn charge(
        &self,
        connection: &mut SqliteConnection,
        checks: &FastPath,
        Group { bans, quota, units, .. }: &Group<'_>,
        charges: &[&Charge],
        now: Timestamp,
    ) -> Result<Vec<(String, i64)>, SqlError> {
        let names: Vec<&str> = charges.iter().map(|charge| charge.counter.as_str()).collect();
        let quota = &checks.quotas[*quota];
        let charged = query_as(AssertSqlSafe(Arc::clone(&self.0)))
            .bind(array(&names))
            .bind(now.as_micros().cast_signed())
            .bind(units)
            .bind(quota.q)
            .bind(quota.capacity())
            .bind(quota.limit())
            .bind(quota.burst())
            .bind(quota.window())
            .bind(ttl_grace(checks.now).cast_signed())
            .bind(*bans)
            .fetch_all(connection);
        Ok(charged.await?)
    }
}

fn groups(checks: &FastPath) -> BTreeMap<Group<'_>, Vec<&Charge>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for charge in &checks.charges {
        let (counters, bans) = (namespace(&charge.counter), charge.ban.as_deref().map(namespace));
        let group = Group { counters, bans, quota: charge.quota, units: charge.units };
        groups.entry(group).or_default().push(charge);
    }
    groups
}
