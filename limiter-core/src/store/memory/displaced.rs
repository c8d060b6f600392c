//! What displaced keys have used: a sketch of a segment, with an error to one
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
//! gcra      15 ticks, each 1/13 of the time in which a full bucket drains; the end says it all
//! windows    3 ticks, each a window; 5 levels, each a fifth of the limit
//! ```
//!
//! Cells age by themselves: those whose tick has come are emptied. A sketch is
//! made when the first key of its tick length is displaced, and is dropped when
//! all in it has ended. (A Bloom filter of two generations had the same share of
//! false hits in as many bits, and no amounts: each hit would then have started
//! from the most of all.)

use super::slot::Tag;
use crate::{
    algorithm::{State, Usage},
    quota::{Algorithm, Quota},
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
#[derive(Debug, Default)]
pub(super) struct DisplacedUsage(Vec<Sketch>);

impl DisplacedUsage {
    /// Remembers the usage of a counter's key.
    pub(super) fn insert(&mut self, tag: Tag, usage: &Usage) {
        let Some(state) = usage.state() else { return };
        let (grid, now) = (Grid::new(usage.quota()), usage.now());
        let at = match self.0.iter().position(|sketch| sketch.grid == grid) {
            Some(at) => at,
            None => {
                self.0.retain_mut(|sketch| sketch.age(now));
                self.0.push(Sketch::new(grid, now));
                self.0.len() - 1
            }
        };
        let sketch = &mut self.0[at];
        sketch.age(now);
        sketch.insert(tag, grid.mark(&state, usage));
    }

    /// Returns the most that a key may have used before it was displaced.
    pub(super) fn find(&mut self, tag: Tag, quota: &Quota, now: Timestamp) -> Option<Usage> {
        if self.0.is_empty() {
            return None;
        }
        let grid = Grid::new(quota);
        let at = self.0.iter().position(|sketch| sketch.grid == grid)?;
        if !self.0[at].age(now) {
            self.0.swap_remove(at);
            return None;
        }
        let mark = self.0[at].find(tag)?;
        Some(Usage::at(*quota, Some(grid.state(mark, quota, now)), now))
    }
}

/// How a sketch rounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Grid {
    /// Microseconds.
    tick: u64,
    /// Ticks that a cell tells apart.
    ring: u64,
}

/// What a cell says: at which tick the usage ends, and its level, from 0 on.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: u64,
    level: u64,
}

impl Grid {
    fn new(quota: &Quota) -> Self {
        match quota.algorithm() {
            Algorithm::Gcra => Self { tick: (drain(quota) + 1).div_ceil(CODES - 2), ring: CODES },
            Algorithm::FixedWindow | Algorithm::SlidingWindow => {
                Self { tick: quota.window_micros(), ring: 3 }
            }
        }
    }

    const fn levels(self) -> u64 {
        CODES / self.ring
    }

    const fn tick_of(self, now: Timestamp) -> u64 {
        now.as_micros() / self.tick
    }

    fn mark(self, state: &State, usage: &Usage) -> Mark {
        let quota = usage.quota();
        let window = quota.window_micros();
        let (used, end) = match *state {
            State::Gcra { tat, fraction, .. } => (0, tat.saturating_add(fraction.min(1))),
            State::FixedWindow { start, used } => (used, start.saturating_add(window)),
            // What has faded until now is gone; the rest counts as if it had been
            // used in the current window, so for longer.
            State::SlidingWindow { start, .. } => {
                (quota.limit() - usage.remaining(), start.saturating_add(2 * window))
            }
        };
        let levels = u128::from(used) * u128::from(self.levels());
        let level = levels.div_ceil(u128::from(quota.limit())).saturating_sub(1);
        let level = u64::try_from(level).unwrap_or(u64::MAX).min(self.levels() - 1);
        Mark { end: end.div_ceil(self.tick), level }
    }

