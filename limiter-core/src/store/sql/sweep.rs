//! Garbage collection: a walk over the tables, a bounded part at a time.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use sqlx::error::BoxDynError;

use super::{Dialect, Sql, is_simple};

/// Rows that one step looks at.
const STEP: usize = 1_000;

/// The pause between two steps, and the pause where a quarter of what was
/// looked at had expired. (Redis collects its expired keys by that rule.)
const PAUSE: Duration = Duration::from_secs(1);
const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// Starts the walk. It ends with the store.
pub(in crate::store) fn start<D: Dialect>(sql: &Arc<Sql<D>>) {
    tokio::spawn(walk(Arc::downgrade(sql)));
}

async fn walk<D: Dialect>(sql: Weak<Sql<D>>) {
    let mut places = [SweepCursor::new("counters"), SweepCursor::new("bans")];
    loop {
        let mut busy = false;
        for place in &mut places {
            let Some(sql) = sql.upgrade() else { return };
            match sql.step(place).await {
                Ok(many) => busy |= many,
                // Nothing is lost: what has expired counts as nothing anyway.
                Err(error) => tracing::debug!(%error, "garbage was not collected"),
            }
        }
        tokio::time::sleep(if busy { SHORT_PAUSE } else { PAUSE }).await;
    }
}

/// Where the walk stands in a table.
struct SweepCursor {
    table: &'static str,
    /// The last name looked at.
    behind: String,
}

impl SweepCursor {
    const fn new(table: &'static str) -> Self {
        Self { table, behind: String::new() }
    }
}

impl<D: Dialect> Sql<D> {
    /// Looks at some rows; returns whether many of them had expired.
    async fn step(&self, place: &mut SweepCursor) -> Result<bool, BoxDynError> {
        let table = format!("{}_{}", self.dialect.prefix(), place.table);
        let now = match &self.clock {
            Some(clock) => clock.now().as_micros().to_string(),
            None => self.dialect.now(),
        };
        let sql = self.dialect.sweep(&table, &place.behind, STEP, &now);
        let rows = self.pool.rows(self.timeout, sql).await?;
        let value =
            |name: &str| rows.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let looked: usize = value("looked").unwrap_or("0").parse()?;
        let gone: usize = value("gone").unwrap_or("0").parse()?;
        place.behind = match value("last") {
            Some(last) if looked == STEP && last.bytes().all(is_simple) => last.to_owned(),
            // From the beginning again.
            _ => String::new(),
        };
        Ok(4 * gone > STEP)
    }
}
