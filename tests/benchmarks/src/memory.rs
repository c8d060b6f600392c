//! In memory, beside `governor` and `limitador`.

mod footprint;
mod limitador;
mod tower_governor;

use std::{hint::black_box, net::IpAddr, time::Instant};

use limiter_core::{PolicySet, Quota};

pub(crate) use self::footprint::grow;
use self::{limitador::Limitador, tower_governor::TowerGovernor};
use crate::{
    cases::{CASES, Contenders},
    chart::{Chart, Group, Kind},
    options::Pace,
    report::{Row, Section, Target, keys as told, nanoseconds},
    rounds::{Contender, Rounds, in_turn},
    work::{Governor, LIMIT, address, check_address, in_order, order, policy, rule, time},
};

const LIMITS: &str = "\
of a check among 1,000 keys there are 470 instructions, where governor's has 370: 100 make the key and its subject and \
drop the answer, 60 read the clock, 30 hash, 80 find the slot, 60 write the decision, and the rest compares, swaps and \
counts. The clock and the swap take 13 ns by themselves. With more keys, waiting for memory is most of it for both; with \
two threads, the line that the other has written, twice: to read it, and to own it. `check_all` hides the wait, and not \
the work. A refusal writes nothing and takes 190 instructions more: it is counted, one of eight is noted among the keys \
refused most, and how long it has to wait takes a division. A banned key has two slots, of which each is searched for. \
Several quotas take an allocation, and each of them a compare-and-swap of its own. A newcomer to a \
full store displaces another key under a lock, and what that had used is added to a sketch: 2,100 instructions.";

/// `limitador` is given one in so many of the others' checks: it
/// takes that much longer.
const FEWER: usize = 20;

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let sizes = [1_000, 100_000, 1_000_000].into_iter().filter(|keys| *keys <= pace.most_keys);
    let measured: Vec<_> = sizes.flat_map(|keys| Field::new(keys).measure(pace)).collect();
    let series = ["ours", "with a ban rule", "governor"].map(str::to_owned).to_vec();
    let groups = measured.iter().map(|Measured { work, rounds, .. }| {
        let bars = [OURS, BANNING, GOVERNOR].map(|n| Some(rounds.median(n)));
        Group { name: work.clone(), bars: bars.to_vec() }
    });
    let chart = Chart {
        name: "memory",
        title: "A check in memory, nanoseconds".to_owned(),
        kind: Kind::Bars { series, groups: groups.collect() },
    };
    let mut rows: Vec<_> = measured.iter().map(row).collect();
    rows.extend(hard_cases(pace));
    rows.extend(footprint::rows(pace.most_keys.min(1_000_000)));
    let note = "A check by a policy of one GCRA quota, without and with a ban rule that is not in \
                force, the key built from the address and the whole decision returned, in a store with \
                room for twice the keys, as its docs advise; time of each thread. The ratio is to `governor` (its keyed \
                `check_key`, which returns yes or no and keeps every key for good). `tower-governor` \
                is its engine, the same with `StateInformationMiddleware`, which returns what \
                remains. `limitador` has its context made in each check, as its callers have to. \
                The floor is a read at a random place of 32 bytes a key, each waiting for the one \
                before, by one thread.";
    vec![Section {
        title: "In memory",
        note: note.to_owned(),
        rows,
        limits: LIMITS,
        charts: vec![chart],
    }]
}

const GOVERNOR: usize = 0;
const OURS: usize = 1;
const BANNING: usize = 2;
const LIMITADOR: usize = 3;
const TOWER: usize = 4;
const FLOOR: usize = 5;

struct Measured {
    /// The most that ours may take of `governor`'s time.
    most: f64,
    work: String,
    rounds: Rounds,
}

/// Stores with the same keys in them.
struct Field {
    addresses: Vec<IpAddr>,
    governor: Governor,
    tower: TowerGovernor,
    plain: PolicySet,
    banning: PolicySet,
    limitador: Limitador,
}

impl Field {
    fn new(keys: usize) -> Self {
        let addresses: Vec<IpAddr> = (0..keys).map(address).collect();
        let (plain, banning) = (ours(keys, false), ours(keys, true));
        let (governor, tower, limitador) =
            (Governor::new(), TowerGovernor::new(), Limitador::new());
        let field = Self { addresses, governor, tower, plain, banning, limitador };
        for address in &field.addresses {
            field.governor.check(address);
            field.tower.check(address);
            check_address(&field.plain, address);
            check_address(&field.banning, address);
            field.limitador.check(address);
        }
        field
    }

