//! Events of outages: one when a server becomes unavailable, one when it is back, and
//! never more than one a second in the whole process.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::{events::Event, store::Health};

const INTERVAL: Duration = Duration::from_secs(1);

/// The last report about one server.
#[derive(Debug, Default)]
pub(super) struct OutageEvents {
    /// When the outage began that was reported, until its end is reported.
    reported: Option<SystemTime>,
}

/// A report about a server.
#[derive(Debug)]
pub(super) enum Report {
    Nothing,
    Now(Event),
    /// Something that has to wait for its second.
    Later,
}

impl OutageEvents {
    /// Returns the event to report if the health has changed since the last one.
    pub(super) fn report(&mut self, server: &str, health: &Health) -> Report {
        let server = server.to_owned();
        let (reported, event) = match (health, self.reported) {
            (Health::Healthy, None) | (Health::Degraded { .. }, Some(_)) => return Report::Nothing,
            (Health::Healthy, Some(since)) => {
                let outage = SystemTime::now().duration_since(since).unwrap_or_default();
                (None, Event::StoreAnswers { server, outage })
            }
            (Health::Degraded { since, reason }, None) => {
                (Some(*since), Event::StoreFailed { server, reason: reason.clone() })
            }
        };
        if !may_report() {
            return Report::Later;
        }
        self.reported = reported;
        Report::Now(event)
    }
}

/// Returns true if nothing was reported for a second. Then the caller reports something.
fn may_report() -> bool {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let millis = ORIGIN.get_or_init(Instant::now).elapsed().as_millis();
    let now = u64::try_from(millis).unwrap_or(u64::MAX);
    let next = now.saturating_add(u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX));
    let free = |due: u64| (due <= now).then_some(next);
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
}
