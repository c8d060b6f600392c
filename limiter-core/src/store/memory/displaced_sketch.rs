//! Sketch of the usage of displaced keys, one for each segment, whose error is to one
//! side alone.
//!
//! A key that comes back after it was displaced must find what it has used, and
//! a key that is new should find nothing. So what a displaced key has used goes
//! into two cells of four bits, which its hash chooses of 1024 (512 bytes a
//! segment, 8 bytes a slot); a newcomer starts from the lesser of its two cells.
//! A cell keeps the most of all that went into it. So nobody ever finds less than
//! the truth: what is found is too much by the rounding, or where both cells
//! were taken by other keys.
//!
//! A cell says when the usage ends, as a tick modulo a ring, and how much it is:
//!
//! ```text
//! gcra       15 ticks, each 1/13 of the time in which a full bucket drains; the end says it all
//! fixed and
//! sliding     3 ticks, each a window; 5 levels, each a fifth of the limit
//! strict      5 ticks, each a third of a window and a segment; 3 levels
//! ```
//!
//! Cells age by themselves: those whose tick has come are emptied. A sketch is
//! made when the first key of its tick length is displaced, and is dropped when
//! all in it has ended. (A Bloom filter of two generations had the same share of
//! false hits in as many bits, and no amounts: each hit would then have started
//! from the most of all.)

use super::slot::Tag;
use crate::{
    algorithm::{Arithmetic, Ring, Usage, UsageBound},
    policy::CounterSpec,
    quota::Quota,
    time::Timestamp,
};

/// Words of 16 cells each.
const WORDS: usize = 64;
const CELLS_OF_WORD: usize = 16;
const CELLS: usize = WORDS * CELLS_OF_WORD;

/// A cell is empty, or one of so many codes.
const CODES: u64 = 15;

/// The sketches of a segment: one for each length of a tick that is in use, so
/// one for each window length of the quotas whose keys are displaced.
#[derive(Clone, Debug, Default)]
pub(super) struct DisplacedUsage(Vec<Sketch>);

impl DisplacedUsage {
    /// Remembers that a counter's key has used so much at most.
    pub(super) fn insert(
        &mut self,
        tag: Tag,
        &CounterSpec { quota, ring, .. }: &CounterSpec,
        bound: UsageBound,
        now: Timestamp,
    ) {
        let at = match self.0.iter().position(|sketch| sketch.ring == ring) {
            Some(at) => at,
            None => {
                self.0.retain_mut(|sketch| sketch.age(now));
                // Mostly it is the only one, and a vector begins with room for four.
                self.0.reserve_exact(1);
                self.0.push(Sketch::new(ring, now));
                self.0.len() - 1
            }
        };
        let sketch = &mut self.0[at];
        sketch.age(now);
        sketch.insert(tag, sketch.mark(bound, &quota));
    }

    /// Returns the most that a key may have used before it was displaced.
    pub(super) fn find<S: Arithmetic>(
        &mut self,
        tag: Tag,
        &CounterSpec { quota, ring, .. }: &CounterSpec,
        now: Timestamp,
    ) -> Option<Usage<S>> {
        let at = self.0.iter().position(|sketch| sketch.ring == ring)?;
        if !self.0[at].age(now) {
            self.0.swap_remove(at);
            return None;
        }
        let bound = self.0[at].find(tag, &quota)?;
        Some(Usage::from_bound(quota, bound, now))
    }
}

/// The content of a cell.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// In how many ticks the usage ends: 1 at least, and fewer than the ring has.
    ahead: u64,
    /// How much it is, from 0 on.
    level: u64,
}

#[derive(Clone, Debug)]
struct Sketch {
    ring: Ring,
    /// The tick up to which cells have been emptied, and its place in the ring.
    at: u64,
    place: u64,
    /// The instant at which that tick ends, in microseconds since the epoch.
    end: u64,
    cells: Box<[u64; WORDS]>,
}

// Cells are read and written without divisions, which took an eighth of a newcomer's check.
impl Sketch {
    fn new(ring: Ring, now: Timestamp) -> Self {
        debug_assert!(ring.ticks * ring.levels <= CODES, "a cell has four bits");
        let cells = Box::new([0; WORDS]);
        let mut sketch = Self { ring, at: 0, place: 0, end: 0, cells };
        sketch.set_at(now.as_micros() / ring.tick);
        sketch
    }

    fn set_at(&mut self, tick: u64) {
        (self.at, self.place) = (tick, tick % self.ring.ticks);
        self.end = tick.saturating_add(1).saturating_mul(self.ring.tick);
    }