    fn measure(&self, pace: &Pace) -> Vec<Measured> {
        let keys = self.addresses.len();
        let ways = [(false, 1), (false, 2), (true, 1), (true, 2)];
        let measured = ways.map(|(zipf, threads)| {
            let orders = (0..threads).map(|seed| order(pace.checks, keys, zipf, seed));
            let spread = if zipf { "Zipf" } else { "uniform" };
            let plural = if threads == 1 { "" } else { "s" };
            let work = format!("{}, {spread}, {threads} thread{plural}", told(keys));
            let most = match (keys, threads) {
                (1_000, 1) => 0.7,
                (1_000, _) => 0.5,
                (_, 1) => 0.62,
                _ => 0.48,
            };
            Measured { most, work, rounds: self.rounds(pace, &orders.collect::<Vec<_>>()) }
        });
        measured.into()
    }

    fn rounds(&self, pace: &Pace, orders: &[Vec<usize>]) -> Rounds {
        let addresses = in_order(orders, &self.addresses);
        let few: Vec<_> =
            addresses.iter().map(|order| order[..order.len() / FEWER].to_vec()).collect();
        // Written to: what is all zeros would share one page.
        let table = vec![[0, 1, 1, 1]; self.addresses.len()];
        let contenders: Vec<Contender<'_>> = vec![
            Box::new(|| ns(&addresses, |address| self.governor.check(address))),
            Box::new(|| ns(&addresses, |address| check_address(&self.plain, address))),
            Box::new(|| ns(&addresses, |address| check_address(&self.banning, address))),
            Box::new(|| ns(&few, |address| self.limitador.check(address))),
            Box::new(|| ns(&addresses, |address| self.tower.check(address))),
            Box::new(|| read(&table, &orders[0])),
        ];
        in_turn(pace.rounds, contenders)
    }
}

/// Our policy, with room for twice the keys, as the store's docs advise, and so much that no
/// bucket of the table is full.
fn ours(keys: usize, bans: bool) -> PolicySet {
    let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
    policy((2 * keys).max(8_000), quota, bans.then(rule))
}

/// Nanoseconds a check.
pub(crate) fn ns<K: Sync>(asked: &[Vec<K>], check: impl Fn(&K) + Sync) -> f64 {
    time(asked, check) as f64 / 1e3
}

fn row(Measured { most, work, rounds }: &Measured) -> Row {
    let median = |contender| nanoseconds(rounds.median(contender));
    Row {
        work: work.clone(),
        ours: format!("{}, with a ban rule {}", median(OURS), median(BANNING)),
        beside: format!(
            "governor {}, tower-governor {}, limitador {}, the floor {}",
            median(GOVERNOR),
            median(TOWER),
            median(LIMITADOR),
            median(FLOOR)
        ),
        ratios: vec![rounds.ratio(OURS, GOVERNOR), rounds.ratio(BANNING, GOVERNOR)],
        target: Some(Target::AtMost(*most)),
    }
}

/// Nanoseconds a read, where each place is known only after the read before it.
pub(crate) fn read(table: &[[usize; 4]], order: &[usize]) -> f64 {
    let mut before = 0;
    let start = Instant::now();
    for place in order {
        before = black_box(table[place + before][0]);
    }
    start.elapsed().as_nanos() as f64 / order.len() as f64
}

/// One hot key, newcomers, banned keys, several quotas, other algorithms.
fn hard_cases(pace: &Pace) -> Vec<Row> {
    let measured = CASES.iter().map(|case| {
        let Contenders { mut theirs, mut ours } = (case.begin)(pace.checks);
        let contenders: Vec<Contender<'_>> =
            vec![Box::new(|| theirs() as f64 / 1e3), Box::new(|| ours() as f64 / 1e3)];
        let rounds = in_turn(pace.rounds, contenders);
        Row {
            work: case.name.to_owned(),
            ours: nanoseconds(rounds.median(1)),
            beside: format!("{} {}", case.peer, nanoseconds(rounds.median(0))),
            ratios: vec![rounds.ratio(1, 0)],
            target: case.target.map(|most| Target::AtMost(f64::from(most) / 100.0)),
        }
    });
    measured.collect()
}
