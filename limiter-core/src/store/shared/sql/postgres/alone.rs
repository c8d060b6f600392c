//! A check alone: one statement, that calls one function.

use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

use super::{Postgres, numbers::read};
use crate::{
    quota::{Algorithm, Quota},
    store::shared::{
        backend::{Before, Named, Run},
        naming,
        operation::{Operation, slack},
        sql::{join, locked::Locking, locks, name},
    },
};

/// How often a transaction is tried that meets others.
const TRIES: usize = 3;

impl Postgres {
    /// Does what is asked in one statement.
    pub(super) async fn ask(
        &self,
        connection: &mut PgConnection,
        run: &Run,
    ) -> Result<Before, sqlx::Error> {
        let sql = format!("SELECT {}_{}::text", self.prefix, self.call(run));
        let mut tries = 1;
        let answer: String = loop {
            let row = raw_sql(AssertSqlSafe(sql.as_str())).fetch_one(&mut *connection).await;
            match row {
                Ok(row) => break row.try_get(0)?,
                // Rolled back, so that nothing was applied.
                Err(error) if tries < TRIES && Self::is_conflict(&error) => tries += 1,
                Err(error) => return Err(error),
            }
        };
        read(&answer, run).ok_or_else(|| {
            sqlx::Error::Protocol("the function answered in another form".to_owned())
        })
    }

    /// The function, and its arguments.
    fn call(&self, run: &Run) -> String {
        let cost = run.operation.told_cost();
        let arguments = self.arguments(run);
        match room(run) {
            Some([room, rest]) => format!("pass_1({room}, {rest}, {cost}, {arguments})"),
            None => {
                let (operation, duration) = (run.operation.name(), run.operation.duration());
                format!("run_1('{operation}', {cost}, {duration}, {arguments})")
            }
        }
    }

    /// Those that both functions have in common.
    fn arguments(&self, run: &Run) -> String {
        let names = run
            .items
            .iter()
            .flat_map(|item| naming::parts(item.scope()).map(|part| name(&item.client, &part)));
        let clients = run.items.iter().map(|item| item.client.as_str());
        format!(
            "{}::bigint, {}, {}, '{{{}}}', '{{{}}}', '{{{}}}'",
            run.now.map_or_else(|| "NULL".to_owned(), |now| now.as_micros().to_string()),
            slack(run.now),
            self.patience.map_or(0, |patience| patience.as_millis()),
            join(locks(&self.prefix, clients).into_iter().map(u64::cast_signed)),
            join(names),
            join(run.operation.numbers(run.items.iter().map(Named::item))),
        )
    }
}

/// The debt that leaves room for the request, in whole microseconds and a rest in
/// `1 / limit` of one, where the lean function may decide it: one policy of one
/// quota by `gcra` that ever has room.
fn room(run: &Run) -> Option<[u64; 2]> {
    let (Operation::Decide(cost @ 1..), [item]) = (run.operation, &run.items[..]) else {
        return None;
    };
    let mut quotas = item.policy.quotas().iter();
    let (Some(quota), None) = (quotas.next(), quotas.next()) else { return None };
    let units = quota.burst().checked_sub(cost)?;
    (quota.algorithm() == Algorithm::Gcra).then(|| debt(quota, units))
}

fn debt(quota: &Quota, units: u64) -> [u64; 2] {
    let debt = u128::from(units) * u128::from(quota.window_micros());
    let limit = u128::from(quota.limit());
    // A bucket drains within a hundred years.
    [debt / limit, debt % limit].map(|part| part as u64)
}
