//! The encoding of state as text, in the SQL databases.
//!
//! ```text
//! counter = state *( ";" state )          one a quota, in the policy's order; strikes: one
//! state   = "-"                           nothing used
//!         | "g" tat "," fraction "," limit "," burst
//!         | "f" start "," used
//!         | "s" start "," current "," previous
//! ```
//! All numbers are decimal. Text of another form reads as nothing used: a store that
//! was written to by something else starts anew, and does not fail.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::algorithm::State;

/// Returns the states of a counter, one a quota.
pub(in crate::store) fn read_states(text: &str) -> SmallVec<[Option<State>; 2]> {
    text.split(';').map(read_state).collect()
}

fn read_state(text: &str) -> Option<State> {
    let (kind, numbers) = text.split_at_checked(1)?;
    let mut numbers = numbers.split(',').map(str::parse);
    let mut next = || numbers.next()?.ok();
    match kind {
        "g" => {
            Some(State::Gcra { tat: next()?, fraction: next()?, limit: next()?, burst: next()? })
        }
        "f" => Some(State::FixedWindow { start: next()?, used: next()? }),
        "s" => Some(State::SlidingWindow { start: next()?, current: next()?, previous: next()? }),
        _ => None,
    }
}

/// Returns the text of a counter's states.
pub(in crate::store) fn write_states(states: impl IntoIterator<Item = Option<State>>) -> String {
    let mut text = String::new();
    for state in states {
        if !text.is_empty() {
            text.push(';');
        }
        write_state(&mut text, state);
    }
    text
}

fn write_state(text: &mut String, state: Option<State>) {
    // Writing to a String cannot fail.
    let _ = match state {
        None => write!(text, "-"),
        Some(State::Gcra { tat, fraction, limit, burst }) => {
            write!(text, "g{tat},{fraction},{limit},{burst}")
        }
        Some(State::FixedWindow { start, used }) => write!(text, "f{start},{used}"),
        Some(State::SlidingWindow { start, current, previous }) => {
            write!(text, "s{start},{current},{previous}")
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let kept = [
            Some(State::Gcra { tat: u64::MAX, fraction: 1, limit: 2, burst: 3 }),
            None,
            Some(State::FixedWindow { start: 4, used: 5 }),
            Some(State::SlidingWindow { start: 6, current: 7, previous: 8 }),
        ];
        let text = write_states(kept);
        assert_eq!(text, "g18446744073709551615,1,2,3;-;f4,5;s6,7,8");
        assert_eq!(read_states(&text)[..], kept);
    }

    #[test]
    fn what_cannot_be_read_counts_as_nothing() {
        for text in ["", "x", "g1,2,3", "f1,-2", "s1,2,", "é"] {
            assert_eq!(read_state(text), None, "{text:?}");
        }
    }
}
