//! The floor of a database: a prepared upsert of one row.

use sqlx::{
    AnyPool, Connection, PgConnection,
    any::{AnyPoolOptions, install_default_drivers},
};
use tokio::{runtime::Runtime, sync::Mutex};

use crate::{
    load::{Load, throughput},
    options::Pace,
    rounds::Contender,
};

/// Connections of many upserts at once: as many as a store of ours opens.
const CONNECTIONS: u32 = 4;

/// The dialect of a database.
pub(super) struct Dialect {
    table: &'static str,
    upsert: &'static str,
    connections: u32,
}

pub(super) const POSTGRES: Dialect = Dialect {
    table: "CREATE UNLOGGED TABLE IF NOT EXISTS upserted \
            (name text PRIMARY KEY, hits bigint NOT NULL)",
    upsert: "INSERT INTO upserted VALUES ($1, 1) ON CONFLICT (name) \
             DO UPDATE SET hits = upserted.hits + 1 RETURNING hits",
    connections: CONNECTIONS,
};

pub(super) const MARIADB: Dialect = Dialect {
    table: "CREATE TABLE IF NOT EXISTS upserted \
            (name varchar(64) PRIMARY KEY, hits bigint NOT NULL)",
    upsert: "INSERT INTO upserted VALUES (?, 1) ON DUPLICATE KEY UPDATE hits = hits + 1",
    connections: CONNECTIONS,
};

/// It has one writer, and the settings of our store.
pub(super) const SQLITE: Dialect = Dialect {
    table: "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
            CREATE TABLE IF NOT EXISTS upserted (name text PRIMARY KEY, hits bigint NOT NULL)",
    upsert: "INSERT INTO upserted VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET hits = hits + 1",
    connections: 1,
};

/// Upserts over several connections.
pub(super) struct Upserts {
    pool: AnyPool,
    upsert: &'static str,
}

impl Upserts {
    pub(super) async fn connect(url: &str, dialect: Dialect) -> Self {
        install_default_drivers();
        let Dialect { table, upsert, connections } = dialect;
        let options = AnyPoolOptions::new().max_connections(connections);
        // Else each call asks the server first if the connection is alive.
        let pool = options.test_before_acquire(false).connect(url).await;
        let pool = pool.expect("the server was started");
        sqlx::raw_sql(table).execute(&pool).await.expect("the table can be made");
        Self { pool, upsert }
    }

    pub(super) fn contender<'a>(
        &self,
        runtime: &'a Runtime,
        pace: &Pace,
        load: Load,
    ) -> Contender<'a> {
        let (time, pool, upsert) = (pace.time, self.pool.clone(), self.upsert);
        let ask = move |key| {
            let pool = pool.clone();
            async move {
                let upsert = sqlx::query(upsert).bind(name(key));
                upsert.execute(&pool).await.expect("it answers");
            }
        };
        Box::new(move || runtime.block_on(throughput(time, load, ask.clone())))
    }
}

/// Upserts on PostgreSQL over one connection.
pub(super) struct UpsertAlone(Mutex<PgConnection>);

impl UpsertAlone {
    pub(super) async fn connect(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.expect("it was started");
        let made = sqlx::raw_sql(POSTGRES.table).execute(&mut connection).await;
        made.expect("the table can be made");
        Self(Mutex::new(connection))
    }

    pub(super) async fn ask(&self, key: usize) {
        let upsert = sqlx::query_scalar(POSTGRES.upsert).bind(name(key));
        let hits: i64 = upsert.fetch_one(&mut *self.0.lock().await).await.expect("it answers");
        assert!(hits > 0);
    }
}

fn name(key: usize) -> String {
    format!("user={key}")
}
