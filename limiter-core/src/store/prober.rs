//! Prober: a background task that probes a server while its circuit breaker is
//! open, so that recovery needs no traffic.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
    time::Duration,
};

use futures_core::future::BoxFuture;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::circuit_breaker::{CircuitBreaker, PROBATION};
use crate::error::StoreError;

/// The time from one probe to the next: it doubles with every probe that fails, up
/// to the longest, and is up to a quarter shorter or longer, so that the servers of
/// an application do not probe all at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// Failed probes after which the connection is made anew before each further one:
/// no client library is trusted to notice that its connection is dead.
const FAILURES_BEFORE_RECONNECT: u32 = 3;

/// The longest time of a probe, in timeouts of a call: it makes several.
const PROBE_TIMEOUT: u32 = 8;

/// The longest time to connect.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The time until a line for the log is tried again that had to wait.
const LOG_INTERVAL: Duration = Duration::from_millis(250);

/// The calls that a prober makes to one server.
pub(super) trait Probe: Send + Sync {
    /// Does what a check does: decides, writes, reads back and removes.
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Throws the connection away, and makes a new one.
    fn reconnect(&self) -> BoxFuture<'_, ()>;
}

/// Starts the prober of a server on the runtime of the caller. It ends once the
/// breaker or the probe is dropped everywhere else.
///
/// # Panics
/// Outside of a Tokio runtime.
pub(super) fn spawn_prober(breaker: &Arc<CircuitBreaker>, probe: &Arc<dyn Probe>) {
    breaker.set_prober();
    tokio::spawn(breaker.lag().meter().measure());
    let opened = breaker.opened();
    let (breaker, probe) = (Arc::downgrade(breaker), Arc::downgrade(probe));
    tokio::spawn(async move {
        loop {
            opened.notified().await;
            if serve_outage(&breaker, &probe).await.is_none() {
                return;
            }
        }
    });
}

/// Probes until the breaker is closed, and writes to the log. `None` once the
/// store is gone.
async fn serve_outage(breaker: &Weak<CircuitBreaker>, probe: &Weak<dyn Probe>) -> Option<()> {
    let (mut pause, mut failures) = (FIRST_PAUSE, 0);
    sleep(jittered(pause)).await;
    while breaker.upgrade()?.is_open() {
        let next = Instant::now() + jittered(pause);
        if probe_once(&*breaker.upgrade()?, &*probe.upgrade()?, failures).await {
            failures = 0;
        } else {
            failures += 1;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        if breaker.upgrade()?.is_open() {
            sleep_until(next).await;
        }
    }
    sleep(PROBATION).await;
    while !breaker.upgrade()?.is_settled() {
        sleep(LOG_INTERVAL).await;
    }
    Some(())
}

/// Probes once, over a new connection after several failures. Returns whether the
/// server did its part.
async fn probe_once(breaker: &CircuitBreaker, probe: &dyn Probe, failures: u32) -> bool {
    if failures >= FAILURES_BEFORE_RECONNECT {
        // An attempt that takes longer fails, and so does the probe.
        let _ = timeout(RECONNECT_TIMEOUT, probe.reconnect()).await;
    }
    let answer = timeout(PROBE_TIMEOUT * breaker.timeout(), probe.probe()).await;
    match answer.unwrap_or_else(|_| Err(StoreError::new("it does not answer"))) {
        Ok(()) => breaker.probe_succeeded(),
        Err(error) => {
            breaker.probe_failed(&error);
            return false;
        }
    }
    true
}

/// Three quarters to five quarters of it.
fn jittered(pause: Duration) -> Duration {
    let percent = 75 + RandomState::new().hash_one(0) % 51;
    pause * u32::try_from(percent).unwrap_or(100) / 100
}
