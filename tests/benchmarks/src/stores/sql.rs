//! On PostgreSQL, MariaDB and SQLite.

use sqlx::{Connection, PgConnection};
use tokio::{runtime::Runtime, sync::Mutex};

use super::{KEYS, Measure, Ours, flexible};
use crate::{
    chart::{Chart, Group, Kind},
    load::{alone, runtime},
    machine::version,
    node::Flexible,
    options::Pace,
    report::{Row, Section, Target, a_second, keys as told, microseconds},
    rounds::{Contender, in_turn},
    suite::servers::{kept_folder, mysql_url, postgres_url},
};

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let runtime = runtime();
    let node = Flexible::start();
    let file = format!("sqlite://{}", kept_folder("compare").join("limits").display());
    let databases = [
        Database::new("PostgreSQL", postgres_url(), &runtime, node.as_ref()),
        Database::new("MariaDB", mysql_url(), &runtime, node.as_ref()),
        Database::new("SQLite", &file, &runtime, None),
    ];
    let throughputs =
        databases.iter().flat_map(|database| [KEYS, 1].map(|keys| database.throughput(pace, keys)));
    let (mut rows, groups): (Vec<_>, Vec<_>) = throughputs.unzip();
    let upsert = runtime.block_on(Upsert::connect());
    let [postgres, others @ ..] = &databases;
    rows.push(postgres.wait_beside(pace, &upsert));
    rows.extend(others.iter().map(|database| database.wait(pace)));
    let series = ["ours", "rate-limiter-flexible"].map(str::to_owned).to_vec();
    let chart = Chart {
        name: "sql",
        title: "Checks a second on SQL databases, 64 in flight".to_owned(),
        kind: Kind::Bars { series, groups },
    };
    let note = format!(
        "PostgreSQL {} and MariaDB {}, which do not wait for the disk; 64 checks in flight over 4 \
         connections of ours and 10 of the other, which is what each opens by itself; ours by GCRA \
         with a ban rule.",
        version("postgres"),
        version("mariadbd")
    );
    vec![Section { title: "On SQL databases", note, rows, charts: vec![chart] }]
}

struct Database<'a> {
    name: &'static str,
    url: &'a str,
    ours: Ours,
    runtime: &'a Runtime,
    node: Option<&'a Flexible>,
}

impl<'a> Database<'a> {
    fn new(
        name: &'static str,
        url: &'a str,
        runtime: &'a Runtime,
        node: Option<&'a Flexible>,
    ) -> Self {
        Self { name, url, ours: runtime.block_on(Ours::connect(url)), runtime, node }
    }

    fn throughput(&self, pace: &Pace, keys: usize) -> (Row, Group) {
        let rounds = in_turn(pace.rounds, self.contenders(pace, Measure::Throughput(keys)));
        let work = format!("{}, {}", self.name, told(keys));
        let ours = a_second(rounds.median(0));
        let peer = self.node.map(|_| rounds.median(1));
        let group = Group { name: work.clone(), bars: vec![Some(rounds.median(0)), peer] };
        let row = match peer {
            Some(peer) => Row {
                work,
                ours,
                beside: format!("rate-limiter-flexible {}", a_second(peer)),
                ratios: vec![rounds.ratio(0, 1)],
                target: (self.name == "PostgreSQL").then_some(Target::AtLeast(5.0)),
            },
            None if self.name == "SQLite" => Row::alone(work, ours),
            None => Row::without_node(work, ours),
        };
        (row, group)
    }

    fn contenders<'b>(&'b self, pace: &Pace, measure: Measure) -> Vec<Contender<'b>> {
        let ours = self.ours.contender(self.runtime, pace, measure);
        let peer = self.node.map(|node| flexible(node, self.url, pace, measure));
        [ours].into_iter().chain(peer).collect()
    }

    fn work_alone(&self) -> String {
        format!("{}, one in flight, until the answer", self.name)
    }

    fn wait(&self, pace: &Pace) -> Row {
        let rounds = in_turn(pace.rounds, self.contenders(pace, Measure::Alone));
        let mut row = Row::alone(self.work_alone(), microseconds(rounds.median(0)));
        if self.node.is_some() {
            row.beside = format!("rate-limiter-flexible {}", microseconds(rounds.median(1)));
            row.ratios = vec![rounds.ratio(0, 1)];
        }
        row
    }

    /// One check after the other, beside the least that a limiter can do.
    fn wait_beside(&self, pace: &Pace, upsert: &'a Upsert) -> Row {
        let mut contenders = self.contenders(pace, Measure::Alone);
        contenders.insert(1, upsert.contender(self.runtime, pace));
        let rounds = in_turn(pace.rounds, contenders);
        let wait = |n| microseconds(rounds.median(n));
        let peer = self.node.map(|_| format!(", rate-limiter-flexible {}", wait(2)));
        Row {
            work: self.work_alone(),
            ours: wait(0),
            beside: format!("a plain upsert {}{}", wait(1), peer.unwrap_or_default()),
            ratios: vec![rounds.ratio(0, 1)],
            target: Some(Target::AtMost(1.3)),
        }
    }
}

/// A counter in a row of a table that is not logged, as our counters are not.
struct Upsert(Mutex<PgConnection>);

impl Upsert {
    async fn connect() -> Self {
        let mut link = PgConnection::connect(postgres_url()).await.expect("it was started");
        let table = "CREATE UNLOGGED TABLE IF NOT EXISTS upserted \
                     (key text PRIMARY KEY, hits bigint NOT NULL)";
        sqlx::query(table).execute(&mut link).await.expect("the table can be made");
        Self(Mutex::new(link))
    }

    fn contender<'a>(&'a self, runtime: &'a Runtime, pace: &Pace) -> Contender<'a> {
        let time = pace.time;
        let ask = async |key: usize| {
            let upsert = "INSERT INTO upserted VALUES ($1, 1) ON CONFLICT (key) \
                          DO UPDATE SET hits = upserted.hits + 1 RETURNING hits";
            let upsert = sqlx::query_scalar(upsert).bind(format!("user={key}"));
            let hits: i64 = upsert.fetch_one(&mut *self.0.lock().await).await.expect("it answers");
            assert!(hits > 0);
        };
        Box::new(move || runtime.block_on(alone(time, ask)))
    }
}
