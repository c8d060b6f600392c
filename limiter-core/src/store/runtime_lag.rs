//! Runtime lag: how late the tasks of this process run. An answer that is late
//! while the runtime lags says nothing about the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The time between measurements of the lag while the server is called.
const TICK: Duration = Duration::from_millis(10);

/// A tick that comes that much too late is a lag.
const TOLERANCE: Duration = Duration::from_millis(20);

/// After so many ticks without a call nothing is measured until the next one.
const IDLE_TICKS: u32 = 100;

/// Measures the lag of the runtime that [`measure`](LagMeter::measure) runs on.
#[derive(Debug)]
pub(super) struct RuntimeLag(Arc<LagMeter>);

#[derive(Debug)]
pub(super) struct LagMeter {
    origin: Instant,
    /// True if anything was called since the last tick.
    called: AtomicBool,
    /// True while ticks are measured.
    measuring: AtomicBool,
    /// Microseconds from `origin` to the last tick, and to the last late one.
    last_tick: AtomicU64,
    last_late: AtomicU64,
    wake: Notify,
    ended: AtomicBool,
}

impl RuntimeLag {
    pub(super) fn new() -> Self {
        Self(Arc::new(LagMeter {
            origin: Instant::now(),
            called: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            last_tick: AtomicU64::new(0),
            last_late: AtomicU64::new(0),
            wake: Notify::new(),
            ended: AtomicBool::new(false),
        }))
    }

    /// Has the lag measured for the next second.
    pub(super) fn watch(&self) {
        if !self.0.called.load(Ordering::Relaxed) {
            self.0.called.store(true, Ordering::Relaxed);
            if !self.0.measuring.load(Ordering::Relaxed) {
                self.0.wake.notify_one();
            }
        }
    }

    /// Returns true if a tick within the last `period` was late, or one is overdue.
    pub(super) fn has_lagged_within(&self, period: Duration) -> bool {
        let meter = &self.0;
        let now = meter.micros();
        let since = |then: &AtomicU64| {
            Duration::from_micros(now.saturating_sub(then.load(Ordering::Relaxed)))
        };
        let late = meter.last_late.load(Ordering::Relaxed) > 0 && since(&meter.last_late) < period;
        let overdue =
            meter.measuring.load(Ordering::Relaxed) && since(&meter.last_tick) > TICK + TOLERANCE;
        late || overdue
    }

    /// The meter, for the task that measures.
    pub(super) fn meter(&self) -> Arc<LagMeter> {
        Arc::clone(&self.0)
    }
}

impl Drop for RuntimeLag {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }
}

impl LagMeter {
    /// Measures, as long as anything is called, until the meter's owner is dropped.
    pub(super) async fn measure(self: Arc<Self>) {
        while !self.ended.load(Ordering::Relaxed) {
            self.wake.notified().await;
            self.last_tick.store(self.micros(), Ordering::Relaxed);
            self.measuring.store(true, Ordering::Relaxed);
            let mut idle = 0;
            while idle < IDLE_TICKS && !self.ended.load(Ordering::Relaxed) {
                self.tick().await;
                idle = if self.called.swap(false, Ordering::Relaxed) { 0 } else { idle + 1 };
            }
            self.measuring.store(false, Ordering::Relaxed);
        }
    }

    async fn tick(&self) {
        let due = Instant::now() + TICK;
        tokio::time::sleep_until(due.into()).await;
        let now = self.micros();
        self.last_tick.store(now, Ordering::Relaxed);
        if due.elapsed() > TOLERANCE {
            self.last_late.store(now, Ordering::Relaxed);
        }
    }

    /// Notes a task that was woken, and has run so long after that as a late tick.
    pub(super) fn note_run(&self, after: Duration) {
        if after > TOLERANCE {
            self.last_late.store(self.micros(), Ordering::Relaxed);
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
