//! A key that is checked under policies with leases: how much it uses, and its slice.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    LIFE, MIN_PERIOD, MIN_REQUESTS, MIN_SLICE, ROOM_SHARE,
    slice::{Remainder, Slice, rest_of_window},
};
use crate::{
    check::{Check, Item},
    decision::{Decision, QuotaStatus},
    policy::Policy,
    request::Subjects,
    time::{Timestamp, micros},
};

/// The subjects of a check under its policies.
pub(super) struct TrackedKey {
    policies: Box<[Policy]>,
    subjects: Subjects,
    use_rate: UseRate,
    /// Units that were left of the tightest quota when the store was last called.
    room: AtomicU64,
    /// When the window or segment ends that had them, in microseconds.
    room_ends: AtomicU64,
    /// True while a request takes a slice.
    is_taking: AtomicBool,
    place: RwLock<Place>,
}

/// The place of the slice.
enum Place {
    Open(Option<Slice>),
    /// The key is out of the table. A slice that comes too late is given back or, where the count
    /// was reset, not.
    Closed {
        gives_back: bool,
    },
}

impl TrackedKey {
    pub(super) fn new(check: &Check<'_>, now: Timestamp) -> Self {
        Self {
            policies: check.items().map(|item| item.policy.clone()).collect(),
            subjects: check.items().map(|item| item.subject.clone()).collect(),
            use_rate: UseRate::since(now),
            room: AtomicU64::new(0),
            room_ends: AtomicU64::new(0),
            is_taking: AtomicBool::new(false),
            place: RwLock::new(Place::Open(None)),
        }
    }

    pub(super) fn is_of(&self, check: &Check<'_>) -> bool {
        self.policies.len() == check.items().len()
            && self
                .items()
                .zip(check.items())
                .all(|(own, other)| own.policy.is(other.policy) && own.subject == other.subject)
    }

    pub(super) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let items = self.policies.iter().zip(&self.subjects);
        items.map(|(policy, subject)| Item { policy, subject })
    }

    /// Notes a request, and admits it from the slice if that has enough units.
    pub(super) fn admit(&self, cost: u64, now: Timestamp) -> Option<Decision> {
        self.use_rate.note(cost);
        match &*self.place.read().unwrap_or_else(PoisonError::into_inner) {
            Place::Open(Some(slice)) => slice.admit(cost, now),
            _ => None,
        }
    }

    /// Notes how much room a decision of the store has left, which was called at `sent`.
    pub(super) fn note_room(&self, decision: &Decision, sent: Timestamp) {
        if !decision.is_of_fallback() {
            let room = decision.tightest().map_or(0, QuotaStatus::remaining);
            let rest = rest_of_window(decision).unwrap_or(u64::MAX);
            self.room.store(room, Ordering::Relaxed);
            self.room_ends.store(sent.after_micros(rest).as_micros(), Ordering::Relaxed);
        }
    }

    /// Begins to take a slice beside a request of that cost, if the key is checked often and has
    /// room, and no other request takes one.
    ///
    /// A slice ends with the window that is charged, so it is as much as the key uses until
    /// then, and none is taken of a window of which nothing is known yet.
    pub(super) fn begin_slice(self: &Arc<Self>, cost: u64, now: Timestamp) -> Option<SliceRequest> {
        if self.is_taking.swap(true, Ordering::Acquire) {
            return None;
        }
        let mut request = SliceRequest { key: Arc::clone(self), units: 0 };
        let room = self.room.load(Ordering::Relaxed).saturating_sub(cost);
        let ends = Timestamp::from_micros(self.room_ends.load(Ordering::Relaxed));
        let life = u128::from(ends.micros_since(now).min(micros(LIFE)));
        let used = u128::from(self.use_rate.measure(now)) * life / u128::from(micros(LIFE));
        request.units = u64::try_from(used).unwrap_or(u64::MAX).min(room / ROOM_SHARE);
        // A smaller one would not admit a request like this.
        (request.units >= MIN_SLICE.max(cost)).then_some(request)
    }

    /// Puts a slice in the place of the one before. Returns what is given back: the rest of
    /// that one, or all of a slice that comes too late.
    fn put_slice(&self, slice: Slice) -> Option<Remainder> {
        match &mut *self.place_mut() {
            Place::Open(place) => {
                let before = place.replace(slice);
                before.and_then(|before| self.remainder(&before))
            }
            Place::Closed { gives_back } => self.remainder(&slice).filter(|_| *gives_back),
        }
    }

    /// Ends the slice if its time is over. Returns what is left of it.
    pub(super) fn end_slice(&self, now: Timestamp) -> Option<Remainder> {
        match &mut *self.place_mut() {
            Place::Open(place) => {
                let ended = place.take_if(|slice| slice.has_ended(now))?;
                self.remainder(&ended)
            }
            Place::Closed { .. } => None,
        }
    }

    /// Ends the slice for good. Returns what is left of it, if it is to be given back.
    pub(super) fn close(&self, gives_back: bool) -> Option<Remainder> {
        let place = std::mem::replace(&mut *self.place_mut(), Place::Closed { gives_back });
        match place {
            Place::Open(Some(slice)) => self.remainder(&slice).filter(|_| gives_back),
            _ => None,
        }
    }

    pub(super) fn has_slice(&self) -> bool {
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        matches!(*place, Place::Open(Some(_)))
    }

    /// Returns true if the key may make room for another.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_taking.load(Ordering::Relaxed) && !self.has_slice()
    }

    /// Returns how much it is used, to compare keys by.
    pub(super) fn recent_use(&self, now: Timestamp) -> u64 {
        self.use_rate.recent_use(now)
    }

    fn remainder(&self, slice: &Slice) -> Option<Remainder> {
        slice.end(&self.policies, &self.subjects)
    }

    /// The place is whole after each change, so a poisoned lock is taken all the same.
    fn place_mut(&self) -> RwLockWriteGuard<'_, Place> {
        self.place.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slice that is being taken, by one request at a time.
