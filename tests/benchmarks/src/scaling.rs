//! Cost of a check in memory by the number of keys, quotas, policies and bans.

use std::{slice::from_ref, time::Duration};

use futures_executor::block_on;
use limiter_core::{Key, Limiter, MemoryStore, Policy, PolicySet, Quota, Quotas, Subjects};

use crate::{
    chart::{Chart, Kind, Line},
    memory::{ns, read},
    options::Pace,
    report::{Row, Section, Target, keys as told, nanoseconds},
    rounds::{Contender, in_turn},
    work::{LIMIT, address, check, decide, order, policy, rule},
};

const MANY: [usize; 4] = [1, 2, 4, 8];
/// Where something else grows than the number of keys.
const KEYS: usize = 10_000;

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let (mut rows, keys) = by_keys(pace);
    let (quota_rows, quotas) = by_number(pace, "quotas in a policy", with_quotas);
    let (policy_rows, policies) = by_number(pace, "policies for a request", with_policies);
    rows.extend(quota_rows.into_iter().chain(policy_rows).chain(by_bans(pace)));
    rows.push(by_age(pace));
    let charts = vec![
        Chart {
            name: "scaling-keys",
            title: "A check in memory by the number of keys".to_owned(),
            kind: Kind::Lines { across: "keys", lines: keys },
        },
        Chart {
            name: "scaling-quotas",
            title: "A check in memory by the number of quotas and policies".to_owned(),
            kind: Kind::Lines { across: "quotas or policies", lines: vec![quotas, policies] },
        },
    ];
    let note = "In memory, uniform, one thread, in a store with room for 1 M or 2 M keys, or for twice \
                those that are asked for. Beside the number of keys: a read at a random \
                place of 32 bytes a key, each waiting for the one before. The rest has 10 k keys, \
                and beside it the first of its kind. A store that has aged has room for \
                20 times as many keys as are asked for, and has had 160 times as many.";
    vec![Section {
        title: "With more of everything",
        note: note.to_owned(),
        rows,
        limits: LIMITS,
        charts,
    }]
}

const LIMITS: &str = "\
two quotas take 790 instructions more than one, of which 150 are an allocation, and each further one 220, one of them a \
locked swap of 6 ns; two policies 920 more, and each further one 350, since it has a line of the table and counters of \
its own. A key that was banned by hand and never counted takes two and a half times the instructions of one that is \
admitted: its counter is looked for without a lock by its id, and by whatever id it may have had, then its ban, and the \
refusal is recorded.";

fn by_keys(pace: &Pace) -> (Vec<Row>, Vec<Line>) {
    let (mut rows, mut checks, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    let sizes = (3..=7).map(|power| 10_usize.pow(power));
    for keys in sizes.filter(|keys| *keys <= pace.most_keys) {
        let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
        let policy = policy((2 * keys).max(1_000_000), quota, None);
        (0..keys).for_each(|n| check(&policy, &subjects_of(&policy, n)));
        // Written to: what is all zeros would share one page.
        let table = vec![[0, 1, 1, 1]; keys];
        let (orders, asked) = asked(pace, &policy, keys);
        let contenders: Vec<Contender<'_>> = vec![
            Box::new(|| ns(from_ref(&asked), |subjects| check(&policy, subjects))),
            Box::new(|| read(&table, &orders[0])),
        ];
        let rounds = in_turn(pace.rounds, contenders);
        rows.push(Row {
            work: told(keys),
            ours: nanoseconds(rounds.median(0)),
            beside: format!("a random read {}", nanoseconds(rounds.median(1))),
            ratios: vec![rounds.ratio(0, 1)],
            target: None,
        });
        checks.push((keys as f64, rounds.median(0)));
        reads.push((keys as f64, rounds.median(1)));
    }
    (rows, [("a check", checks), ("a random read", reads)].map(line).into())
}

fn by_number(
    pace: &Pace,
    what: &'static str,
    policies: impl Fn(usize) -> PolicySet,
) -> (Vec<Row>, Line) {
    let sets = MANY.map(policies);
    let asked = sets.each_ref().map(|set| asked(pace, set, KEYS).1);
    let contenders = sets.iter().zip(&asked).map(|(set, asked)| -> Contender<'_> {
        Box::new(|| ns(from_ref(asked), |subjects| check(set, subjects)))
    });
    let rounds = in_turn(pace.rounds, contenders.collect());
    let rows = (1..MANY.len()).map(|n| Row {
        work: format!("{} {what}", MANY[n]),
        ours: nanoseconds(rounds.median(n)),
        beside: format!("one {}", nanoseconds(rounds.median(0))),
        ratios: vec![rounds.ratio(n, 0)],
        target: match MANY[n] {
            2 => Some(Target::AtMost(1.6)),
            8 => Some(Target::AtMost(4.0)),
            _ => None,
        },
    });
    let points = MANY.iter().enumerate().map(|(n, many)| (*many as f64, rounds.median(n)));
    (rows.collect(), line((what, points.collect())))
}