    /// Empties the cells whose end has come; false if all are empty.
    fn age(&mut self, now: Timestamp) -> bool {
        if now.as_micros() < self.end {
            return true;
        }
        let (before, at) = (self.at, now.as_micros() / self.ring.tick);
        // The last tick of a clock has no end.
        if at == before {
            return true;
        }
        self.set_at(at);
        if at - before >= self.ring.ticks {
            self.cells.fill(0);
            return false;
        }
        for tick in before + 1..=at {
            for level in 0..self.ring.levels {
                self.empty(self.code(tick % self.ring.ticks, level));
            }
        }
        self.cells.iter().any(|word| *word != 0)
    }

    /// Empties all cells of that code, 16 at a time.
    fn empty(&mut self, code: u64) {
        const ONES: u64 = 0x1111_1111_1111_1111;
        for word in self.cells.iter_mut() {
            let other = *word ^ (code * ONES);
            let differs = (other | other >> 1 | other >> 2 | other >> 3) & ONES;
            *word &= differs * 0xf;
        }
    }

    /// Rounds a bound up.
    fn mark(&self, bound: UsageBound, quota: &Quota) -> Mark {
        let Ring { tick, ticks, levels } = self.ring;
        // No end is another, unless the clock has stepped back or the bucket was more than
        // full.
        let ahead = bound.until.div_ceil(tick).saturating_sub(self.at).clamp(1, ticks - 1);
        if levels == 1 {
            return Mark { ahead, level: 0 };
        }
        let level = u128::from(bound.used) * u128::from(levels);
        let level = level.div_ceil(u128::from(quota.limit())).saturating_sub(1);
        let level = u64::try_from(level).unwrap_or(u64::MAX).min(levels - 1);
        Mark { ahead, level }
    }

    fn bound(&self, Mark { ahead, level }: Mark, quota: &Quota) -> UsageBound {
        let Ring { tick, levels, .. } = self.ring;
        let until = self.at.saturating_add(ahead).saturating_mul(tick);
        if level + 1 == levels {
            return UsageBound { used: quota.limit(), until };
        }
        let units = u128::from(level + 1) * u128::from(quota.limit()) / u128::from(levels);
        UsageBound { used: u64::try_from(units).unwrap_or(u64::MAX).max(1), until }
    }

    fn insert(&mut self, tag: Tag, mark: Mark) {
        for cell in cells_of(tag) {
            let known = self.read(cell);
            let most = known.map_or(mark, |known| Mark {
                ahead: known.ahead.max(mark.ahead),
                level: known.level.max(mark.level),
            });
            let place = self.place + most.ahead;
            let place = if place < self.ring.ticks { place } else { place - self.ring.ticks };
            let (word, shift) = (cell / CELLS_OF_WORD, 4 * (cell % CELLS_OF_WORD));
            self.cells[word] &= !(0xf << shift);
            self.cells[word] |= self.code(place, most.level) << shift;
        }
    }

    fn find(&self, tag: Tag, quota: &Quota) -> Option<UsageBound> {
        let [one, other] = cells_of(tag);
        let (one, other) = (self.read(one)?, self.read(other)?);
        let least = Mark { ahead: one.ahead.min(other.ahead), level: one.level.min(other.level) };
        Some(self.bound(least, quota))
    }

    fn read(&self, cell: usize) -> Option<Mark> {
        let code = self.cells[cell / CELLS_OF_WORD] >> (4 * (cell % CELLS_OF_WORD)) & 0xf;
        let ticks = self.ring.ticks;
        let (mut place, mut level) = (code.checked_sub(1)?, 0);
        while place >= ticks {
            (place, level) = (place - ticks, level + 1);
        }
        let ahead = if place > self.place { place } else { place + ticks } - self.place;
        Some(Mark { ahead, level })
    }

    /// Returns the code of a usage that ends at that place of the ring.
    const fn code(&self, place: u64, level: u64) -> u64 {
        1 + place + self.ring.ticks * level
    }
}

/// The hash in a tag is secret and even, but for its namespace: it is folded once
/// more, so that two counters of a key share no cells.
fn cells_of(tag: Tag) -> [usize; 2] {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let product = u128::from(tag.identity()).wrapping_mul(ODD);
    let folded = (product ^ product >> 64) as u64;
    [(folded >> 54) as usize % CELLS, (folded >> 44) as usize % CELLS]
}

#[cfg(test)]
mod tests;
