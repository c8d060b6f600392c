//! In memory, beside `governor` and `limitador`.

mod footprint;
mod limitador;

use std::net::IpAddr;

use limiter_core::{Algorithm, PolicySet, Quota};

pub(crate) use self::footprint::grow;
use self::limitador::Limitador;
use crate::{
    chart::{Chart, Group, Kind},
    options::Pace,
    report::{Row, Section, Target, keys as told, nanoseconds},
    rounds::{Contender, Rounds, in_turn},
    work::{Governor, LIMIT, address, decide_address, in_order, order, policy, rule, time},
};

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
    rows.extend(algorithms(pace));
    rows.extend(footprint::rows(pace.most_keys.min(1_000_000)));
    let note = "A check by a policy of one GCRA quota, without and with a ban rule that is not in \
                force, the key built from the address and the whole decision returned; time of each \
                thread. The ratio is to `governor` (its keyed `check_key`, which tells yes or no \
                and keeps every key for good). `limitador` has its context made in each check, as \
                its callers have to.";
    vec![Section { title: "In memory", note: note.to_owned(), rows, charts: vec![chart] }]
}

const GOVERNOR: usize = 0;
const OURS: usize = 1;
const BANNING: usize = 2;
const LIMITADOR: usize = 3;

struct Measured {
    keys: usize,
    work: String,
    rounds: Rounds,
}

/// Stores with the same keys in them.
struct Field {
    addresses: Vec<IpAddr>,
    governor: Governor,
    plain: PolicySet,
    banning: PolicySet,
    limitador: Limitador,
}

impl Field {
    fn new(keys: usize) -> Self {
        let addresses: Vec<IpAddr> = (0..keys).map(address).collect();
        let (plain, banning) =
            (ours(keys, Algorithm::Gcra, false), ours(keys, Algorithm::Gcra, true));
        let (governor, limitador) = (Governor::new(), Limitador::new());
        let field = Self { addresses, governor, plain, banning, limitador };
        for address in &field.addresses {
            field.governor.check(address);
            admit(&field.plain, address);
            admit(&field.banning, address);
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
            Measured { keys, work, rounds: self.rounds(pace, &orders.collect::<Vec<_>>()) }
        });
        measured.into()
    }

    fn rounds(&self, pace: &Pace, orders: &[Vec<usize>]) -> Rounds {
        let addresses = in_order(orders, &self.addresses);
        let few: Vec<_> =
            addresses.iter().map(|order| order[..order.len() / FEWER].to_vec()).collect();
        let contenders: Vec<Contender<'_>> = vec![
            Box::new(|| ns(&addresses, |address| self.governor.check(address))),
            Box::new(|| ns(&addresses, |address| admit(&self.plain, address))),
            Box::new(|| ns(&addresses, |address| admit(&self.banning, address))),
            Box::new(|| ns(&few, |address| self.limitador.check(address))),
        ];
        in_turn(pace.rounds, contenders)
    }
}

/// Our policy, with room for twice the keys.
fn ours(keys: usize, algorithm: Algorithm, bans: bool) -> PolicySet {
    let quota = Quota::per_second(LIMIT.into()).and_then(|quota| quota.with_algorithm(algorithm));
    policy(2 * keys, quota.expect("the quota is one"), bans.then(rule))
}

/// A check that is admitted, the key built from the address.
fn admit(policies: &PolicySet, address: &IpAddr) {
    assert!(decide_address(policies, address).is_allowed());
}

/// Nanoseconds a check.
pub(crate) fn ns<K: Sync>(asked: &[Vec<K>], check: impl Fn(&K) + Sync) -> f64 {
    time(asked, check) as f64 / 1e3
}

fn row(Measured { keys, work, rounds }: &Measured) -> Row {
    let median = |contender| nanoseconds(rounds.median(contender));
    let most = if *keys == 1_000 { 0.7 } else { 0.62 };
    Row {
        work: work.clone(),
        ours: format!("{}, with a ban rule {}", median(OURS), median(BANNING)),
        beside: format!("governor {}, limitador {}", median(GOVERNOR), median(LIMITADOR)),
        ratios: vec![rounds.ratio(OURS, GOVERNOR), rounds.ratio(BANNING, GOVERNOR)],
        target: Some(Target::AtMost(most)),
    }
}

/// The other algorithms, beside `gcra`.
fn algorithms(pace: &Pace) -> Vec<Row> {
    let all = [
        Algorithm::Gcra,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::StrictWindow,
    ];
    let rows = [1_000, 100_000].map(|keys| {
        let orders = [order(pace.checks, keys, false, 0)];
        let policies = all.map(|algorithm| ours(keys, algorithm, false));
        let addresses: Vec<_> = (0..keys).map(address).collect();
        let addresses = &in_order(&orders, &addresses);
        let contenders = policies.iter().map(|policy| -> Contender<'_> {
            Box::new(move || ns(addresses, |address| admit(policy, address)))
        });
        let rounds = in_turn(pace.rounds, contenders.collect());
        [1, 2, 3].map(|n| Row {
            work: format!("`{}`, {}", all[n].as_str(), told(keys)),
            ours: nanoseconds(rounds.median(n)),
            beside: format!("`gcra` {}", nanoseconds(rounds.median(0))),
            ratios: vec![rounds.ratio(n, 0)],
            // A strict window takes the general path, and has no target.
            target: (n < 3).then_some(Target::AtMost(1.5)),
        })
    });
    rows.into_iter().flatten().collect()
}
