//! A set: the records of a few clients, in two neighbouring cache lines with
//! their lock.
//!
//! A record is found by its [`Name`], which takes one word; what it holds takes
//! one more, or a few, each a pair of its own under the same name and the next
//! number of a part.

use std::ops::Deref;

use super::counter_ids::Id;

/// How many pairs have room beside the lock. The rest, which most sets do not
/// have, is elsewhere.
const INLINE: usize = 7;

/// A name, or 0 where there is none, and a word of what it stands for.
type Pair = (u64, u64);

/// The words of a record: most have one.
pub(super) struct Words {
    words: [u64; 6],
    len: usize,
}

impl<const LEN: usize> From<[u64; LEN]> for Words {
    #[inline]
    fn from(some: [u64; LEN]) -> Self {
        let mut words = [0; 6];
        words[..LEN].copy_from_slice(&some);
        Self { words, len: LEN }
    }
}

impl Deref for Words {
    type Target = [u64];

    #[inline]
    fn deref(&self) -> &[u64] {
        &self.words[..self.len]
    }
}

/// What tells a record from others in its set:
///
/// ```text
/// | keyed hash of the key, mixed with the scope: 44 bits | id: 16 | left behind: 1 | part: 3 |
/// ```
///
/// The id says by which numbers to read the record; it does not tell records
/// apart, since a policy whose limit is changed finds what was used before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Name(u64);

const PARTS: u64 = 0b111;
const LEFT_BEHIND: u64 = 1 << 3;
const ID_AT: u32 = 4;
const IDS: u64 = 0xffff << ID_AT;
const HASH_AT: u32 = 20;

impl Name {
    /// The hash is secret, so a client cannot choose keys whose difference is
    /// that of two scopes.
    pub(super) fn new(hash: u64, scope: u64, id: Id) -> Self {
        Self((hash ^ scope) << HASH_AT | u64::from(id.get()) << ID_AT)
    }

    /// Of what displaced keys of that scope have left behind.
    pub(super) fn left_behind(scope: u64, id: Id) -> Self {
        Self(Self::new(0, scope, id).0 | LEFT_BEHIND)
    }

    pub(super) fn is_left_behind(self) -> bool {
        self.0 & LEFT_BEHIND != 0
    }

    pub(super) fn id(self) -> Option<Id> {
        // 16 bits.
        Id::new(((self.0 & IDS) >> ID_AT) as u16)
    }

    fn part(self, part: usize) -> u64 {
        self.0 + part as u64
    }
}

/// Whether both name the same, whatever the numbers they are read by.
const fn is_same(one: u64, other: u64) -> bool {
    (one ^ other) & !IDS == 0
}

#[derive(Debug, Default)]
pub(super) struct Set {
    pairs: [Pair; INLINE],
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct More(Vec<Pair>);

/// Where a record's first word is.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

impl Set {
    #[inline]
    pub(super) fn find(&self, name: Name) -> Option<Place> {
        self.find_part(name.0)
    }

    #[inline]
    fn find_part(&self, name: u64) -> Option<Place> {
        if let Some(at) = self.pairs.iter().position(|pair| is_same(pair.0, name)) {
            return Some(Place(at));
        }
        let more = self.more.as_ref()?;
        let at = more.0.iter().position(|pair| is_same(pair.0, name))?;
        Some(Place(INLINE + at))
    }

    /// The record's name, with the id it was written under, and its first word.
    /// Another one's, or none, if some record has been removed or become shorter
    /// since it was found there.
    #[inline]
    pub(super) fn first(&self, Place(at): Place) -> (Name, u64) {
        let (name, word) = match at.checked_sub(INLINE) {
            None => self.pairs[at],
            Some(at) => {
                self.more.as_ref().and_then(|more| more.0.get(at)).copied().unwrap_or_default()
            }
        };
        (Name(name), word)
    }

    /// A further word of a record; 0 where there is none.
    #[inline]
    pub(super) fn part(&self, first: Place, part: usize) -> u64 {
        let (name, _) = self.first(first);
        self.place_of(first, name, part).map_or(0, |place| self.first(place).1)
    }

    /// Most parts are where they were put: right behind the first.
    #[inline]
    fn place_of(&self, Place(first): Place, name: Name, part: usize) -> Option<Place> {
        let (at, name) = (first + part, name.part(part));
        match self.pairs.get(at) {
            Some(pair) if pair.0 == name => Some(Place(at)),
            _ => self.find_part(name),
        }
    }

    fn pair_mut(&mut self, Place(at): Place) -> Option<&mut Pair> {
        match at.checked_sub(INLINE) {
            None => Some(&mut self.pairs[at]),
            Some(at) => self.more.as_mut().and_then(|more| more.0.get_mut(at)),
        }
    }

    /// Writes over all words of a record that has as many.
    #[inline]
    pub(super) fn rewrite(&mut self, first: Place, name: Name, words: &[u64]) {
        for (part, word) in words.iter().enumerate() {
            let place = if part == 0 { Some(first) } else { self.place_of(first, name, part) };
            if let Some(place) = place {
                self.rewrite_part(place, name.part(part), *word);
            }
        }
    }

    #[inline]
    fn rewrite_part(&mut self, place: Place, name: u64, word: u64) {
        if let Some(pair) = self.pair_mut(place) {
            *pair = (name, word);
        }
    }

    /// Writes a record. Returns whether it is new.
    pub(super) fn put(&mut self, name: Name, words: &[u64]) -> bool {
        let mut is_new = false;
        for (part, word) in words.iter().enumerate() {
            is_new |= self.put_part(name.part(part), *word) && part == 0;
        }
        self.remove_parts(name, words.len());
        is_new
    }

    fn put_part(&mut self, name: u64, word: u64) -> bool {
        let known = self.find_part(name);
        if let Some(place) = known {
            self.rewrite_part(place, name, word);
            return false;
        }
        if let Some(free) = self.pairs.iter_mut().find(|pair| pair.0 == 0) {
            *free = (name, word);
        } else {
            self.more.get_or_insert_with(|| Box::new(More(Vec::new()))).0.push((name, word));
        }
        true
    }

    /// Returns whether there was such a record.
    pub(super) fn remove(&mut self, name: Name) -> bool {
        self.remove_parts(name, 0)
    }

    fn remove_parts(&mut self, name: Name, from: usize) -> bool {
        let mut removed = false;
        for part in from.. {
            let Some(Place(at)) = self.find_part(name.part(part)) else { break };
            removed = true;
            let next = self.more.as_mut().and_then(|more| match at.checked_sub(INLINE) {
                // What was elsewhere moves up.
                None => more.0.pop(),
                Some(at) => {
                    more.0.swap_remove(at);
                    None
                }
            });
            if at < INLINE {
                self.pairs[at] = next.unwrap_or_default();
            }
        }
        if self.more.as_ref().is_some_and(|more| more.0.is_empty()) {
            self.more = None;
        }
        removed
    }

    /// The names of all records, and where each begins.
    pub(super) fn records(&self) -> impl Iterator<Item = (Name, Place)> + '_ {
        let more = self.more.iter().flat_map(|more| &more.0);
        let pairs = self.pairs.iter().chain(more).enumerate();
        let first = |pair: &(usize, &Pair)| pair.1.0 != 0 && pair.1.0 & PARTS == 0;
        pairs.filter(first).map(|(at, (name, _))| (Name(*name), Place(at)))
    }
}
