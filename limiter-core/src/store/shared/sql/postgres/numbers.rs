//! State as PostgreSQL keeps it: numbers in an array.

use crate::{
    algorithm::State,
    ban::Ban,
    quota::Algorithm,
    store::shared::backend::{Before, Kept, Named},
    time::Timestamp,
};

/// The four numbers that are kept of a quota.
pub(super) fn numbers(state: Option<State>) -> [u64; 4] {
    match state {
        None => [0; 4],
        Some(State::Gcra { tat, fraction, limit, burst }) => [tat, fraction, limit, burst],
        Some(State::FixedWindow { start, used }) => [start, used, 0, 0],
        Some(State::SlidingWindow { start, current, previous }) => [start, current, previous, 0],
    }
}

/// Reads the numbers that the function has answered with.
pub(super) fn read(answer: &str, items: &[Named]) -> Option<Before> {
    let numbers = answer.strip_prefix('{')?.strip_suffix('}')?;
    let mut numbers = numbers.split(',').map(|number| number.parse::<u64>().ok());
    let now = Timestamp::from_micros(numbers.next()??);
    let mut group = || -> Option<Vec<u64>> {
        let count = numbers.next()??;
        (0..count).map(|_| numbers.next()?).collect()
    };
    let kept = items.iter().map(|item| {
        let (counter, strikes, ban) = (group()?, group()?, group()?);
        let quotas = item.policy.quotas().iter();
        let states = quotas.zip(counter.chunks_exact(4));
        Some(Kept {
            now,
            states: states.map(|(quota, state)| read_state(quota.algorithm(), state)).collect(),
            strikes: read_state(Algorithm::SlidingWindow, &strikes),
            ban: match ban[..] {
                [until, duration] => Some(Ban { until: Timestamp::from_micros(until), duration }),
                _ => None,
            },
        })
    });
    Some(Before { now, kept: kept.collect::<Option<_>>()? })
}

pub(super) fn read_state(algorithm: Algorithm, numbers: &[u64]) -> Option<State> {
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
