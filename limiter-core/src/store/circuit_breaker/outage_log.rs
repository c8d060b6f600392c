//! Log lines of outages: one when a server becomes unavailable, one when it is
//! back, and never more than one a second in the whole process.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::store::Health;

const INTERVAL: Duration = Duration::from_secs(1);

/// What was written last about one server.
#[derive(Debug, Default)]
pub(super) struct OutageLog {
    /// When the outage began that was written about, until its end is written.
    written: Option<SystemTime>,
}

impl OutageLog {
    /// Writes a line if the health has changed since the last one. Returns whether
    /// there is nothing left to write: a line has to wait for its second.
    pub(super) fn write(&mut self, server: &str, health: &Health) -> bool {
        let (since, reason) = match (health, self.written) {
            (Health::Healthy, None) | (Health::Degraded { .. }, Some(_)) => return true,
            (Health::Healthy, Some(since)) => (since, None),
            (Health::Degraded { since, reason }, None) => (*since, Some(reason)),
        };
        if !may_write() {
            return false;
        }
        if let Some(reason) = reason {
            tracing::error!(
                server,
                reason,
                "the store is unavailable; policies apply on_store_error"
            );
            self.written = Some(since);
        } else {
            let outage = SystemTime::now().duration_since(since).unwrap_or_default();
            tracing::info!(server, ?outage, "the store is available again");
            self.written = None;
        }
        true
    }
}

/// Whether no line was written for a second. Then the caller writes one.
fn may_write() -> bool {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let millis = ORIGIN.get_or_init(Instant::now).elapsed().as_millis();
    let now = u64::try_from(millis).unwrap_or(u64::MAX);
    let next = now.saturating_add(u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX));
    let free = |due: u64| (due <= now).then_some(next);
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
}
