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
    bucket::{Name, Place, Set, Words},
    counter_ids::AllKinds,
};
use crate::{
    algorithm::{Inherited, State, Usage},
    policy::Kind,
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
) -> Usage {
    match set.first(place).0.id().and_then(|id| kinds.get(id)) {
        Some(writer) if writer.quota != kind.quota => {
            let state = state(set, place, writer, now, origin);
            Usage::at(kind.quota, state, now).inheriting(inherited(set, place, kind))
        }
        _ => level(set, place, kind, now, origin),
    }
}

/// The same of a record that was written by a quota of that kind.
#[inline]
pub(super) fn level(
    set: &Set,
    place: Place,
    kind: &Kind,
    now: Timestamp,
    origin: Timestamp,
) -> Usage {
    let (quota, (_, first)) = (&kind.quota, set.first(place));
    if quota.algorithm() == Algorithm::Gcra && first & LONG == 0 {
        return kind.grain.unpack(first, quota, now, origin);
    }
    let level = Usage::at(*quota, state(set, place, kind, now, origin), now);
    match inherited(set, place, kind) {
        None => level,
        inherited => level.inheriting(inherited),
    }
}

fn state(
    set: &Set,
    place: Place,
    Kind { quota, grain, .. }: &Kind,
    now: Timestamp,
    origin: Timestamp,
) -> Option<State> {
    let (_, first) = set.first(place);
    let part = |at: usize| set.part(place, at);
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

#[inline]
fn inherited(set: &Set, place: Place, kind: &Kind) -> Option<Inherited> {
    let is_long =
        kind.quota.algorithm() == Algorithm::FixedWindow && set.first(place).1 & LONG != 0;
    let part = |at: usize| set.part(place, at);
    is_long.then(|| Inherited { cell: part(2), units: [part(3), part(4), part(5)] })
}

/// The words of a level; none if nothing is used.
pub(super) fn words(level: &Usage, kind: &Kind, origin: Timestamp) -> Words {
    if let Some(arrival) = kind.grain.pack(level, origin) {
        return Words::from([arrival]);
    }
    match (level.state(), level.inherited()) {
        (None, None) => Words::from([]),
        (Some(State::Gcra { tat, fraction, .. }), _) => Words::from([tat | LONG, fraction]),
        (Some(State::SlidingWindow { start, current, previous }), _) => {
            Words::from([start, current, previous])
        }
        (Some(State::FixedWindow { start, used }), None) => Words::from([start, used]),
        (own, Some(Inherited { cell, units: [now, next, last] })) => {
            let (start, used) = match own {
                Some(State::FixedWindow { start, used }) => (start, used),
                _ => (0, 0),
            };
            Words::from([start | LONG, used, cell, now, next, last])
        }
    }
}

/// Writes a level that uses something, at the place where it was found. Returns
/// whether it is new.
#[inline]
pub(super) fn write(
    set: &mut Set,
    place: Option<Place>,
    name: Name,
    level: &Usage,
    kind: &Kind,
    origin: Timestamp,
) -> bool {
    let same_form = |word: u64| {
        place.filter(|at| {
            let (known, first) = set.first(*at);
            known == name && (first ^ word) & LONG == 0
        })
    };
    if let Some(arrival) = kind.grain.pack(level, origin)
        && let Some(place) = same_form(arrival)
    {
        set.rewrite(place, name, &[arrival]);
        return false;
    }
    let words = words(level, kind, origin);
    match words.first().and_then(|first| same_form(*first)) {
        Some(place) => {
            set.rewrite(place, name, &words);
            false
        }
        None => set.put(name, &words),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{policy::Policy, quota::Quota, store::memory::counter_ids::Id};

    const NOW: Timestamp = Timestamp::from_micros(10_000_000);

    /// Several records are found, and then written one by one: by then the
    /// last ones may have moved up, into what the first ones took.
    #[test]
    fn a_record_that_has_moved_is_written_all_the_same() {
        let minute = Duration::from_secs(60);
        let quota = Quota::new(9, minute).unwrap().with_algorithm(Algorithm::FixedWindow).unwrap();
        let policy = Policy::new("fixed", quota).unwrap();
        let kind = policy.hints().quotas[0].kind;
        let level = Usage::at(quota, None, NOW).charge(1);
        let inherits = level.inheriting(level.left_behind().inherited());
        let mut set = Set::default();
        let names = [1, 2, 3].map(|hash| Name::new(hash, 0, Id::MIN));
        for name in names {
            assert!(write(&mut set, None, name, &inherits, &kind, NOW));
        }
        let places = names.map(|name| set.find(name));
        for (name, place) in names.into_iter().zip(places) {
            assert!(!write(&mut set, place, name, &level.charge(1), &kind, NOW));
        }
        assert_eq!(set.records().count(), 3);
        for name in names {
            let found = set.find(name).unwrap();
            assert_eq!(super::level(&set, found, &kind, NOW, NOW), level.charge(1));
        }
    }
}
