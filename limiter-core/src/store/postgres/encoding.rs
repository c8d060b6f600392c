//! State as PostgreSQL keeps it: numbers in an array.

use smallvec::{SmallVec, smallvec};

use crate::{
    algorithm::State,
    ban::Ban,
    quota::{Algorithm, Quota},
    store::remote::backend::{NamedItem, Reply, StoreRequest, StoredState},
    time::Timestamp,
};

/// The four numbers that are kept of a quota.
pub(in crate::store) fn numbers(state: Option<State>) -> [u64; 4] {
    match state {
        None => [0; 4],
        Some(State::Gcra { tat, fraction, limit, burst }) => [tat, fraction, limit, burst],
        Some(State::FixedWindow { start, used }) => [start, used, 0, 0],
        Some(State::SlidingWindow { start, current, previous }) => [start, current, previous, 0],
    }
}

/// Reads the numbers that a function has answered with.
pub(in crate::store) fn read(answer: &str, run: &StoreRequest) -> Option<Reply> {
    let numbers = answer.strip_prefix('{')?.strip_suffix('}')?;
    let mut numbers = numbers.split(',').map(|number| number.parse::<u64>().ok());
    let now = Timestamp::from_micros(numbers.next()??);
    let mut group = || -> Option<SmallVec<[u64; 4]>> {
        let count = numbers.next()??;
        (0..count).map(|_| numbers.next()?).collect()
    };
    let kept = run.items.iter().map(|item| {
        let (counter, strikes, ban) = (group()?, group()?, group()?);
        Some(StoredState {
            now,
            states: match counter[..] {
                [tat, fraction] => {
                    smallvec![before(item, run.operation.cost(), now, tat, fraction)]
                }
                _ => read_states(item.policy.quotas().iter().map(Quota::algorithm), &counter),
            },
            strikes: read_state(Algorithm::SlidingWindow, &strikes),
            ban: match ban[..] {
                [until, duration] => Some(Ban { until: Timestamp::from_micros(until), duration }),
                _ => None,
            },
        })
    });
    Some(Reply { now, kept: kept.collect::<Option<_>>()? })
}

/// What was kept by `gcra` before the lean function has charged it.
fn before(item: &NamedItem, cost: u64, now: Timestamp, tat: u64, fraction: u64) -> Option<State> {
    let quota = item.policy.quotas().iter().next()?;
    let (limit, now) = (u128::from(quota.limit()), now.as_micros());
    let debt = u128::from(tat.checked_sub(now)?) * limit + u128::from(fraction);
    let debt = debt.checked_sub(u128::from(cost) * u128::from(quota.window_micros()))?;
    Some(State::Gcra {
        tat: now + (debt / limit) as u64,
        fraction: (debt % limit) as u64,
        limit: quota.limit(),
        burst: quota.burst(),
    })
}

/// Reads the numbers of a counter, four a quota.
pub(in crate::store) fn read_states(
    algorithms: impl Iterator<Item = Algorithm>,
    numbers: &[u64],
) -> SmallVec<[Option<State>; 2]> {
    let states = algorithms.zip(numbers.chunks(4));
    states.map(|(algorithm, numbers)| read_state(algorithm, numbers)).collect()
}

fn read_state(algorithm: Algorithm, numbers: &[u64]) -> Option<State> {
    match (algorithm, numbers) {
        (Algorithm::Gcra, &[tat, fraction, limit, burst]) => {
            Some(State::Gcra { tat, fraction, limit, burst })
        }
        (Algorithm::FixedWindow, &[start, used, ..]) => Some(State::FixedWindow { start, used }),
        (Algorithm::SlidingWindow, &[start, current, previous, ..]) => {
            Some(State::SlidingWindow { start, current, previous })
        }
        _ => None,
    }
}
