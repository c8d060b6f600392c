//! The table: sets in groups. A key's set follows from its hash; a group bounds
//! how many records its sets hold together.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use super::bucket::Set;

/// How many sets make a group, and how many records it holds at most. Fewer
/// would fill up unevenly, more take longer to make room in.
pub(super) const SETS: usize = 8;
const RECORDS: usize = 64;

/// Memory is taken by so many sets at a time, when the first of them is needed.
const CHUNK: usize = 64 * SETS;

/// A set with its lock, in a pair of cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell(Mutex<Set>);

/// What is known of a group without a lock.
#[derive(Debug, Default)]
pub(super) struct Group {
    records: AtomicU32,
    /// Of its keys. moka is asked only where there is one.
    pub(super) bans: AtomicU32,
    /// Whether displaced keys have left something behind that newcomers inherit.
    pub(super) left_behind: AtomicBool,
}

pub(super) struct Table {
    chunks: Box<[OnceLock<Box<[Cell]>>]>,
    groups: Arc<[Group]>,
    /// How many records a group holds, and how many groups hold one more.
    share: usize,
    rest: usize,
}

impl Table {
    /// A table of at most so many records.
    pub(super) fn new(max: usize) -> Self {
        let groups = max.div_ceil(RECORDS);
        let chunks = (groups * SETS).div_ceil(CHUNK);
        Self {
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
            groups: (0..groups).map(|_| Group::default()).collect(),
            share: max / groups,
            rest: max % groups,
        }
    }

    pub(super) fn groups(&self) -> &Arc<[Group]> {
        &self.groups
    }

    /// The place of a hash's set: by the high bits, through multiplication.
    /// Names are made of the low ones.
    #[inline]
    pub(super) fn place(&self, hash: u64) -> usize {
        ((u128::from(hash) * (self.groups.len() * SETS) as u128) >> 64) as usize
    }

    pub(super) fn group(&self, place: usize) -> &Group {
        &self.groups[place / SETS]
    }

    #[inline]
    pub(super) fn lock(&self, place: usize) -> MutexGuard<'_, Set> {
        let chunk = self.chunks[place / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| Cell::default()).collect());
        lock(&chunk[place % CHUNK])
    }

    /// Whether so many new records in that set may have to displace others or to
    /// inherit, for which all sets of the group are needed.
    pub(super) fn is_tight(&self, place: usize, records: usize) -> bool {
        let group = self.group(place);
        group.left_behind.load(Ordering::Relaxed) || self.room(place) < records
    }

    pub(super) fn is_full(&self, place: usize) -> bool {
        self.room(place) == 0
    }

    fn room(&self, place: usize) -> usize {
        let at = place / SETS;
        let most = self.share + usize::from(at < self.rest);
        most.saturating_sub(self.groups[at].records.load(Ordering::Relaxed) as usize)
    }

    /// Notes a record that was added to a set.
    pub(super) fn added(&self, place: usize) {
        self.group(place).records.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a set has so many records less.
    pub(super) fn removed(&self, place: usize) {
        self.group(place).records.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.records.load(Ordering::Relaxed) as usize).sum()
    }

    /// Every set that was ever needed, with its place, one after the other.
    pub(super) fn sets(&self) -> impl Iterator<Item = (usize, MutexGuard<'_, Set>)> {
        let chunks = self.chunks.iter().enumerate();
        chunks.filter_map(|(at, chunk)| Some((at, chunk.get()?))).flat_map(|(at, chunk)| {
            let places = at * CHUNK..;
            places.zip(chunk.iter().map(lock))
        })
    }
}

/// A panic while a set was locked leaves it as whole as before it: a record is
/// written after everything was decided. So a poisoned lock is taken all the
/// same.
#[inline]
fn lock(Cell(set): &Cell) -> MutexGuard<'_, Set> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} records)", self.len())
    }
}
