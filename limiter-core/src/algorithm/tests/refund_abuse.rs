//! The worst case of a client that holds requests open and gets their units back at will,
//! by exhaustive search.

use std::collections::HashMap;

use super::*;

/// A bucket of `size` units that drains one a second, at one instant, as whole units.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Bucket {
    debt: u64,
    /// Requests that may still be given back: the rest of their charge, the
    /// arrival time behind it, and whether they were admitted within the window.
    held: Vec<(u64, bool)>,
}

const SECOND: u64 = 1_000_000;
const NOW: u64 = 1_000 * SECOND;

impl Bucket {
    fn usage(&self, quota: Quota) -> Usage {
        let (limit, burst) = (quota.limit(), quota.burst());
        let tat = NOW + self.debt * SECOND;
        let state = State::Gcra { tat, fraction: 0, limit, burst };
        Usage::at(quota, Some(state), Timestamp::from_micros(NOW))
    }

    fn with_debt_of(&self, usage: &Usage) -> Self {
        Self { debt: usage.reset_after() / SECOND, held: self.held.clone() }
    }

    /// The same a second later; requests that have drained have nothing to give back.
    fn later(&self) -> Self {
        let held = self.held.iter().filter(|(left, _)| *left > 1);
        let held = held.map(|(left, counted)| (left - 1, *counted)).collect();
        Self { debt: self.debt.saturating_sub(1), held }
    }

    /// All that one request or one refund makes of it, with the change of the number of
    /// requests that are kept.
    fn moves(&self, quota: Quota, is_in_window: bool) -> Vec<(Self, i64)> {
        let mut moves = Vec::new();
        let usage = self.usage(quota);
        if usage.wait(1) == Wait::None {
            let charged = usage.clone().charge(1);
            let kept = self.with_debt_of(&charged);
            if (self.held.len() as u64) < quota.burst() {
                let mut held = kept.clone();
                held.held.push(((charged.mark().at - NOW) / SECOND, is_in_window));
                held.held.sort_unstable();
                moves.push((held, i64::from(is_in_window)));
            }
            moves.push((kept, i64::from(is_in_window)));
        }
        for (at, (left, counted)) in self.held.iter().enumerate() {
            let mark = Mark::at(NOW + left * SECOND);
            let mut after = self.with_debt_of(&usage.clone().give_back(1, mark));
            after.held.remove(at);
            moves.push((after, -i64::from(*counted)));
        }
        moves
    }
}

/// The most requests that are kept in any window, over all that a client can do that
/// holds requests open and gets them back at will.
fn most_kept(size: u64) -> i64 {
    let quota = quota(&format!("{size}/{size}s"), Algorithm::Gcra);
    let mut states = HashMap::from([(Bucket { debt: 0, held: Vec::new() }, 0)]);
    for second in 0..3 * size {
        let is_in_window = second >= 2 * size;
        let mut open: Vec<_> = states.clone().into_iter().collect();
        while let Some((bucket, kept)) = open.pop() {
            for (next, more) in bucket.moves(quota, is_in_window) {
                let best = states.entry(next.clone()).or_insert(-1);
                if *best < kept + more {
                    *best = kept + more;
                    open.push((next, kept + more));
                }
            }
        }
        if second + 1 == 3 * size {
            break;
        }
        let mut later = HashMap::new();
        for (bucket, kept) in states {
            let best = later.entry(bucket.later()).or_insert(kept);
            *best = kept.max(*best);
        }
        states = later;
    }
    states.into_values().max().unwrap_or(0)
}

#[test]
fn a_client_that_gets_units_back_at_will_keeps_half_a_bucket_more() {
    assert_eq!([2, 3, 4].map(most_kept), [4, 7, 10]);
}
