//! Keyed hash of a key: [`Key::keyed_hash`].
//!
//! Keys of less than 64 bytes, which are nearly all, are hashed by vector
//! multiply-shift (Dietzfelbinger, 1996) under random coefficients of 128 bits: two
//! different keys meet with a chance of `2^-64`, whoever has chosen them. A mixer then spreads keys that follow each other, as addresses do, which a
//! linear hash may put side by side. It takes a quarter of the instructions of
//! SipHash, by which longer keys are hashed.

use std::{
    array,
    hash::{BuildHasher, Hasher, RandomState},
    sync::LazyLock,
};

use super::Key;

/// Words of the longest key that is hashed by coefficients.
const WORDS: usize = 8;

impl Key {
    /// Returns its hash under a secret of this process. It is the same for all that hash
    /// keys, so that whoever has it can hand it on.
    #[inline]
    pub(crate) fn keyed_hash(&self) -> u64 {
        static HASHER: LazyLock<InMemoryHasher> = LazyLock::new(InMemoryHasher::default);
        HASHER.hash(self)
    }
}

/// Hashes keys under a secret of its own.
#[derive(Debug)]
struct InMemoryHasher {
    /// One that is added, and one for each word.
    coefficients: [u128; WORDS + 1],
    long: RandomState,
}

impl Default for InMemoryHasher {
    /// Returns a hasher with a secret of its own.
    fn default() -> Self {
        let long = RandomState::new();
        let half = |n: usize| u128::from(long.hash_one(n));
        let coefficients = array::from_fn(|n| half(2 * n) << 64 | half(2 * n + 1));
        Self { coefficients, long }
    }
}

impl InMemoryHasher {
    #[inline]
    fn hash(&self, key: &Key) -> u64 {
        match key.only_word() {
            Some(word) => self.hash_words(&[], word),
            None => self.hash_any(key),
        }
    }

    #[inline(never)]
    fn hash_any(&self, key: &Key) -> u64 {
        let (words, last) = key.words();
        if words.len() < WORDS {
            self.hash_words(words, last)
        } else {
            self.hash_long(key.as_bytes())
        }
    }

    /// Hashes whole words and the last one, which tells how many bytes there are.
    #[inline]
    fn hash_words(&self, words: &[[u8; 8]], last: u64) -> u64 {
        let [first, others @ ..] = &self.coefficients;
        let term = |word: u64, at: usize| others[at].wrapping_mul(word.into());
        let sum = first.wrapping_add(term(last, words.len()));
        let sum = words
            .iter()
            .enumerate()
            .fold(sum, |sum, (at, word)| sum.wrapping_add(term(u64::from_le_bytes(*word), at)));
        mix((sum >> 64) as u64)
    }

    #[cold]
    fn hash_long(&self, bytes: &[u8]) -> u64 {
        // A key's bytes say themselves where they end.
        let mut hasher = self.long.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

/// Stafford's variant 13 of the finalizer of MurmurHash3: a bijection, so that it makes
/// no two digests one.
#[inline]
pub(crate) const fn mix(sum: u64) -> u64 {
    let sum = (sum ^ sum >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let sum = (sum ^ sum >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    sum ^ sum >> 31
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, net::Ipv4Addr};

    use super::*;

    /// Addresses in sequence, of each end of an address, under many secrets: no part of a
    /// table gets a third more than its share.
    #[test]
    fn addresses_in_sequence_are_spread() {
        const KEYS: u32 = 1 << 16;
        const PARTS: usize = 64;
        for _ in 0..50 {
            let hasher = InMemoryHasher::default();
            for shift in [0, 8, 16] {
                let (mut high, mut low) = ([0; PARTS], [0; PARTS]);
                for n in 0..KEYS {
                    let digest = hasher.hash(&Key::ip(Ipv4Addr::from(n << shift).into()));
                    high[(digest >> 58) as usize] += 1;
                    low[digest as usize % PARTS] += 1;
                }
                let most = KEYS / PARTS as u32 * 4 / 3;
                assert!(high.iter().chain(&low).all(|count| *count < most), "{high:?} {low:?}");
            }
        }
    }

    #[test]
    fn keys_of_every_length_differ() {
        let hasher = InMemoryHasher::default();
        let texts = (0..200).map(|length| "a".repeat(length));
        let keys = texts.flat_map(|text| {
            let zeros = Key::endpoint("GET", &text.replace('a', "\0"));
            [Key::endpoint("GET", &text), zeros, Key::custom("plan", &text)]
        });
        let keys: Vec<Key> = keys.collect();
        let digests: HashSet<u64> = keys.iter().map(|key| hasher.hash(key)).collect();
        let distinct: HashSet<&[u8]> = keys.iter().map(Key::as_bytes).collect();
        assert_eq!(digests.len(), distinct.len());
    }
}
