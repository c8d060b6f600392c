//! The locks of segments.

use std::sync::MutexGuard;

use smallvec::SmallVec;

use crate::store::memory::table::{Location, SegmentState, Table};

/// A segment under its lock.
pub(super) struct LockedSegment<'a> {
    number: usize,
    state: MutexGuard<'a, SegmentState>,
}

impl<'a> LockedSegment<'a> {
    /// Locks the segments that have the keys of those locations, in the order of their numbers,
    /// so that two checks that cross never wait for each other.
    pub(super) fn lock_all(table: &'a Table, locations: &[Location]) -> SmallVec<[Self; 1]> {
        let numbers = locations.iter().map(|location| table.host_segment(location.bucket));
        loop {
            // Mostly there is one: a key's counters are in one segment, whatever the policy.
            let mut others = numbers.clone();
            let locked = match others.next() {
                Some(first) if others.all(|number| number == first) => {
                    SmallVec::from_buf([Self::lock(table, first)])
                }
                _ => Self::lock_in_order(table, numbers.clone().collect()),
            };
            // Else a chunk was split before its segment was locked, and the key may have moved.
            if numbers.clone().all(|number| position(&locked, number).is_some()) {
                return locked;
            }
        }
    }

    #[inline(never)]
    fn lock_in_order(table: &'a Table, mut numbers: SmallVec<[usize; 4]>) -> SmallVec<[Self; 1]> {
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().map(|number| Self::lock(table, number)).collect()
    }

    #[inline]
    fn lock(table: &'a Table, number: usize) -> Self {
        Self { number, state: table.segment(number).lock() }
    }

    /// Returns the state of the segment that has the keys of a bucket.
    #[inline]
    pub(super) fn of<'l>(
        locked: &'l mut [Self],
        table: &Table,
        bucket: usize,
    ) -> &'l mut SegmentState {
        let number = || table.host_segment(bucket);
        match locked {
            [only] => {
                debug_assert_eq!(only.number, number(), "the segment of each key is locked");
                &mut only.state
            }
            several => {
                let at = position(several, number()).expect("the segment of each key is locked");
                &mut several[at].state
            }
        }
    }
}

#[inline]
fn position(locked: &[LockedSegment<'_>], number: usize) -> Option<usize> {
    locked.iter().position(|segment| segment.number == number)
}
