//! A slot of the table: whose state it holds, and the state, in two words.
//!
//! ```text
//! tag    | keyed hash of the key ^ namespace: 44 bits | counter id: 16 | 0 | wide: 1 | ban: 1 | in use: 1 |
//! word   | payload: 56 bits                                                             | generation: 8 |
//! ```
//!
//! A check whose slot is there charges it by one compare-and-swap of the word,
//! without a lock. One of several slots *holds* all but the last of them while it
//! writes: see [`write_charges()`].
//!
//! All else is done under the lock of the segment: whoever has it *claims* a slot
//! first, by a swap of the payload to `CLAIMED` that also counts the generation up.
//! What was charged until then is in the payload that the swap returns; a charge on
//! its way fails, since the word is another, and takes the lock instead. A slot that
//! is held is waited for: whoever holds it waits for nobody.
//!
//! The generation keeps a charge from a slot that has passed to another key and
//! happens to hold the same payload: the thread would have to sleep between its
//! load and its swap while the slot passes on 256 times, or a multiple, to a key
//! whose arrival time is equal to the microsecond.

mod write_charges;

use std::{
    hint,
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    thread,
    time::Duration,
};

pub(super) use self::write_charges::{SlotCharge, write_charges};
use super::counter_ids::Id;
use crate::algorithm::MAX_WORD;

const IN_USE: u64 = 1;
const BAN: u64 = 1 << 1;
const WIDE: u64 = 1 << 2;
const ID_AT: u32 = 4;
const IDS: u64 = 0xffff << ID_AT;
const HASH_AT: u32 = 20;

/// Bits behind the first one of a duration in a tag.
const FLOAT_BITS: u32 = 10;

/// The identity of a slot within its bucket: the key and the namespace of what is
/// kept.
///
/// The id says by which quota the payload is to be read. It does not distinguish slots
/// apart, since a policy whose limit was changed finds what was used before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tag(u64);

impl Tag {
    /// The tag of a free slot.
    pub(super) const FREE: Self = Self(0);

    /// The lowest two bits of the hash choose a line, and are the key's alone: its policies in
    /// one bucket share a cache line.
    #[inline]
    const fn of(digest: u64, namespace: u64, rest: u64) -> Self {
        Self((digest ^ (namespace & !3)) << HASH_AT | rest)
    }

    /// The hash is secret, so that no client can choose keys whose difference is
    /// that of two namespaces.
    #[inline]
    pub(super) fn counter(digest: u64, namespace: u64, id: Id) -> Self {
        Self::of(digest, namespace, u64::from(id.get()) << ID_AT | IN_USE)
    }

    #[inline]
    pub(super) fn ban(digest: u64, namespace: u64) -> Self {
        Self::of(digest, namespace, BAN | IN_USE)
    }

    /// The tag of a ban, with so many microseconds in place of an id: a float of
    /// eleven bits, rounded down.
    pub(super) const fn with_micros(self, micros: u64) -> Self {
        let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(FLOAT_BITS + 1);
        let rest = micros >> shift & ((1 << FLOAT_BITS) - 1);
        let float = if micros >> FLOAT_BITS == 0 {
            micros
        } else {
            (shift as u64 + 1) << FLOAT_BITS | rest
        };
        Self(self.0 & !IDS | float << ID_AT)
    }

    pub(super) const fn micros(self) -> u64 {
        let float = (self.0 & IDS) >> ID_AT;
        let rest = float & ((1 << FLOAT_BITS) - 1);
        match float >> FLOAT_BITS {
            0 => rest,
            exponent => (1 << FLOAT_BITS | rest) << (exponent - 1),
        }
    }

    /// The same, of a slot whose payload is the position of a state that does
    /// not fit into it.
    pub(super) const fn wide(self) -> Self {
        Self(self.0 | WIDE)
    }

    pub(super) const fn is_wide(self) -> bool {
        self.0 & WIDE != 0
    }

    pub(super) const fn is_ban(self) -> bool {
        self.0 & BAN != 0
    }

    /// Returns true if it is the tag of a counter whose payload is a word.
    pub(super) const fn is_of_word(self) -> bool {
        self.0 & (IN_USE | BAN | WIDE) == IN_USE
    }

    /// Returns true if both are of one counter, or of bans of the same length.
    #[inline]
    pub(super) const fn is_alike(self, other: Self) -> bool {
        (self.0 ^ other.0) & ((1 << HASH_AT) - 1) == 0
    }

