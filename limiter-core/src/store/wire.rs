//! State as text, for stores that keep it elsewhere.
//!
//! ```text
//! counter = state *( ";" state )          one a quota, in the policy's order
//! state   = "-"                           nothing used
//!         | "g" tat "," fraction "," limit "," burst
//!         | "f" start "," used
//!         | "s" start "," current "," previous
//! ban     = until "," duration
//! ```
//! All numbers are decimal. What cannot be read counts as nothing: a store that
//! was written to by something else starts anew, and does not fail.

use crate::{algorithm::State, ban::Ban, time::Timestamp};

/// A counter, as it was written.
pub(super) fn states(text: &str) -> impl Iterator<Item = Option<State>> + '_ {
    text.split(';').map(state)
}

pub(super) fn state(text: &str) -> Option<State> {
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

pub(super) fn ban(text: &str) -> Option<Ban> {
    let (until, duration) = text.split_once(',')?;
    let until = Timestamp::from_micros(until.parse().ok()?);
    Some(Ban { until, duration: duration.parse().ok()? })
}
