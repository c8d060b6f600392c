//! Circuit breaker of one server: a server that fails is not called, so that no
//! request waits for it (M. Nygard, "Release It!", 2007).
//!
//! It learns from calls to the server only: from their errors, and from the time
//! between handing a call to the connection and its answer. Time that a request
//! waits in a queue of this process is not counted, nor is an answer that is late
//! while this process itself lags.
//!
//! ```text
//!           failures                    a probe succeeds
//! closed ------------> open (probes) --------------------> probation
//!    ^                  ^                                   |    |
//!    |                  '------ failures: a longer pause ---'    |
//!    '---------------------- a second without failures ----------'
//! ```
//! Health and log report an outage from opening to closing, so that a server whose
//! probes succeed while calls fail (a part of its tables cannot be written) is one
//! outage, however often calls are tried. A server whose probes failed before they
//! succeeded is reported as healthy at once.

mod call_guard;
mod outage_events;
mod settings;
mod state;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) use self::settings::BreakerSettings;
#[cfg(feature = "_shared")]
pub(super) use self::settings::PROBATION;
use self::{
    call_guard::CallGuard,
    outage_events::{OutageEvents, Report},
    state::{Permission, State},
};
use super::health::ServerHealth;
#[cfg(feature = "_shared")]
use super::runtime_lag::RuntimeLag;
use crate::{error::StoreError, events::StoreObservers, stats::store_calls::CallCounters};

/// A call that takes that much longer than its timeout shows that this process
/// lags: no timer of the runtime has run in time.
pub(super) const LAG: Duration = Duration::from_millis(20);

/// Decides whether a server is called.
pub(crate) struct CircuitBreaker {
    server: String,
    /// The longest time that a call may take.
    timeout: Duration,
    /// True if the state is closed and no call has failed of late. Then nothing
    /// else is looked at.
    calm: AtomicBool,
    /// Microseconds from `origin` to the last answer of the server.
    last_answer: AtomicU64,
    origin: Instant,
    /// True if a task probes the server. Without one, a call is let through from
    /// time to time.
    has_prober: AtomicBool,
    state: Mutex<State>,
    outage_events: Mutex<OutageEvents>,
    observers: Arc<StoreObservers>,
    calls: CallCounters,
    /// Notified when the breaker opens, and when it is dropped.
    #[cfg(feature = "_shared")]
    opened: Arc<tokio::sync::Notify>,
    #[cfg(feature = "_shared")]
    lag: RuntimeLag,
}

impl CircuitBreaker {
    /// A closed breaker.
    pub(crate) fn new(server: impl Into<String>, settings: &BreakerSettings) -> Arc<Self> {
        let timeout = settings.timeout;
        Arc::new(Self {
            server: server.into(),
            timeout,
            calm: AtomicBool::new(true),
            last_answer: AtomicU64::new(0),
            origin: Instant::now(),
            has_prober: AtomicBool::new(false),
            state: Mutex::new(State::new(timeout)),
            outage_events: Mutex::default(),
            observers: Arc::clone(&settings.observers),
            calls: CallCounters::default(),
            #[cfg(feature = "_shared")]
            opened: Arc::default(),
            #[cfg(feature = "_shared")]
            lag: RuntimeLag::new(),
        })
    }

