//! The embedded store: this process's memory, with a hard bound.

mod bans;
mod builder;
mod counter_ids;
mod displaced;
mod eviction;
mod fast_path;
mod locking;
mod slot;
mod table;

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use smallvec::SmallVec;

pub use self::builder::MemoryStoreBuilder;
use self::{
    bans::Bans,
    counter_ids::{CounterIds, Id},
    locking::{Location, LockedSegments},
    slot::Tag,
    table::Table,
};
use super::{Answer, BanChange, BanPage, Banned, Check, Item, Store};
use crate::{
    ban::{Ban, BanRecord, BanRule},
    decide::{Change, Levels, PriorState, decide},
    decision::Decision,
    error::StoreError,
    key::Key,
    policy::{Counter, Policy},
    time::{Clock, Timestamp},
};

/// Keeps counters, strikes and bans in memory, at most as many as it is told.
///
/// ```
/// use std::time::Duration;
/// use limiter_core::{ManualClock, MemoryStore, Timestamp};
///
/// let clock = ManualClock::new(Timestamp::from_micros(0));
/// let store = MemoryStore::builder().max_keys(100_000).clock(clock.clone()).build();
/// # let _: MemoryStore = store;
/// ```
///
/// # When it is full
/// Expired state goes first. After that a newcomer displaces the least
/// indebted key, and from then on newcomers start from the most that any
/// displaced key had used, until that too has expired. So a key that comes back
/// after it was displaced has gained nothing, and a client at its limit stays
/// there: `gcra` and `sliding_window` admit no more than without a bound, and
/// `fixed_window`, whose windows may start elsewhere for it, keeps its worst
/// case. The price is paid by newcomers: in a flood of one-request keys they
/// start one request poorer when there are up to twice as many live keys as
/// fit, two with three times, and so on; that fades as the flood does.
///
/// Room is shared by up to 64 counters, in groups that do not fill evenly: at
/// half the cap about one newcomer in two million finds no room, at three
/// quarters one in sixty. Give twice the clients of a window. (Checks that run at
/// the very same moment in one group may take it over its share, by one counter
/// for each of them; the next newcomer makes that good.)
///
/// Strikes are never inherited: those of a displaced key are forgotten. Bans
/// are apart: no flood of requests displaces one, only `max_bans` newer bans
/// do, the one longest unasked first.
///
/// # Memory
/// A `gcra` counter takes 16 bytes (24 with what is around it when the store is
/// full), a `fixed_window` one 32, a `sliding_window` one 48. A store with room
/// for a million takes 16 MB once its keys are spread over it, and little before.
///
/// # SubjectResolver
/// Counters are kept by 44 bits of a keyed hash of the key, under a secret of this
/// process, among those of their set, which other bits of it choose. That one of
/// a million live keys meets another's count has a chance of one in two million.
/// Bans are kept by the whole key.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    /// The instant from which slots count time.
    origin: Timestamp,
    hasher: RandomState,
    table: Table,
    counter_ids: CounterIds,
    bans: Bans,
}

impl MemoryStore {
    /// A store of up to 1,000,000 keys and 100,000 bans.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets up a store.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::default()
    }

    /// How many counters and strike counts are kept now, expired ones that
    /// nothing has displaced yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.table.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("bans", &self.0.bans)
            .field("clock", &self.0.clock)
            .finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        match self.decide_fast(&check) {
            Some(decision) => Answer::ready(Ok(decision)),
            None => Answer::ready(self.0.decide(&check)),
        }
    }

    fn strike<'a>(&'a self, offenders: Vec<Item<'a>>) -> Answer<'a, Vec<Option<Timestamp>>> {
        Answer::ready(self.0.strike(&offenders))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        Answer::ready(self.0.change_ban(item, change))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        Answer::ready(self.0.reset(item))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        Answer::ready(self.0.ban(item))
    }

    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage> {
        Answer::ready(self.0.page(policy.scope().bans, after, limit.max(1)))
    }

    fn as_memory(&self) -> Option<&Self> {
        Some(self)
    }
}

/// Where the state of an item is, and the ids of its counters.
struct Found {
    location: Location,
    /// One a quota.
    quotas: SmallVec<[Id; 1]>,
    strikes: Option<Id>,
}

/// Items with their segments locked.
struct Locked<'a> {
    found: SmallVec<[Found; 1]>,
    segments: LockedSegments<'a>,
}