pub(super) struct SliceRequest {
    key: Arc<TrackedKey>,
    units: u64,
}

impl SliceRequest {
    /// Returns the units of the slice, without those of the request that takes it.
    pub(super) const fn units(&self) -> u64 {
        self.units
    }

    /// Ends it with a slice that the store, called at `sent`, has charged. Returns what
    /// is given back.
    pub(super) fn granted(self, decision: Decision, sent: Timestamp) -> Option<Remainder> {
        self.key.note_room(&decision, sent);
        self.key.put_slice(Slice::new(decision, self.units, sent))
    }

    /// Ends it without a slice, since the store did not answer, though it may have charged
    /// one. The next slice waits for an answer.
    pub(super) fn failed(self) {
        self.key.room.store(0, Ordering::Relaxed);
    }

    /// Ends it without a slice. Returns the key.
    pub(super) fn refused(self) -> Arc<TrackedKey> {
        Arc::clone(&self.key)
    }
}

impl Drop for SliceRequest {
    fn drop(&mut self) {
        self.key.is_taking.store(false, Ordering::Release);
    }
}

/// How many requests and units a key has used since it was last measured.
struct UseRate {
    since: AtomicU64,
    requests: AtomicU64,
    units: AtomicU64,
    /// The last result.
    measured: AtomicU64,
}

impl UseRate {
    fn since(now: Timestamp) -> Self {
        Self {
            since: AtomicU64::new(now.as_micros()),
            requests: AtomicU64::new(0),
            units: AtomicU64::new(0),
            measured: AtomicU64::new(0),
        }
    }

    fn note(&self, cost: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(cost, Ordering::Relaxed);
    }

    /// Returns the units that are used within [`LIFE`], or 0 if there are no more
    /// requests than [`MIN_REQUESTS`]. One request at a time measures.
    fn measure(&self, now: Timestamp) -> u64 {
        let since = Timestamp::from_micros(self.since.load(Ordering::Relaxed));
        let period = now.micros_since(since);
        if period < micros(MIN_PERIOD) {
            return self.measured.load(Ordering::Relaxed);
        }
        let in_life = |count: &AtomicU64| {
            let scaled = u128::from(count.swap(0, Ordering::Relaxed)) * u128::from(micros(LIFE));
            u64::try_from(scaled / u128::from(period)).unwrap_or(u64::MAX)
        };
        let (requests, units) = (in_life(&self.requests), in_life(&self.units));
        let measured = if requests <= MIN_REQUESTS { 0 } else { units };
        self.since.store(now.as_micros(), Ordering::Relaxed);
        self.measured.store(measured, Ordering::Relaxed);
        measured
    }

    /// Returns the units that were used lately; none of a key that is used no more, which would
    /// have been measured since.
    fn recent_use(&self, now: Timestamp) -> u64 {
        let since = Timestamp::from_micros(self.since.load(Ordering::Relaxed));
        if now.since(since) > 4 * LIFE {
            return 0;
        }
        let units = self.units.load(Ordering::Relaxed);
        units.saturating_add(self.measured.load(Ordering::Relaxed))
    }
}
