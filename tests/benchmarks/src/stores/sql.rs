//! On PostgreSQL, MariaDB and SQLite.

mod upsert;

use tokio::runtime::Runtime;

use self::upsert::{Dialect, MARIADB, POSTGRES, SQLITE, UpsertAlone, Upserts};
use super::{KEYS, Measure, Ours, flexible};
use crate::{
    chart::{Chart, Group, Kind},
    load::{ALL_NEW, Load, alone_in_turn, of_one_thread, runtime},
    machine::version,
    node::Flexible,
    options::Pace,
    report::{Row, Section, Target, a_second, microseconds},
    rounds::{Contender, Rounds, in_turn, side_by_side},
    suite::servers::{kept_folder, mysql_url, postgres_url},
};

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let runtimes = Runtimes { workers: [runtime(None), runtime(Some(1))], thread: of_one_thread() };
    let node = Flexible::start();
    let file = format!("sqlite://{}", kept_folder("compare").join("limits").display());
    let databases = [
        Database::new("PostgreSQL", postgres_url(), POSTGRES, &runtimes, node.as_ref()),
        Database::new("MariaDB", mysql_url(), MARIADB, &runtimes, node.as_ref()),
        Database::new("SQLite", &file, SQLITE, &runtimes, None),
    ];
    let throughputs = databases
        .iter()
        .flat_map(|database| LOADS.map(|(what, load)| database.throughput(pace, what, load)));
    let (mut rows, groups): (Vec<_>, Vec<_>) = throughputs.unzip();
    let upsert = runtimes.thread.block_on(UpsertAlone::connect(postgres_url()));
    let [postgres, others @ ..] = &databases;
    rows.push(postgres.wait_beside(pace, &upsert));
    rows.extend([postgres].into_iter().chain(others).map(|database| database.wait(pace)));
    let series = ["ours", "rate-limiter-flexible"].map(str::to_owned).to_vec();
    let chart = Chart {
        name: "sql",
        title: "Checks a second on SQL databases, 64 in flight".to_owned(),
        kind: Kind::Bars { series, groups },
    };
    let note = format!(
        "PostgreSQL {} and MariaDB {}, which do not wait for the disk; 64 checks in flight over 4 \
         connections of ours and 10 of the other, which is what each opens by itself; ours by GCRA \
         with a ban rule, the whole decision returned, in tables that are not logged; the other by \
         its fixed window without bans, in its own tables. Ours on the better of a runtime with one \
         worker and one with two, and with one in flight on one thread, as a worker of actix-web. \
         The floor is a prepared upsert of one row for each check, over as many connections as ours \
         (SQLite one); with one in flight over one, interleaved call by call.",
        version("postgres"),
        version("mariadbd")
    );
    vec![Section { title: "On SQL databases", note, rows, limits: LIMITS, charts: vec![chart] }]
}

const LIMITS: &str = "\
on PostgreSQL the processors: of two, it keeps one busy and ours 0.7. SQLite has one writer at a time, and a batch waits \
for the one before: 64 checks take it 0.5 ms, of which a fifth writes 60 pages into the journal, a quarter copies that \
into the file now and then, and most of the rest finds the rows. One in flight: SQLite by way of the store's own thread \
and back, two changes of threads of about 20 µs each; on PostgreSQL the statement, which looks for a ban and compares \
the quota: sent by hand it takes 1.13 of the floor over the floor's connection, and 1.4 to 1.7 in turn with the floor \
over one of its own, as ours has; what this process does beside it \
adds a tenth to that.";

const LOADS: [(&str, Load); 4] = [
    ("10 k keys", Load::of(KEYS)),
    ("one key", Load::of(1)),
    ("10 k keys, 8 in flight", Load { keys: KEYS, in_flight: 8 }),
    ("each key new", Load::of(ALL_NEW)),
];

/// The least that ours has to make of the peer's checks: of PostgreSQL in the order of
/// [`LOADS`], and of MariaDB with many keys. SQLite has no peer.
const LEAST: [f64; 4] = [6.5, 13.0, 2.0, 3.0];
const LEAST_OF_MARIADB: f64 = 8.0;
const LEAST_OF_SQLITE: f64 = 100_000.0;

struct Database<'a> {
    name: &'static str,
    url: &'a str,
    /// Over connections of their own, of which runtimes share a half.
    ours: [Ours; 3],
    floor: Upserts,
    runtimes: &'a Runtimes,
    node: Option<&'a Flexible>,
}

