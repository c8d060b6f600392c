//! The host's clock, at half its cost.

use std::{
    cell::Cell,
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{Clock, Timestamp, micros};

/// The host's clock: its wall clock read once, then counted on by the monotonic
/// one, and between two readings of that by the processor's counter.
///
/// All clocks of a process share the anchor, and on no thread does one ever step
/// backwards. A step of the host's wall clock (NTP, a suspended machine) after
/// the start is therefore not followed, which is what a counter wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How long the processor's counter is followed, in nanoseconds. It may run a
/// few millionths fast or slow: within this time, nanoseconds.
const FRESH: u64 = 1_000_000;

struct Anchor {
    counter: quanta::Clock,
    start: Instant,
    at: Timestamp,
}

/// What a thread has read last of the host's clock, and where the counter stood
/// then; and what it has told since. In nanoseconds since the anchor.
struct Reading {
    nanos: Cell<u64>,
    /// 0 before the first reading.
    counter: Cell<u64>,
    told: Cell<u64>,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        static ANCHOR: OnceLock<Anchor> = OnceLock::new();
        thread_local! {
            static LAST: Reading = const { Reading::new() };
        }
        let anchor = ANCHOR.get_or_init(Anchor::cast);
        anchor.at.after_micros(LAST.with(|last| anchor.read(last)) / 1_000)
    }
}

impl Anchor {
    fn cast() -> Self {
        // A host whose clock stands before 1970 counts from 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            counter: quanta::Clock::new(),
            start: Instant::now(),
            at: Timestamp(micros(wall.unwrap_or_default())),
        }
    }

    #[inline]
    fn read(&self, last: &Reading) -> u64 {
        let counter = self.counter.raw();
        let since = self.counter.delta_as_nanos(last.counter.get(), counter);
        if since >= FRESH || last.counter.get() == 0 {
            return self.ask_host(last, counter);
        }
        last.tell(last.nanos.get() + since)
    }

    #[cold]
    fn ask_host(&self, last: &Reading, counter: u64) -> u64 {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        last.nanos.set(nanos);
        last.counter.set(counter);
        last.tell(nanos)
    }
}

impl Reading {
    const fn new() -> Self {
        Self { nanos: Cell::new(0), counter: Cell::new(0), told: Cell::new(0) }
    }

    /// Never less than before.
    #[inline]
    fn tell(&self, nanos: u64) -> u64 {
        let told = self.told.get().max(nanos);
        self.told.set(told);
        told
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Through many readings of the host's clock, and what lies between.
    #[test]
    fn it_goes_as_the_hosts_clock_and_never_back() {
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
        let told = SystemClock.now().since(first);
        let slack = Duration::from_micros(100);
        assert!(told + slack >= before && told <= start.elapsed() + slack, "{told:?} {before:?}");
    }
}
