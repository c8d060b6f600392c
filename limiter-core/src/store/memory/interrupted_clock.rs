//! A clock for tests of what happens between two steps of a check.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use crate::{ManualClock, Timestamp, time::Clock};

type Interruption = Box<dyn FnOnce() + Send>;

/// A clock that is interrupted once, between its reading and its answer.
#[derive(Clone)]
pub(super) struct InterruptedClock {
    pub(super) time: ManualClock,
    next: Arc<Mutex<Option<Interruption>>>,
}

impl InterruptedClock {
    pub(super) fn interrupt_next(&self, by: impl FnOnce() + Send + 'static) {
        *self.next.lock().unwrap() = Some(Box::new(by));
    }
}

impl Default for InterruptedClock {
    fn default() -> Self {
        let time = ManualClock::new(Timestamp::from_micros(1_000_000_000));
        Self { time, next: Arc::default() }
    }
}

impl fmt::Debug for InterruptedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time.fmt(f)
    }
}

impl Clock for InterruptedClock {
    fn now(&self) -> Timestamp {
        let now = self.time.now();
        let interruption = self.next.lock().unwrap().take();
        interruption.into_iter().for_each(|interrupt| interrupt());
        now
    }
}
