//! A check alone: one statement, that calls one function.

use smallvec::SmallVec;
use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

use super::{Postgres, encoding::read};
use crate::{
    quota::Algorithm,
    store::{
        remote::{
            backend::{NamedItem, Reply, StoreRequest},
            operation::{Operation, ttl_grace},
            script_params::debt,
            storage_key,
        },
        sql::{join, locks, name, transaction::Transactional},
    },
};

/// How often a transaction is tried that meets others.
const MAX_ATTEMPTS: usize = 3;

impl Postgres {
    /// Does what is asked in one statement.
    pub(in crate::store) async fn ask(
        &self,
        connection: &mut PgConnection,
        run: &StoreRequest,
    ) -> Result<Reply, sqlx::Error> {
        let sql = format!("SELECT {}_{}::text", self.prefix, self.call(run));
        let mut tries = 1;
        let answer: String = loop {
            let row = raw_sql(AssertSqlSafe(sql.as_str())).fetch_one(&mut *connection).await;
            match row {
                Ok(row) => break row.try_get(0)?,
                // Rolled back, so that nothing was applied.
                Err(error) if tries < MAX_ATTEMPTS && Self::is_conflict(&error) => tries += 1,
                Err(error) => return Err(error),
            }
        };
        read(&answer, run).ok_or_else(|| {
            sqlx::Error::Protocol("the function answered in another form".to_owned())
        })
    }

    /// The function, and its arguments.
    fn call(&self, run: &StoreRequest) -> String {
        let names: SmallVec<[String; 3]> = run.items.iter().flat_map(names).collect();
        let clients = run.items.iter().map(|item| item.client.as_str());
        let locks = locks(&self.prefix, clients).into_iter().map(u64::cast_signed);
        let cost = run.operation.capped_cost();
        let now = run.now.map_or_else(|| "NULL".to_owned(), |now| now.as_micros().to_string());
        let ttl_grace = ttl_grace(run.now);
        let patience = self.patience.map_or(0, |patience| patience.as_millis());
        let numbers = join(run.operation.numbers(run.items.iter().map(NamedItem::item)));
        match lean(run) {
            Some(debts) => format!(
                "pass_1({}, {}, '{}', {cost}, {now}, {ttl_grace}, {patience}, '{{{numbers}}}')",
                join(debts),
                join(locks),
                names.join("', '"),
            ),
            None => format!(
                "run_1('{}', {cost}, {}, {now}, {ttl_grace}, {patience}, '{{{}}}', '{{{}}}', '{{{numbers}}}')",
                run.operation.name(),
                run.operation.duration(),
                join(locks),
                names.join(","),
            ),
        }
    }
}

/// The names of an item's counter, strikes and ban.
fn names(item: &NamedItem) -> [String; 3] {
    let scope = item.scope();
    [('c', scope.counters), ('s', scope.strikes), ('b', scope.bans)]
        .map(|(kind, scope)| name(&item.client, &storage_key::part(kind, scope)))
}

/// What the lean function is told first, where it may decide a check: one policy
/// of one quota by `gcra` that ever has room.
fn lean(run: &StoreRequest) -> Option<[u64; 6]> {
    let (Operation::Decide(cost @ 1..), [item]) = (run.operation, &run.items[..]) else {
        return None;
    };
    let mut quotas = item.policy.quotas().iter();
    let (Some(quota), None) = (quotas.next(), quotas.next()) else { return None };
    let left = quota.burst().checked_sub(cost)?;
    let [[room, room_rest], [whole, rest]] = [left, cost].map(|units| debt(quota, units.into()));
    let numbers = [room, room_rest, whole, rest, quota.limit(), quota.burst()];
    (quota.algorithm() == Algorithm::Gcra).then_some(numbers)
}
