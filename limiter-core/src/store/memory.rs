//! The memory store: state in this process, with a hard bound.
//!
//! | file | what it has |
//! |---|---|
//! | `one_bucket` | the commonest check, of one quota, without a lock |
//! | `several_slots` | checks of several quotas without a lock |
//! | `fast_path` | which path a check takes; newcomers that need no strikes |
//! | `banned` | the refusal of a banned key, without a lock |
//! | `general_path` | all other checks, strikes and changes by hand, under locks |
//! | `table`, `slot` | where a key's state is, how the table grows, and how a slot is charged and passed on |
//! | `locking` | the locked segments of a check, and the slots that it has claimed |
//! | `eviction`, `displaced_sketch` | who makes room for a newcomer, and what is remembered of it |
//! | `bans` | bans in force and past, under a cap of their own |
//! | `counter_ids` | the ids that stand for quotas in a slot |

mod banned;
mod bans;
mod builder;
mod clear;
mod counter_ids;
mod displaced_sketch;
mod eviction;
mod fast_path;
mod general_path;
#[cfg(test)]
mod interrupted_clock;
mod locking;
mod one_bucket;
mod several_slots;
mod slot;
mod store_clock;
mod table;

use std::{fmt, sync::Arc};

pub use self::builder::MemoryStoreBuilder;
use self::{
    bans::Bans,
    counter_ids::CounterIds,
    store_clock::StoreClock,
    table::{Location, Table},
};
pub(crate) use self::{
    fast_path::{Declined, MAX_PREFETCH},
    one_bucket::{BucketAdmission, BucketCheck, BucketRefusal, MissingSlot, Undecided},
};
use super::{Answer, BanPage, Banned, KeyStates, Store};
use crate::{
    ban::{Ban, BanChange},
    check::{Check, Item},
    decision::Decision,
    error::StoreError,
    key::Key,
    policy::Policy,
    settlement::{Settled, SettledItem},
    stats::EntryStats,
    time::Timestamp,
};

/// Keeps counters, strikes and bans in memory, up to a hard cap.
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
/// The counters that a policy has of a key are in one bucket of 16 slots, those of
/// other policies mostly in the three beside it. In a full bucket expired
/// state goes first. After that a newcomer displaces the least indebted key, and
/// what that key has used goes into a sketch of fixed size, rounded up. A key that
/// comes back finds at least what it has used: it has gained nothing, and a client
/// at its limit stays there. `gcra` and `sliding_window` admit no more than
/// without a bound, and `fixed_window`, whose windows may end later for such a
/// key, keeps its worst case.
///
/// A newcomer finds nothing, unless its two cells of the sketch were taken by
/// others: then it starts with what they have used. Measured: the percentage of
/// their limit that honest newcomers get at once, while a flood of keys that make
/// one request each keeps so many times as many keys live as there are slots.
///
/// | quota | 1 x | 2 x | 10 x |
/// |---|---|---|---|
/// | 3/day, `gcra` | 100 | 100 | 97 |
/// | 1/minute, `gcra` | 100 | 96 | 68 |
/// | 5/minute, `gcra` | 100 | 100 | 99 |
/// | 20/hour and 100/second, `gcra` | 100 | 100 | 100 |
/// | 3/day, `fixed_window` | 100 | 98 | 84 |
/// | 20/hour, `fixed_window` | 100 | 99 | 88 |
/// | 3/day, `sliding_window` | 99 | 96 | 58 |
/// | 20/hour, `sliding_window` | 99 | 98 | 86 |
///
/// Beyond 10 times as many, newcomers get less and less, and in the end nothing:
/// to refuse nobody that is new, and to admit nobody twice, takes memory for every
/// key. A quota of 3 a day under a flood of 1000 new keys a second has 86 million
/// live keys. So give `max_keys` in proportion to the longest window, and shorter
/// windows to what is open to everybody.
///
/// A bucket may fill up before the store does. With half as many live keys as
/// slots, one newcomer in 1000 displaces another key; with three quarters, one in
/// 50; with as many keys as slots, one in 10. Give twice the clients of a window.
///
/// The strikes of a displaced key are forgotten, since nobody is to be banned for
/// another's. Bans are apart: no flood of requests displaces one, only `max_bans`
/// newer bans do, the oldest first.
///
/// # Memory
/// A counter takes 16 bytes, 17 with its share of the lock, whatever the algorithm. A store with
/// room for a million takes 0.5 MB at first, 1.1 MB with 10,000 keys, 8 MB with 100,000, and
/// 19 MB at most. Those of the last minute and those that have used something make it grow,
/// which takes a newcomer about 0.1 ms now and then. It does not shrink.
/// The sketch of an overfull store takes 8 bytes more a slot, for each window length among
/// the quotas whose keys are displaced.
///
/// A state that does not fit into 56 bits takes 48 bytes more, and a check of it three times
/// as long. By `fixed_window` the limit and the time since the store was made share them:
/// they fit for two years with a limit of 1,000, for 50 days with 10,000, for six days with
/// 100,000. By `sliding_window` they fit for years, but for hundreds of thousands of units a
/// second, and by `gcra` always, but for limits with a large prime factor: 20 hours with
/// 999,983 a minute. A `strict_window` with units in several segments does not fit, and
/// takes 8 bytes a segment besides, 104 with 12 segments.
///
/// # Identity
/// Counters are kept by 44 bits of a keyed hash of the key, under a secret of this
/// process, in a bucket that other bits of it choose. The chance that any two of a
/// million live keys share a count is one in two million. Bans are kept by the
/// whole key.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    clock: StoreClock,
    /// The instant from which slots count time.
    origin: Timestamp,
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

    /// How many counters and bans are kept, and how many may be. Counters are estimated
    /// from a sample of the table.
    pub(crate) fn entries(&self) -> [EntryStats; 2] {
        let Shared { table, bans, .. } = &*self.0;
        let keys = (table.estimated_len() as u64, table.capacity() as u64);
        let bans = (bans.count(), bans.capacity());
        let of = |kind, (count, capacity)| EntryStats { kind, count, capacity };
        [of("keys", keys), of("bans", bans)]
    }

    /// Returns true if nothing is kept.
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
        Answer::ready(self.decide_at_once(&check))
    }

    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        Answer::ready(self.0.settle(&items))
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

    fn look<'a>(&'a self, items: Vec<Item<'a>>) -> Answer<'a, KeyStates> {
        Answer::ready(self.0.look(&items))
    }

    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage> {
        Answer::ready(self.0.page(policy.namespaces().bans, after, limit.max(1)))
    }

    fn as_memory(&self) -> Option<&Self> {
        Some(self)
    }
}

impl Shared {
    #[inline]
    fn location(&self, key: &Key) -> Location {
        let digest = key.keyed_hash();
        Location { digest, bucket: self.table.bucket_of(digest) }
    }

    fn ban(&self, item: Item<'_>) -> Result<Option<Ban>, StoreError> {
        let location = self.location(&item.subject.key);
        let ban = self.bans.get(location, item.policy.namespaces().bans, &item.subject.key);
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
        let number = |banned: &Banned| banned.key.keyed_hash() | 1;
        let mut bans: Vec<Banned> =
            self.bans.of(namespace).filter(|banned| banned.ban.holds(now)).collect();
        bans.retain(|banned| number(banned) > after);
        bans.sort_unstable_by_key(number);
        let more = bans.len() > limit;
        bans.truncate(limit);
        let next = if more { bans.last().map(|last| number(last).to_string()) } else { None };
        Ok(BanPage { bans, next })
    }
}
