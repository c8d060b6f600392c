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

/// What a thread has read last, in nanoseconds since the anchor, and where the
/// counter stood then.
#[derive(Clone, Copy)]
struct Reading {
    nanos: u64,
    counter: u64,
    told: u64,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        static ANCHOR: OnceLock<Anchor> = OnceLock::new();
        thread_local! {
            static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
        }
        let anchor = ANCHOR.get_or_init(Anchor::cast);
        let reading = anchor.read(LAST.get());
        LAST.set(Some(reading));
        anchor.at.after_micros(reading.told / 1_000)
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
    fn read(&self, last: Option<Reading>) -> Reading {
        let counter = self.counter.raw();
        if let Some(last) = last {
            let since = self.counter.delta_as_nanos(last.counter, counter);
            if since < FRESH {
                return Reading { told: last.told.max(last.nanos + since), ..last };
            }
        }
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Reading { nanos, counter, told: last.map_or(nanos, |last| last.told.max(nanos)) }
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