impl Shared {
    #[inline]
    fn location(&self, key: &Key) -> Location {
        // A key's bytes say themselves where they end.
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.as_bytes());
        let digest = hasher.finish();
        Location { digest, bucket: self.table.bucket_of(digest) }
    }

    /// Locks the segments of all items.
    ///
    /// # Errors
    /// If there are more different counters than there are ids.
    fn lock<'a>(
        &self,
        items: impl Iterator<Item = Item<'a>> + Clone,
    ) -> Result<Locked<'_>, StoreError> {
        loop {
            let token = self.counter_ids.token();
            let found: Result<SmallVec<[Found; 1]>, _> =
                items.clone().map(|item| self.find(item)).collect();
            let found = found?;
            let locations = found.iter().map(|found| found.location);
            let segments = LockedSegments::lock(self, locations);
            // Ids that were valid under the lock stay so until it is released.
            if self.counter_ids.token() == token {
                return Ok(Locked { found, segments });
            }
        }
    }

    fn find(&self, item: Item<'_>) -> Result<Found, StoreError> {
        let id = |counter| self.counter_ids.id(counter, || self.ids_in_use());
        let counters = item.policy.counters();
        Ok(Found {
            location: self.location(&item.subject.key),
            quotas: counters.quotas.iter().map(id).collect::<Result<_, _>>()?,
            strikes: counters.strikes.as_ref().map(id).transpose()?,
        })
    }

    fn decide(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        let mut locked = self.lock(check.items())?;
        let now = self.clock.now();
        for (at, item, owed) in check.owed() {
            let repaid = locked.prior(at, item, now).repaid(item, owed, now);
            locked.charge(at, item, &repaid.levels);
            if let Some(record) = &repaid.offender {
                locked.write_record(at, item, record, now);
            }
        }
        let priors: SmallVec<[PriorState; 1]> =
            check.items().enumerate().map(|(at, item)| locked.prior(at, item, now)).collect();
        let outcome = decide(check, &priors, now);
        for ((at, item), change) in check.items().enumerate().zip(&outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(levels) => locked.charge(at, item, levels),
                Change::Struck(record) => locked.write_record(at, item, record, now),
            }
        }
        Ok(outcome.decision)
    }

    fn strike(&self, offenders: &[Item<'_>]) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let mut locked = self.lock(offenders.iter().copied())?;
        let now = self.clock.now();
        let strike = |(at, item): (usize, &Item<'_>)| {
            let rule = item.policy.ban()?;
            let before = locked.record(at, *item, rule, now);
            if before.banned_until(now).is_some() {
                return None;
            }
            let after = before.strike(rule, now);
            locked.write_record(at, *item, &after, now);
            after.new_ban(&before, now)
        };
        Ok(offenders.iter().enumerate().map(strike).collect())
    }

    fn change_ban(&self, item: Item<'_>, change: BanChange) -> Result<(), StoreError> {
        let Some(rule) = item.policy.ban() else { return Ok(()) };
        if item.subject.bannable {
            let mut locked = self.lock(std::iter::once(item))?;
            let now = self.clock.now();
            let before = locked.record(0, item, rule, now);
            locked.write_record(0, item, &before.change(rule, change, now), now);
        }
        Ok(())
    }

    fn reset(&self, item: Item<'_>) -> Result<(), StoreError> {
        let mut locked = self.lock(std::iter::once(item))?;
        let Found { location, quotas, .. } = &locked.found[0];
        for (counter, id) in item.policy.counters().quotas.iter().zip(quotas) {
            let tag = Tag::counter(location.digest, counter.spec.namespace, *id);
            locked.segments.remove(*location, tag);
        }
        Ok(())
    }

    fn ban(&self, item: Item<'_>) -> Result<Option<Ban>, StoreError> {
        let bucket = self.location(&item.subject.key).bucket;
        let ban = self.bans.get(bucket, item.policy.scope().bans, &item.subject.key);
        Ok(ban.filter(|ban| ban.holds(self.clock.now())))
    }

    /// Returns the bans in force with a number of their own above that of the
    /// page before, in the order of these numbers.
    fn page(
        &self,
        namespace: u64,
        after: Option<&str>,
        limit: usize,
    ) -> Result<BanPage, StoreError> {
        let after: u64 = after.unwrap_or("0").parse().map_err(|_| {
            StoreError::new(format!("{after:?} is not where a page of bans has ended"))
        })?;
        let now = self.clock.now();
        let number = |banned: &Banned| self.hasher.hash_one(&banned.key) | 1;
        let mut bans: Vec<Banned> =
            self.bans.of(namespace).filter(|banned| banned.ban.holds(now)).collect();
        bans.retain(|banned| number(banned) > after);
        bans.sort_by_key(number);
        let more = bans.len() > limit;
        bans.truncate(limit);
        let next = if more { bans.last().map(|last| number(last).to_string()) } else { None };
        Ok(BanPage { bans, next })
    }
}

impl Locked<'_> {
    fn prior(&mut self, at: usize, item: Item<'_>, now: Timestamp) -> PriorState {
        let Found { location, quotas, .. } = &self.found[at];
        let counters = item.policy.counters().quotas.iter().zip(quotas);
        let usage =
            |(counter, id): (&Counter, &Id)| self.segments.read(*location, &counter.spec, *id, now);
        let levels: Levels = counters.map(usage).collect();
        let rule = item.policy.ban().filter(|_| item.subject.bannable);
        let offender = rule.map(|rule| self.record(at, item, rule, now));
        PriorState { levels, offender }
    }

    fn record(&mut self, at: usize, item: Item<'_>, rule: &BanRule, now: Timestamp) -> BanRecord {
        let Found { location, strikes, .. } = &self.found[at];
        let bans = &self.segments.shared.bans;
        let ban = bans.get(location.bucket, item.policy.scope().bans, &item.subject.key);
        let strikes = item.policy.counters().strikes.as_ref().zip(*strikes);
        let strikes = strikes.and_then(|(counter, id)| {
            self.segments.read(*location, &counter.spec, id, now).state()
        });
        BanRecord::at(rule, strikes, ban, now)
    }

    fn charge(&mut self, at: usize, item: Item<'_>, levels: &Levels) {
        let Found { location, quotas, .. } = &self.found[at];
        let counters = item.policy.counters().quotas.iter().zip(quotas);
        for ((counter, id), level) in counters.zip(levels) {
            self.segments.write(*location, &counter.spec, *id, level);
        }
    }

    fn write_record(&mut self, at: usize, item: Item<'_>, record: &BanRecord, now: Timestamp) {
        let Found { location, strikes, .. } = &self.found[at];
        let shared = self.segments.shared;
        shared.write_ban(&mut self.segments, *location, item, record, now);
        if let Some((counter, id)) = item.policy.counters().strikes.as_ref().zip(*strikes) {
            self.segments.write(*location, &counter.spec, id, &record.strikes);
        }
    }
}
