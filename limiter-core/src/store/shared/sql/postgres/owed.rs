//! Charges what was admitted while the server was away: rare, so in two round
//! trips, computed by the pure functions.

use sqlx::{AssertSqlSafe, PgConnection, raw_sql};

use super::Postgres;
use crate::{
    algorithm::{Level, State},
    ban::{BanRule, Offender},
    store::shared::{
        backend::{Before, Named, Run},
        naming,
        operation::{Operation, slack},
        sql::{join, name},
    },
};

/// Leaves no transaction open, whatever the server answers.
pub(super) async fn charge(
    postgres: &Postgres,
    connection: &mut PgConnection,
    run: &Run,
) -> Result<Before, sqlx::Error> {
    let result = transact(postgres, connection, run).await;
    if matches!(result, Err(sqlx::Error::Database(_))) {
        let _ = raw_sql("ROLLBACK").execute(connection).await;
    }
    result
}

async fn transact(
    postgres: &Postgres,
    connection: &mut PgConnection,
    run: &Run,
) -> Result<Before, sqlx::Error> {
    // A look takes the locks of the clients, until the transaction ends.
    let look = Run { operation: Operation::Decide(0), owed: Vec::new(), ..run.clone() };
    // Should this server freeze now, the locks are not held for ever.
    let begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '2s'; ";
    let mut answers = postgres.ask(connection, &[look], begin).await?;
    let before = answers
        .pop()
        .ok_or_else(|| sqlx::Error::Protocol("the function did not answer".to_owned()))?;
    let items = run.items.iter().zip(&run.owed).zip(&before.kept);
    let mut sql = String::new();
    for ((item, owed), kept) in items {
        let repaid = kept.prior(item.item()).repaid(item.item(), owed, before.now);
        sql += &counter(postgres, run, item, &before, &repaid.levels);
        if let Some((rule, offender)) = item.policy.ban().zip(repaid.offender.as_ref()) {
            sql += &ban(postgres, run, item, rule, offender);
        }
    }
    raw_sql(AssertSqlSafe(format!("{sql}COMMIT"))).execute(connection).await?;
    Ok(before)
}

fn counter(
    postgres: &Postgres,
    run: &Run,
    item: &Named,
    before: &Before,
    levels: &[Level],
) -> String {
    let [counter, ..] = names(item);
    let longest = levels.iter().map(Level::reset_after).max().unwrap_or(0);
    let expires = before.now.as_micros() + longest + slack(run.now);
    let states = join(levels.iter().flat_map(|level| numbers(level.state())));
    format!(
        "INSERT INTO {}_counters VALUES ('{counter}', '{{{states}}}', {expires}) ON CONFLICT (name) \
         DO UPDATE SET state = excluded.state, expires = excluded.expires; ",
        postgres.prefix
    )
}

/// A ban clears the strikes.
fn ban(
    postgres: &Postgres,
    run: &Run,
    item: &Named,
    rule: &BanRule,
    offender: &Offender,
) -> String {
    let Some(ban) = offender.ban() else { return String::new() };
    let [_, strikes, name] = names(item);
    let (ends, lasted) = (ban.until.as_micros(), ban.duration);
    let expires = rule.forget_at(&ban).as_micros().saturating_add(slack(run.now));
    format!(
        "DELETE FROM {0}_counters WHERE name = '{strikes}'; \
         INSERT INTO {0}_bans VALUES ('{name}', {ends}, {lasted}, {expires}) ON CONFLICT (name) DO \
         UPDATE SET ends = excluded.ends, lasted = excluded.lasted, expires = excluded.expires; ",
        postgres.prefix
    )
}

fn names(item: &Named) -> [String; 3] {
    naming::parts(item.scope()).map(|part| name(&item.client, &part))
}

/// The four numbers that are kept of a quota.
fn numbers(state: Option<State>) -> [u64; 4] {
    match state {
        None => [0; 4],
        Some(State::Gcra { tat, fraction, limit, burst }) => [tat, fraction, limit, burst],
        Some(State::FixedWindow { start, used }) => [start, used, 0, 0],
        Some(State::SlidingWindow { start, current, previous }) => [start, current, previous, 0],
    }
}