/// With a worker for each core and with one; and of one thread, as a worker of actix-web.
struct Runtimes {
    workers: [Runtime; 2],
    thread: Runtime,
}

impl<'a> Database<'a> {
    fn new(
        name: &'static str,
        url: &'a str,
        dialect: Dialect,
        runtimes: &'a Runtimes,
        node: Option<&'a Flexible>,
    ) -> Self {
        let ours = [(); 3].map(|()| runtimes.thread.block_on(Ours::connect(url)));
        let [runtime, _] = &runtimes.workers;
        let floor = runtime.block_on(Upserts::connect(url, dialect));
        Self { name, url, ours, floor, runtimes, node }
    }

    fn throughput(&self, pace: &Pace, what: &str, load: Load) -> (Row, Group) {
        let measure = Measure::Throughput(load);
        let ours = self.ours.iter().zip(&self.runtimes.workers);
        let mut contenders: Vec<Contender<'_>> =
            ours.map(|(ours, runtime)| ours.contender(runtime, pace, measure)).collect();
        contenders.push(self.floor.contender(&self.runtimes.workers[0], pace, load));
        contenders.extend(self.node.map(|node| flexible(node, self.url, pace, measure)));
        let rounds = in_turn(pace.rounds, contenders);
        let best = rounds.highest([0, 1]);
        let peer = self.node.map(|_| rounds.median(3));
        let work = format!("{}, {what}", self.name);
        let group = Group { name: work.clone(), bars: vec![Some(rounds.median(best)), peer] };
        (self.row(work, what, &rounds, best), group)
    }

    fn row(&self, work: String, what: &str, rounds: &Rounds, best: usize) -> Row {
        let ours = rounds.median(best);
        let floor = format!("the floor {}", a_second(rounds.median(2)));
        let (beside, ratio, target) = match (self.node, self.name) {
            (Some(_), _) => {
                let peer = format!("rate-limiter-flexible {}", a_second(rounds.median(3)));
                (format!("{peer}, {floor}"), rounds.ratio(best, 3), self.least(what))
            }
            (None, "SQLite") if what == LOADS[0].0 => {
                let least = format!("at least {}", a_second(LEAST_OF_SQLITE));
                (format!("{least}, {floor}"), (ours / LEAST_OF_SQLITE).into(), Some(1.0))
            }
            (None, "SQLite") => (floor, rounds.ratio(best, 2), None),
            (None, _) => return Row::without_node(work, a_second(ours)),
        };
        let (ours, target) = (a_second(ours), target.map(Target::AtLeast));
        Row { work, ours, beside, ratios: vec![ratio], target }
    }

    fn least(&self, what: &str) -> Option<f64> {
        let place = LOADS.iter().position(|(own, _)| *own == what)?;
        match self.name {
            "PostgreSQL" => Some(LEAST[place]),
            "MariaDB" if place == 0 => Some(LEAST_OF_MARIADB),
            _ => None,
        }
    }

    fn work_alone(&self) -> String {
        format!("{}, one in flight, until the answer", self.name)
    }

    fn wait(&self, pace: &Pace) -> Row {
        let [.., ours] = &self.ours;
        let mut contenders = vec![ours.contender(&self.runtimes.thread, pace, Measure::Alone)];
        contenders.extend(self.node.map(|node| flexible(node, self.url, pace, Measure::Alone)));
        let rounds = in_turn(pace.rounds, contenders);
        let mut row = Row::alone(self.work_alone(), microseconds(rounds.median(0)));
        if self.node.is_some() {
            row.beside = format!("rate-limiter-flexible {}", microseconds(rounds.median(1)));
            row.ratios = vec![rounds.ratio(0, 1)];
        }
        row
    }

    /// One check after the other, beside the least that a limiter can do.
    fn wait_beside(&self, pace: &Pace, upsert: &UpsertAlone) -> Row {
        let [.., ours] = &self.ours;
        let rounds = side_by_side(pace.rounds, || {
            let (ours, upsert) = (|key| ours.ask(key), |key| upsert.ask(key));
            self.runtimes.thread.block_on(alone_in_turn(pace.time, ours, upsert))
        });
        Row {
            work: self.work_alone(),
            ours: microseconds(rounds.median(0)),
            beside: format!("the floor {}", microseconds(rounds.median(1))),
            ratios: vec![rounds.ratio(0, 1)],
            target: Some(Target::AtMost(1.15)),
        }
    }
}
