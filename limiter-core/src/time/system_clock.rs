//! The system clock, cached per thread: the processor's counter is read instead of
//! the OS clock for up to a millisecond, at half the cost.

use std::{
    cell::Cell,
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{Clock, Timestamp};

/// The clock of the operating system: the wall clock is read once, at the first use;
/// from then on the monotonic clock is added to it, and between two readings of the
/// monotonic clock the processor's counter.
///
/// All instances of a process share that first reading, and no thread ever sees the
/// time step backwards. A later step of the wall clock (NTP, a suspended machine) is
/// not followed: a step back would lock clients out, a step forward would free them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The longest time for which the processor's counter is trusted after a reading of the OS clock, in
/// nanoseconds. The counter may run a few millionths fast or slow, which adds up to
/// nanoseconds in this time.
const MAX_COUNTER_AGE: u64 = 1_000_000;

struct Anchor {
    counter: quanta::Clock,
    start: Instant,
    /// When that was, in nanoseconds since 1970.
    nanos: u64,
}

/// Per-thread cache: the last reading of the OS clock, the processor's counter at that
/// moment, and the latest time returned. Nanoseconds since 1970.
struct ThreadCache {
    nanos: Cell<u64>,
    /// 0 before the first reading.
    counter: Cell<u64>,
    latest: Cell<u64>,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        static ANCHOR: OnceLock<Anchor> = OnceLock::new();
        thread_local! {
            static CACHE: ThreadCache = const { ThreadCache::new() };
        }
        let anchor = ANCHOR.get_or_init(Anchor::new);
        Timestamp(CACHE.with(|cache| anchor.read(cache)) / 1_000)
    }
}

impl Anchor {
    fn new() -> Self {
        // A host whose clock stands before 1970 counts from 1970, and one whose clock stands
        // behind 2262 from 2262, so that nanoseconds have room.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            counter: quanta::Clock::new(),
            start: Instant::now(),
            nanos: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 2),
        }
    }

    #[inline]
    fn read(&self, cache: &ThreadCache) -> u64 {
        let counter = self.counter.raw();
        let age = self.counter.delta_as_nanos(cache.counter.get(), counter);
        if age >= MAX_COUNTER_AGE || cache.counter.get() == 0 {
            return self.read_os_clock(cache, counter);
        }
        cache.never_back(cache.nanos.get() + age)
    }

    #[cold]
    fn read_os_clock(&self, cache: &ThreadCache, counter: u64) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let nanos = self.nanos.saturating_add(elapsed);
        cache.nanos.set(nanos);
        cache.counter.set(counter);
        cache.never_back(nanos)
    }
}

impl ThreadCache {
    const fn new() -> Self {
        Self { nanos: Cell::new(0), counter: Cell::new(0), latest: Cell::new(0) }
    }

    /// Returns the time, or the latest one returned before if that is later.
    #[inline]
    fn never_back(&self, nanos: u64) -> u64 {
        let latest = self.latest.get().max(nanos);
        self.latest.set(latest);
        latest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Spans many readings of the OS clock.
    #[test]
    fn it_follows_the_os_clock_and_never_steps_back() {
        // The first reading of all measures the processor's counter.
        SystemClock.now();
        let (start, first) = (Instant::now(), SystemClock.now());
        let mut last = first;
        while start.elapsed() < Duration::from_millis(30) {
            let now = SystemClock.now();
            assert!(now >= last);
            last = now;
        }
        let before = start.elapsed();
        let passed = SystemClock.now().since(first);
        let slack = Duration::from_micros(100);
        assert!(
            passed + slack >= before && passed <= start.elapsed() + slack,
            "{passed:?}, {before:?}"
        );
    }
}
