//! The encoding of counters as text, in the SQL databases.
//!
//! ```text
//! counter = state *( ";" state )         the states of the quotas, each under its id
//! state   = id ":" number *( "," number ) [ "@" until ]
//! id      = the number of a QuotaId       it says the algorithm
//! number  = the numbers of a State
//! until   = when it has expired           where the row outlives it
//! ```
//! All numbers are decimal. A state that cannot be read counts as nothing: a store that
//! was written to by something else starts anew, and does not fail.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::{
    algorithm::State,
    policy::QuotaId,
    store::remote::counter_states::{CounterStates, QuotaState},
};

/// Returns the states of a counter. Behind the last one comes `!` and when the row
/// expires.
pub(in crate::store) fn read_states(text: &str) -> CounterStates {
    let mut states = CounterStates::default();
    let (text, until) = text.rsplit_once('!').unwrap_or((text, ""));
    let until = until.parse().unwrap_or(0);
    text.split(';').filter_map(|text| read_state(text, until)).for_each(|state| states.push(state));
    states
}

fn read_state(text: &str, expires_at: u64) -> Option<QuotaState> {
    let (id, text) = text.split_once(':')?;
    let id = QuotaId::from_number(id.parse().ok()?)?;
    let (text, until) = text.split_once('@').unwrap_or((text, ""));
    let until = if until.is_empty() { expires_at } else { until.parse().ok()? };
    let numbers: Result<SmallVec<[u64; 4]>, _> = text.split(',').map(str::parse).collect();
    let state = State::of_numbers(id.algorithm(), &numbers.ok()?)?;
    Some(QuotaState { id, state, until })
}

/// Returns the text of a counter's states, in a row that expires then.
pub(in crate::store) fn write_states(states: &CounterStates, expires_at: u64) -> String {
    let mut text = String::new();
    for QuotaState { id, state, until } in states.iter() {
        let semicolon = if text.is_empty() { "" } else { ";" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{semicolon}{}", id.number());
        for (at, number) in state.numbers().iter().enumerate() {
            let _ = write!(text, "{}{number}", if at > 0 { ',' } else { ':' });
        }
        if *until != expires_at {
            let _ = write!(text, "@{until}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn what_is_written_is_read() {
        let quotas = "1/second; 2/minute; 3/hour; 4/day";
        let ids = Policy::new("api", quotas).unwrap().quota_ids().to_vec();
        let kept = [
            State::Gcra { tat: u64::MAX, fraction: 1, limit: 2, burst: 3 },
            State::Gcra { tat: 5, fraction: 0, limit: 2, burst: 2 },
        ];
        let mut states = CounterStates::default();
        for ((state, id), until) in kept.into_iter().zip(ids).zip([20, 10]) {
            states.push(QuotaState { id, state, until });
        }
        let text = write_states(&states, 20);
        let [one, other] = [0, 1].map(|at| states.iter().nth(at).unwrap().id.number());
        assert_eq!(text, format!("{one}:2,3,18446744073709551615,1;{other}:2,2,5,0@10"));
        assert_eq!(read_states(&(text + "!20")), states);
    }

    #[test]
    fn every_algorithm_is_read() {
        for (id, text, state) in [
            (0x9000_0102_u32, "4,5", State::FixedWindow { start: 4, used: 5 }),
            (0xa000_0103, "6,7,8", State::SlidingWindow { start: 6, current: 7, previous: 8 }),
            (0xb000_0104, "9,10,0,11", State::StrictWindow { start: 9, used: [10, 0, 11].into() }),
        ] {
            let states = read_states(&format!("{id}:{text}!3"));
            assert_eq!(states.get(QuotaId::from_number(id).unwrap()), Some(state));
            assert_eq!(states.until(), 3);
        }
    }

    #[test]
    fn what_cannot_be_read_counts_as_nothing() {
        for text in [
            "",
            "x",
            "1:1,2",
            "2147483652",
            "2147483652:",
            "2147483652:1,2,3",
            "2415919106:1,-2",
            "2415919106:1,2@x",
            "2684354563:1,2,",
            "2952790016:0,0",
            "é",
        ] {
            assert!(read_states(text).is_empty(), "{text:?}");
        }
    }
}