    /// Says whether the server may be called.
    ///
    /// # Errors
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) while the breaker is
    /// open.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.calm.load(Ordering::Relaxed) { Ok(()) } else { self.check_state() }
    }

    #[cold]
    fn check_state(&self) -> Result<(), StoreError> {
        let probes_itself = !self.has_prober.load(Ordering::Relaxed);
        match self.state().permission(Instant::now(), probes_itself) {
            Permission::Call => Ok(()),
            Permission::Reject(error) => Err(error),
        }
    }

    /// Returns true if it is closed, and no call has failed of late.
    #[cfg(feature = "_shared")]
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Notes that a call is handed to the connection now, on the runtime of the prober.
    pub(crate) fn start_call(&self) -> CallGuard<'_> {
        #[cfg(feature = "_shared")]
        return self.start_call_on(&self.lag);
        #[cfg(not(feature = "_shared"))]
        CallGuard { breaker: self, sent: Instant::now() }
    }

    /// Notes that a call is handed to the connection now, on the runtime of that lag.
    #[cfg(feature = "_shared")]
    pub(super) fn start_call_on<'a>(&'a self, lag: &'a RuntimeLag) -> CallGuard<'a> {
        lag.watch();
        CallGuard { breaker: self, sent: Instant::now(), lag }
    }

    /// Returns true if the server has answered any call, be it with an error, since `then`.
    #[cfg(feature = "_shared")]
    pub(crate) fn has_answered_since(&self, then: Instant) -> bool {
        self.last_answer() > then
    }

    /// The health, as reported.
    pub(crate) fn health(&self) -> ServerHealth {
        let health = self.state().health();
        ServerHealth { server: self.server.clone(), health, calls: self.calls.snapshot() }
    }

    /// The counters of the calls to the server.
    #[cfg(feature = "_shared")]
    pub(crate) const fn calls(&self) -> &CallCounters {
        &self.calls
    }

    fn last_answer(&self) -> Instant {
        self.origin + Duration::from_micros(self.last_answer.load(Ordering::Relaxed))
    }

    fn note_answer(&self, now: Instant) {
        let micros = now.saturating_duration_since(self.origin).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.last_answer.store(micros, Ordering::Relaxed);
    }

    #[cold]
    fn succeeded_after_failures(&self, now: Instant) {
        let mut state = self.state();
        if self.has_prober.load(Ordering::Relaxed) {
            state.call_succeeded(now);
        } else {
            state.probe_succeeded(now);
        }
        self.publish(state);
    }

    #[cold]
    fn failed(&self, sent: Instant, now: Instant, error: &StoreError) {
        let mut state = self.state();
        let was_open = state.is_open();
        state.call_failed(sent, now, error);
        if was_open && !self.has_prober.load(Ordering::Relaxed) {
            state.probe_failed(now, error);
        }
        #[cfg(feature = "_shared")]
        if state.is_open() && !was_open {
            self.opened.notify_one();
        }
        self.publish(state);
    }

    /// Makes a change of the state known to other threads and to observers, which are
    /// called without any lock. Returns whether there is nothing left to report.
    fn publish(&self, state: MutexGuard<'_, State>) -> bool {
        self.calm.store(state.is_calm(), Ordering::Relaxed);
        let health = state.health();
        drop(state);
        let mut events = self.outage_events.lock().unwrap_or_else(PoisonError::into_inner);
        let report = events.report(&self.server, &health);
        drop(events);
        if let Report::Now(event) = &report {
            self.observers.emit(event);
        }
        !matches!(report, Report::Later)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operations of the prober.
#[cfg(feature = "_shared")]
impl CircuitBreaker {
    /// Notes that a task probes the server from now on.
    pub(super) fn set_prober(&self) {
        self.has_prober.store(true, Ordering::Relaxed);
    }

    /// Returns the notification that the breaker has opened, or was dropped.
    pub(super) fn opened(&self) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.opened)
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().is_open()
    }

    pub(super) fn probe_succeeded(&self) {
        let mut state = self.state();
        state.probe_succeeded(Instant::now());
        self.publish(state);
    }

    pub(super) fn probe_failed(&self, error: &StoreError) {
        let mut state = self.state();
        state.probe_failed(Instant::now(), error);
        // An outage that began within a second of another's event is reported now.
        self.publish(state);
    }

    /// Closes the breaker if its probation is over. Returns whether it is open
    /// again, or is closed and in the log.
    pub(super) fn is_settled(&self) -> bool {
        let mut state = self.state();
        state.tick(Instant::now());
        let (is_open, is_closed) = (state.is_open(), state.is_closed());
        let is_reported = self.publish(state);
        is_open || is_closed && is_reported
    }

    /// The lag of the runtime that the prober runs on.
    pub(super) const fn lag(&self) -> &RuntimeLag {
        &self.lag
    }
}

#[cfg(feature = "_shared")]
impl Drop for CircuitBreaker {
    fn drop(&mut self) {
        self.opened.notify_one();
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.health().fmt(f)
    }
}

#[cfg(test)]
mod tests;