    pub(super) const fn is_free(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn id(self) -> Option<Id> {
        if self.is_ban() {
            return None;
        }
        Id::new(((self.0 & IDS) >> ID_AT) as u16)
    }

    /// All but key and namespace: the same for all keys of a counter, and for all bans.
    #[inline]
    pub(super) const fn kind(self) -> u64 {
        if self.is_ban() { BAN } else { self.0 & ((1 << HASH_AT) - 1) }
    }

    /// Returns the hash of the key and the namespace.
    #[inline]
    pub(super) const fn hash(self) -> u64 {
        self.0 >> HASH_AT
    }

    /// Key and namespace alone.
    pub(super) const fn identity(self) -> u64 {
        self.0 & !(IDS | WIDE)
    }

    /// Returns true if both are of one key and namespace, whatever the quota.
    pub(super) const fn is_same(self, other: Self) -> bool {
        self.identity() == other.identity()
    }
}

/// The second word of a slot.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Word(u64);

const GENERATION_BITS: u32 = 8;

/// The payload of a slot that a check without a lock writes together with others.
const HELD: u64 = MAX_WORD;

/// The payload of a slot that whoever has the lock has claimed.
const CLAIMED: u64 = MAX_WORD + 1;

/// How often a slot that is held is looked at before its thread is given the processor, and
/// before this one sleeps, so that one of a lower priority gets it, too. A slot is held for a
/// few swaps, unless its thread was interrupted.
const SPINS: u32 = 100;
const YIELDS: u32 = 200;
const SLEEP: Duration = Duration::from_micros(50);

impl Word {
    const fn new(payload: u64, generation: u64) -> Self {
        Self(payload << GENERATION_BITS | generation & ((1 << GENERATION_BITS) - 1))
    }

    pub(super) const fn payload(self) -> u64 {
        self.0 >> GENERATION_BITS
    }

    const fn is_claimed(self) -> bool {
        self.payload() == CLAIMED
    }

    const fn is_held(self) -> bool {
        self.payload() == HELD
    }
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    tag: AtomicU64,
    word: AtomicU64,
}

impl Slot {
    #[inline]
    pub(super) fn tag(&self) -> Tag {
        Tag(self.tag.load(Acquire))
    }

    /// Returns the word, if the slot has that tag and is neither claimed nor held.
    ///
    /// The word is loaded before the tag: where a word of the owner before is
    /// seen together with the tag of the present one, [`Self::write_checked`]
    /// fails, since the owner's change came in between.
    #[inline]
    pub(super) fn read(&self, tag: Tag) -> Option<Word> {
        let word = Word(self.word.load(Acquire));
        (self.tag() == tag && word.payload() < HELD).then_some(word)
    }

    /// Ends a check of the word that was read: puts the payload that it has charged in its
    /// place, if it has. Returns false if the word has changed since.
    #[inline]
    pub(super) fn write_checked(&self, read: Word, charged: Option<u64>) -> bool {
        match charged {
            Some(payload) => self.swap(read, payload),
            None => self.word.load(Acquire) == read.0,
        }
    }

    /// Puts a payload in the place of the word that was read, if it is still there.
    #[inline]
    fn swap(&self, read: Word, payload: u64) -> bool {
        let new = Word::new(payload, read.0);
        self.word.compare_exchange(read.0, new.0, AcqRel, Relaxed).is_ok()
    }

    /// Claims the slot and returns its payload. Under the segment's lock, as are
    /// all that follow.
    pub(super) fn claim(&self) -> u64 {
        loop {
            let word = self.settled();
            // The generation is counted under the lock alone.
            let claimed = Word::new(CLAIMED, word.0.wrapping_add(1));
            if self.word.compare_exchange(word.0, claimed.0, AcqRel, Relaxed).is_ok() {
                return word.payload();
            }
        }
    }

    /// Returns the word once no check holds the slot.
    fn settled(&self) -> Word {
        let mut spins = 0;
        loop {
            let word = Word(self.word.load(Relaxed));
            if !word.is_held() {
                return word;
            }
            match spins {
                ..SPINS => hint::spin_loop(),
                SPINS..YIELDS => thread::yield_now(),
                YIELDS.. => thread::sleep(SLEEP),
            }
            spins = spins.saturating_add(1);
        }
    }

    /// Gives a claimed slot that content.
    pub(super) fn release(&self, tag: Tag, payload: u64) {
        self.tag.store(tag.0, Release);
        self.word.store(Word::new(payload, self.word.load(Relaxed)).0, Release);
    }

    /// The payload, of a slot that nobody has claimed.
    pub(super) fn payload(&self) -> u64 {
        self.settled().payload()
    }

    /// Returns the tag and the payload, unless the slot is claimed.
    pub(super) fn unclaimed(&self) -> Option<(Tag, u64)> {
        let word = self.settled();
        (!word.is_claimed()).then(|| (self.tag(), word.payload()))
    }

    /// Returns the word, if the slot has the counter of that tag and is neither claimed nor
    /// held. The words of one counter are in the order of their payloads.
    #[inline]
    pub(super) fn word_of_counter(&self, tag: Tag) -> Option<Word> {
        let word = Word(self.word.load(Relaxed));
        (self.tag().is_alike(tag) && word.payload() < HELD).then_some(word)
    }
}

#[cfg(test)]
mod tests;
