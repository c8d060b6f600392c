//! Levels as words.
//!
//! ```text
//! gcra            arrival, in the quota's grain     where it fits, which is nearly always
//!                 | tat+ fraction
//! fixed_window    start used
//!                 | start+ used cell units units units      with what was inherited
//! sliding_window  start current previous
//! ```
//! What is marked `+` has the highest bit set, by which the longer form is known.

use super::{
    kinds::{AllKinds, Kind},
    set::{Name, Place, Set, Words},
};
use crate::{
    algorithm::{Inherited, Level, State},
    quota::Algorithm,
    time::Timestamp,
};

const LONG: u64 = 1 << 63;

/// What a record amounts to at `now`, to a quota of that kind. It may have been
/// written by a quota of other numbers.
pub(super) fn read(
    set: &Set,
    place: Place,
    kind: &Kind,
    kinds: &AllKinds<'_>,
    now: Timestamp,
    origin: Timestamp,
) -> Level {
    let (name, first) = set.first(place);
    match name.id().and_then(|id| kinds.get(id)) {
        Some(writer) if writer.quota != kind.quota => {
            let state = state(set, name, first, writer, now, origin);
            Level::at(kind.quota, state, now).inheriting(inherited(set, name, first, kind))
        }
        _ => level(set, name, first, kind, now, origin),
    }
}

/// The same of a record that was written by a quota of that kind.
#[inline]
pub(super) fn level(
    set: &Set,
    name: Name,
    first: u64,
    kind: &Kind,
    now: Timestamp,
    origin: Timestamp,
) -> Level {
    let quota = &kind.quota;
    if quota.algorithm() == Algorithm::Gcra && first & LONG == 0 {
        return kind.grain.unpack(first, quota, now, origin);
    }
    let level = Level::at(*quota, state(set, name, first, kind, now, origin), now);
    level.inheriting(inherited(set, name, first, kind))
}

fn state(
    set: &Set,
    name: Name,
    first: u64,
    Kind { quota, grain, .. }: &Kind,
    now: Timestamp,
    origin: Timestamp,
) -> Option<State> {
    let part = |at: usize| set.part(name, at);
    match quota.algorithm() {
        Algorithm::Gcra if first & LONG == 0 => grain.state(first, quota, now, origin),
        Algorithm::Gcra => {
            let (limit, burst) = (quota.limit(), quota.burst());
            Some(State::Gcra { tat: first & !LONG, fraction: part(1), limit, burst })
        }
        Algorithm::FixedWindow => Some(State::FixedWindow { start: first & !LONG, used: part(1) }),
        Algorithm::SlidingWindow => {
            Some(State::SlidingWindow { start: first, current: part(1), previous: part(2) })
        }
    }
}

fn inherited(set: &Set, name: Name, first: u64, kind: &Kind) -> Option<Inherited> {
    let is_long = kind.quota.algorithm() == Algorithm::FixedWindow && first & LONG != 0;
    let part = |at: usize| set.part(name, at);
    is_long.then(|| Inherited { cell: part(2), units: [part(3), part(4), part(5)] })
}

/// The words of a level; none if nothing is used.
pub(super) fn words(level: &Level, kind: &Kind, origin: Timestamp) -> Words {
    if let Some(arrival) = kind.grain.pack(level, origin) {
        return Words::from_iter([arrival]);
    }
    match (level.state(), level.inherited()) {
        (None, None) => Words::new(),
        (Some(State::Gcra { tat, fraction, .. }), _) => Words::from_iter([tat | LONG, fraction]),
        (Some(State::SlidingWindow { start, current, previous }), _) => {
            Words::from_iter([start, current, previous])
        }
        (Some(State::FixedWindow { start, used }), None) => Words::from_iter([start, used]),
        (own, Some(Inherited { cell, units: [now, next, last] })) => {
            let (start, used) = match own {
                Some(State::FixedWindow { start, used }) => (start, used),
                _ => (0, 0),
            };
            Words::from_iter([start | LONG, used, cell, now, next, last])
        }
    }
}

/// Writes a level that uses something, at the place where it is kept by now.
/// Returns whether it is new.
#[inline]
pub(super) fn write(
    set: &mut Set,
    place: Option<Place>,
    name: Name,
    level: &Level,
    kind: &Kind,
    origin: Timestamp,
) -> bool {
    let arrival = kind.grain.pack(level, origin);
    let short = place.filter(|place| set.first(*place).1 & LONG == 0);
    match (short, arrival) {
        (Some(place), Some(arrival)) => {
            set.rewrite(place, name, arrival);
            false
        }
        _ => set.put(name, &words(level, kind, origin)),
    }
}
