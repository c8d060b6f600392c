//! The embedded store: this process's memory, with a hard bound.

mod bans;
mod bucket;
mod builder;
mod counter_ids;
mod encoding;
mod eviction;
mod fast_path;
mod location;
mod locked_buckets;
mod locked_keys;
mod locking;
mod table;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use smallvec::SmallVec;

pub use self::builder::MemoryStoreBuilder;
use self::{bans::Bans, counter_ids::Kinds, location::Spot, locking::Locked, table::Table};
use super::{Answer, BanChange, BanPage, Banned, Check, Item, Store};
use crate::{
    ban::{Ban, BanRecord, BanRule},
    decide::{Change, PriorState, decide},
    decision::Decision,
    error::StoreError,
    policy::Policy,
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
    /// Since when arrival times are counted.
    origin: Timestamp,
    hasher: RandomState,
    table: Table,
    kinds: Kinds,
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
            .field("table", &self.0.table)
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

impl Shared {
    fn decide(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        let (spots, mut locked) = self.lock(check.items())?;
        let now = self.clock.now();
        for (at, item, owed) in check.owed() {
            let spot = &spots[at];
            let repaid = self.prior(&mut locked, spot, item, now).repaid(item, owed, now);
            spot.charge(&mut locked, &repaid.levels);
            if let Some(offender) = &repaid.offender {
                self.offend(&mut locked, spot, item, offender, now);
            }
        }
        let items = check.items().zip(&spots);
        let priors: SmallVec<[PriorState; 1]> =
            items.clone().map(|(item, spot)| self.prior(&mut locked, spot, item, now)).collect();
        let outcome = decide(check, &priors, now);
        for ((item, spot), change) in items.zip(&outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(levels) => spot.charge(&mut locked, levels),
                Change::Struck(offender) => self.offend(&mut locked, spot, item, offender, now),
            }
        }
        Ok(outcome.decision)
    }

    fn strike(&self, offenders: &[Item<'_>]) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let (spots, mut locked) = self.lock(offenders.iter().copied())?;
        let now = self.clock.now();
        let strike = |(item, spot): (&Item<'_>, &Spot)| {
            let rule = item.policy.ban()?;
            let before = self.offender(&mut locked, spot, *item, rule, now);
            if before.banned_until(now).is_some() {
                return None;
            }
            let after = before.strike(rule, now);
            self.offend(&mut locked, spot, *item, &after, now);
            after.new_ban(&before, now)
        };
        Ok(offenders.iter().zip(&spots).map(strike).collect())
    }

    fn change_ban(&self, item: Item<'_>, change: BanChange) -> Result<(), StoreError> {
        let Some(rule) = item.policy.ban().filter(|_| item.subject.bannable) else {
            return Ok(());
        };
        let (spots, mut locked) = self.lock(std::iter::once(item))?;
        let now = self.clock.now();
        let before = self.offender(&mut locked, &spots[0], item, rule, now);
        self.offend(&mut locked, &spots[0], item, &before.change(rule, change, now), now);
        Ok(())
    }

    fn reset(&self, item: Item<'_>) -> Result<(), StoreError> {
        let (spots, mut locked) = self.lock(std::iter::once(item))?;
        spots[0].forget(&mut locked);
        Ok(())
    }

    fn ban(&self, item: Item<'_>) -> Result<Option<Ban>, StoreError> {
        let (spots, _locked) = self.lock(std::iter::once(item))?;
        let ban = self.bans.get(spots[0].place, item.policy.scope().bans, &item.subject.key);
        Ok(ban.filter(|ban| ban.holds(self.clock.now())))
    }

    /// The bans in force with a number of their own above that of the page
    /// before, in the order of these numbers.
    fn page(&self, scope: u64, after: Option<&str>, limit: usize) -> Result<BanPage, StoreError> {
        let after: u64 = after.unwrap_or("0").parse().map_err(|_| {
            StoreError::new(format!("{after:?} is not where a page of bans has ended"))
        })?;
        let now = self.clock.now();
        let number = |banned: &Banned| self.hasher.hash_one(&banned.key) | 1;
        let mut bans: Vec<Banned> = self.bans.of(scope).filter(|b| b.ban.holds(now)).collect();
        bans.retain(|banned| number(banned) > after);
        bans.sort_by_key(number);
        let more = bans.len() > limit;
        bans.truncate(limit);
        let next = bans.last().filter(|_| more).map(|last| number(last).to_string());
        Ok(BanPage { bans, next })
    }

    fn prior(
        &self,
        locked: &mut Locked<'_>,
        spot: &Spot,
        item: Item<'_>,
        now: Timestamp,
    ) -> PriorState {
        let levels = spot.levels(locked, now);
        let rule = item.policy.ban().filter(|_| item.subject.bannable);
        let offender = rule.map(|rule| self.offender(locked, spot, item, rule, now));
        PriorState { levels, offender }
    }

    fn offender(
        &self,
        locked: &mut Locked<'_>,
        spot: &Spot,
        item: Item<'_>,
        rule: &BanRule,
        now: Timestamp,
    ) -> BanRecord {
        let ban = self.bans.get(spot.place, item.policy.scope().bans, &item.subject.key);
        BanRecord::at(rule, spot.strikes(locked, now), ban, now)
    }

    fn offend(
        &self,
        locked: &mut Locked<'_>,
        spot: &Spot,
        item: Item<'_>,
        offender: &BanRecord,
        now: Timestamp,
    ) {
        let Some(rule) = item.policy.ban() else {
            return;
        };
        self.bans.set(
            spot.place,
            item.policy.scope().bans,
            &item.subject.key,
            offender.ban,
            |ban| rule.forget_at(ban).since(now),
        );
        spot.strike(locked, &offender.strikes);
    }
}