fn with_quotas(many: usize) -> PolicySet {
    let quotas: Vec<_> = (1..=many).map(|n| format!("{LIMIT}000/{n}s")).collect();
    let quotas: Quotas = quotas.join("; ").parse().expect("they are quotas");
    policy(2_000_000, quotas, None)
}

fn with_policies(many: usize) -> PolicySet {
    let names: Vec<_> = (0..many).map(|n| format!("bench{n}")).collect();
    let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
    let store = MemoryStore::builder().max_keys(2_000_000).build();
    let mut limiter = Limiter::builder().store(store);
    for name in &names {
        limiter = limiter.policy(Policy::new(name, quota).expect("the name is one"));
    }
    let limiter = block_on(limiter.build()).expect("the policies fit");
    limiter.policies(names.iter().map(String::as_str)).expect("they were just named")
}

/// With none, one in a hundred and half of the keys banned.
fn by_bans(pace: &Pace) -> Vec<Row> {
    let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
    let parts = [("none", usize::MAX), ("1 %", 100), ("50 %", 2)];
    let sets = parts.map(|(_, every)| {
        let set = policy(2_000_000, quota, Some(rule()));
        let hour = Duration::from_secs(3_600);
        for n in (0..KEYS).filter(|n| (n + 1).is_multiple_of(every)) {
            let key = Key::ip(address(n));
            block_on(set.limiter().ban("bench", &key, hour)).expect("memory does not fail");
        }
        set
    });
    let asked = sets.each_ref().map(|set| asked(pace, set, KEYS).1);
    let contenders = sets.iter().zip(&asked).map(|(set, asked)| -> Contender<'_> {
        Box::new(|| {
            ns(from_ref(asked), |subjects| {
                decide(set, subjects);
            })
        })
    });
    let rounds = in_turn(pace.rounds, contenders.collect());
    let rows = (1..parts.len()).map(|n| Row {
        work: format!("{} of the keys banned", parts[n].0),
        ours: nanoseconds(rounds.median(n)),
        beside: format!("none {}", nanoseconds(rounds.median(0))),
        ratios: vec![rounds.ratio(n, 0)],
        target: Some(Target::AtMost(1.3)),
    });
    rows.collect()
}

/// In a store that many other keys have come to and gone from.
fn by_age(pace: &Pace) -> Row {
    let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
    let most = 20 * KEYS;
    let sets = [0, 8 * most].map(|others| {
        let set = policy(most, quota, None);
        (KEYS..KEYS + others).for_each(|n| check(&set, &subjects_of(&set, n)));
        set
    });
    let asked = sets.each_ref().map(|set| asked(pace, set, KEYS).1);
    let contenders = sets.iter().zip(&asked).map(|(set, asked)| -> Contender<'_> {
        Box::new(|| ns(from_ref(asked), |subjects| check(set, subjects)))
    });
    let rounds = in_turn(pace.rounds, contenders.collect());
    Row {
        work: "a store that has aged".to_owned(),
        ours: nanoseconds(rounds.median(1)),
        beside: format!("a new one {}", nanoseconds(rounds.median(0))),
        ratios: vec![rounds.ratio(1, 0)],
        target: None,
    }
}

fn line((name, points): (&str, Vec<(f64, f64)>)) -> Line {
    Line { name: name.to_owned(), points }
}

fn subjects_of(policies: &PolicySet, n: usize) -> Subjects {
    policies.subjects_of(&Key::ip(address(n)))
}

/// Which keys are asked, and their subjects in that order, so that what is
/// measured is the store's memory and not theirs.
fn asked(pace: &Pace, policies: &PolicySet, keys: usize) -> ([Vec<usize>; 1], Vec<Subjects>) {
    let order = order(pace.checks, keys, false, 0);
    let asked = order.iter().map(|n| subjects_of(policies, *n)).collect();
    ([order], asked)
}
