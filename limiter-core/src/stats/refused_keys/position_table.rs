//! The positions of a summary's entries by the digests of their keys: an open-addressed
//! table with linear probing, which is half full at most.
//!
//! Removal moves the places behind it up, so that no mark of a removed one is left: under
//! a flood of new keys each takes the place of another, and a `HashMap` was built anew
//! every few hundred of them.

/// The most digests.
pub(super) const CAPACITY: usize = 256;

const PLACES: usize = 2 * CAPACITY;

/// 5 KiB, in a box, since it is moved with its slice.
#[derive(Debug)]
pub(super) struct PositionTable(Box<Places>);

#[derive(Debug)]
struct Places {
    digests: [u64; PLACES],
    /// Beside each digest its position and one; 0 where there is none.
    positions: [u16; PLACES],
}

impl Default for PositionTable {
    fn default() -> Self {
        Self(Box::new(Places { digests: [0; PLACES], positions: [0; PLACES] }))
    }
}

impl PositionTable {
    /// The bytes that it takes.
    #[cfg(test)]
    pub(super) const SIZE: usize = size_of::<Places>();

    #[inline]
    pub(super) fn get(&self, digest: u64) -> Option<usize> {
        let position = self.0.positions[self.find(digest)];
        usize::from(position).checked_sub(1)
    }

    /// Inserts a digest that is not there. The caller removes one first if there are
    /// [`CAPACITY`] of them.
    pub(super) fn insert(&mut self, digest: u64, position: usize) {
        let at = self.find(digest);
        self.0.digests[at] = digest;
        self.0.positions[at] = position as u16 + 1;
    }

    /// Removes a digest that is there. One behind it whose search would end at the gap moves
    /// into it.
    pub(super) fn remove(&mut self, digest: u64) {
        let mut gap = self.find(digest);
        let Places { digests, positions } = &mut *self.0;
        let mut at = next(gap);
        while positions[at] > 0 {
            if distance(home(digests[at]), at) >= distance(gap, at) {
                (digests[gap], positions[gap]) = (digests[at], positions[at]);
                gap = at;
            }
            at = next(at);
        }
        positions[gap] = 0;
    }

    /// Returns the place of a digest, or the free one that ends the search for it.
    #[inline]
    fn find(&self, digest: u64) -> usize {
        let Places { digests, positions } = &*self.0;
        let mut at = home(digest);
        while positions[at] > 0 && digests[at] != digest {
            at = next(at);
        }
        at
    }
}

/// The place at which the search for a digest begins.
const fn home(digest: u64) -> usize {
    digest as usize % PLACES
}

const fn next(at: usize) -> usize {
    (at + 1) % PLACES
}

/// How many steps it is from one place to another.
const fn distance(from: usize, to: usize) -> usize {
    (to + PLACES - from) % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Digests whose homes are few, so that they are in each other's way, at both ends of
    /// the table.
    #[test]
    fn it_is_a_map() {
        let (mut table, mut map) = (PositionTable::default(), HashMap::new());
        for n in 0..20_000_u64 {
            let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let digest = (random % 11).wrapping_sub(5) ^ (random % 97) << 32;
            if map.remove(&digest).is_some() {
                table.remove(digest);
            } else if map.len() < CAPACITY {
                table.insert(digest, usize::from(n as u8));
                map.insert(digest, usize::from(n as u8));
            }
            assert_eq!(table.get(digest), map.get(&digest).copied());
        }
        assert!(map.len() > 100, "{}", map.len());
        assert!(map.iter().all(|(digest, at)| table.get(*digest) == Some(*at)));
    }
}