    fn state(self, mark: Mark, quota: &Quota, now: Timestamp) -> State {
        let Mark { end, level } = mark;
        let units = u128::from(level + 1) * u128::from(quota.limit()) / u128::from(self.levels());
        let used = u64::try_from(units).unwrap_or(u64::MAX).max(1);
        let end = end.saturating_mul(self.tick);
        match quota.algorithm() {
            Algorithm::Gcra => {
                let most = now.as_micros().saturating_add(drain(quota));
                let (limit, burst) = (quota.limit(), quota.burst());
                State::Gcra { tat: end.min(most), fraction: 0, limit, burst }
            }
            Algorithm::FixedWindow => {
                State::FixedWindow { start: end.saturating_sub(self.tick), used }
            }
            Algorithm::SlidingWindow => {
                let start = end.saturating_sub(2 * self.tick);
                State::SlidingWindow { start, current: used, previous: 0 }
            }
        }
    }
}

/// Microseconds in which a full bucket drains, rounded down: what a displaced key
/// is remembered to have used is at most that.
fn drain(quota: &Quota) -> u64 {
    let full = u128::from(quota.burst()) * u128::from(quota.window_micros());
    u64::try_from(full / u128::from(quota.limit())).unwrap_or(u64::MAX / 2)
}

#[derive(Debug)]
struct Sketch {
    grid: Grid,
    /// The tick up to which cells have been emptied.
    at: u64,
    cells: Box<[u64; WORDS]>,
}

impl Sketch {
    fn new(grid: Grid, now: Timestamp) -> Self {
        Self { grid, at: grid.tick_of(now), cells: Box::new([0; WORDS]) }
    }

    /// Empties the cells whose end has come; false if all are empty.
    fn age(&mut self, now: Timestamp) -> bool {
        let ticks = self.grid.tick_of(now).saturating_sub(self.at);
        if ticks == 0 {
            return true;
        }
        if ticks >= self.grid.ring {
            self.cells.fill(0);
            self.at += ticks;
            return false;
        }
        for tick in self.at + 1..=self.at + ticks {
            for level in 0..self.grid.levels() {
                self.empty(self.code(Mark { end: tick, level }));
            }
        }
        self.at += ticks;
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

    fn insert(&mut self, tag: Tag, Mark { end, level }: Mark) {
        // No end is another, unless the clock has stepped back or the bucket was
        // more than full.
        let mark = Mark { end: end.clamp(self.at + 1, self.at + self.grid.ring - 1), level };
        for cell in cells_of(tag) {
            let known = self.read(cell);
            let most = known.map_or(mark, |known| Mark {
                end: known.end.max(mark.end),
                level: known.level.max(mark.level),
            });
            let (word, shift) = (cell / CELLS_OF_WORD, 4 * (cell % CELLS_OF_WORD));
            self.cells[word] &= !(0xf << shift);
            self.cells[word] |= self.code(most) << shift;
        }
    }

    fn find(&self, tag: Tag) -> Option<Mark> {
        let [one, other] = cells_of(tag).map(|cell| self.read(cell));
        let (one, other) = (one?, other?);
        Some(Mark { end: one.end.min(other.end), level: one.level.min(other.level) })
    }

    fn read(&self, cell: usize) -> Option<Mark> {
        let code = self.cells[cell / CELLS_OF_WORD] >> (4 * (cell % CELLS_OF_WORD)) & 0xf;
        let (ring, levels) = (self.grid.ring, self.grid.levels());
        let code = code.checked_sub(1)?;
        // Every end is one of the next `ring - 1` ticks.
        let ahead = (code / levels + ring - self.at % ring) % ring;
        Some(Mark { end: self.at + ahead, level: code % levels })
    }

    const fn code(&self, mark: Mark) -> u64 {
        1 + mark.end % self.grid.ring * self.grid.levels() + mark.level
    }
}

/// The hash in a tag is secret and even, but for its namespace: it is folded once
/// more, so that two counters of a key share no cells.
fn cells_of(tag: Tag) -> [usize; 2] {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let product = u128::from(tag.identity()).wrapping_mul(ODD);
    let folded = (product ^ product >> 64) as u64;
    [folded >> 54, folded >> 44].map(|bits| bits as usize % CELLS)
}

#[cfg(test)]
mod tests;
