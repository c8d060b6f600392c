//! The encoding of state as text, in the SQL databases.
//!
//! ```text
//! counter = state *( ";" state )          one a quota, in the policy's order; strikes: one
//! state   = "-"                           nothing used
//!         | letter number *( "," number ) the numbers of a State, behind the letter of
//!                                         its algorithm: g, f, s or t
//! ```
//! All numbers are decimal. Text of another form reads as nothing used: a store that
//! was written to by something else starts anew, and does not fail.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::{algorithm::State, quota::Algorithm};

/// Returns the states of a counter, one a quota.
pub(in crate::store) fn read_states(text: &str) -> SmallVec<[Option<State>; 2]> {
    text.split(';').map(read_state).collect()
}

fn read_state(text: &str) -> Option<State> {
    let (letter, numbers) = text.split_at_checked(1)?;
    let algorithm = Algorithm::ALL.iter().find(|algorithm| State::letter(**algorithm) == letter)?;
    let numbers: Result<SmallVec<[u64; 4]>, _> = numbers.split(',').map(str::parse).collect();
    State::of_numbers(*algorithm, &numbers.ok()?)
}

/// Returns the text of a counter's states.
pub(in crate::store) fn write_states(states: &[Option<State>]) -> String {
    let mut text = String::new();
    for state in states {
        if !text.is_empty() {
            text.push(';');
        }
        write_state(&mut text, state.as_ref());
    }
    text
}

fn write_state(text: &mut String, state: Option<&State>) {
    let Some(state) = state else { return text.push('-') };
    text.push_str(State::letter(state.algorithm()));
    for (at, number) in state.numbers().iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{number}");
    }
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
            Some(State::StrictWindow { start: 9, used: [10, 0, 11].into() }),
        ];
        let text = write_states(&kept);
        assert_eq!(text, "g18446744073709551615,1,2,3;-;f4,5;s6,7,8;t9,10,0,11");
        assert_eq!(read_states(&text)[..], kept);
    }

    #[test]
    fn what_cannot_be_read_counts_as_nothing() {
        for text in ["", "x", "g1,2,3", "f1,-2", "s1,2,", "t", "t0,0", "é"] {
            assert_eq!(read_state(text), None, "{text:?}");
        }
    }
}
