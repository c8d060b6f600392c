//! Log lines of events, as `tracing` events: the first of all observers.
//!
//! Fields are bounded: names from the configuration, keys of at most a few hundred
//! bytes without secrets, instants and numbers. Bans are at the level `info` with the
//! target `limiter::audit`, so are changes by operators; outages at `error`; refusals
//! at `debug`. At most [`LINES`] lines of bans are written a second, and the first
//! line of a later second says how many are missing, so that a flood of clients that
//! get banned does not fill the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{BanCause, Event, Observer};
use crate::{
    key::Key,
    time::{Clock, SystemClock, Timestamp},
};

/// The most lines of bans within [`INTERVAL`].
const LINES: u32 = 100;
const INTERVAL: Duration = Duration::from_secs(1);

/// The target of bans, and of what operators have changed.
const AUDIT: &str = "limiter::audit";

#[derive(Debug, Default)]
pub(super) struct EventLog {
    bans: Mutex<LineBudget>,
}

impl EventLog {
    /// Returns true if somebody reads a line for each refusal.
    #[inline]
    pub(super) fn wants_refusals() -> bool {
        tracing::enabled!(tracing::Level::DEBUG)
    }

    fn log_ban(&self, message: &str, policy: &str, key: &Key, until: Timestamp, cause: BanCause) {
        let cause = cause.as_str();
        // The budget is whole after each change, so a poisoned lock is taken all the same.
        let line = self.bans.lock().unwrap_or_else(PoisonError::into_inner).take(SystemClock.now());
        match line {
            Line::Suppressed => {}
            Line::Write { suppressed: 0 } => {
                tracing::info!(target: AUDIT, policy, %key, %until, cause, "{message}");
            }
            Line::Write { suppressed } => {
                tracing::info!(target: AUDIT, policy, %key, %until, cause, suppressed, "{message}");
            }
        }
    }
}

impl Observer for EventLog {
    fn observe(&self, event: &Event) {
        match event {
            Event::Banned { policy, key, until, cause } => {
                self.log_ban("banned", policy, key, *until, *cause);
            }
            Event::WouldBeBanned { policy, key, until, cause } => {
                self.log_ban("would be banned (shadow)", policy, key, *until, *cause);
            }
            Event::Lifted { policy, key } => {
                tracing::info!(target: AUDIT, policy, %key, "ban lifted");
            }
            Event::Forgiven { policy, key } => {
                tracing::info!(target: AUDIT, policy, %key, "ban and strikes forgiven");
            }
            Event::Refused { policy, key, quota } => {
                let quota = quota.as_ref().map(tracing::field::display);
                tracing::debug!(policy, %key, quota, "refused");
            }
            Event::WouldBeRefused { policy, refusals, key } => {
                tracing::info!(policy, refusals, %key, "would have been refused (shadow)");
            }
            Event::StoreFailed { server, reason } => {
                let message = "the store is unavailable; policies apply on_store_error";
                tracing::error!(server, reason, "{message}");
            }
            Event::StoreAnswers { server, outage } => {
                tracing::info!(server, ?outage, "the store is available again");
            }
            Event::Reloaded { changes } => log_changes(changes),
            Event::ReloadRefused { reason } => {
                tracing::error!(reason, "the configuration was not taken; the one before stays");
            }
        }
    }
}

fn log_changes(changes: &[String]) {
    if changes.is_empty() {
        tracing::info!(target: AUDIT, "the configuration is the one in force again");
    }
    for change in changes {
        tracing::info!(target: AUDIT, change, "the configuration has changed");
    }
}

/// How many lines may still be written in the present second.
#[derive(Debug, Default)]
struct LineBudget {
    since: Option<Timestamp>,
    lines: u32,
    suppressed: u64,
}

enum Line {
    /// Write it, with the number of lines that are missing before it.
    Write {
        suppressed: u64,
    },
    Suppressed,
}

impl LineBudget {
    fn take(&mut self, now: Timestamp) -> Line {
        if self.since.is_none_or(|since| now.since(since) >= INTERVAL || now < since) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES {
            self.suppressed += 1;
            return Line::Suppressed;
        }
        self.lines += 1;
        Line::Write { suppressed: std::mem::take(&mut self.suppressed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_bans_writes_a_bounded_number_of_lines() {
        let mut budget = LineBudget::default();
        let mut write = |micros| match budget.take(Timestamp::from_micros(micros)) {
            Line::Write { suppressed } => Some(suppressed),
            Line::Suppressed => None,
        };
        let written = (0..10_000).filter(|n| write(5_000_000 + n) == Some(0)).count();
        assert_eq!(written, LINES as usize);
        assert_eq!(write(6_000_000), Some(10_000 - u64::from(LINES)));
        assert_eq!(write(6_000_001), Some(0));
        // The clock steps back.
        assert_eq!(write(1_000_000), Some(0));
    }
}
