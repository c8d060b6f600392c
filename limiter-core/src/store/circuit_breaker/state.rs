//! The state machine of a circuit breaker: counts failures, opens and closes.

use std::time::{Duration, Instant, SystemTime};

use super::settings::{
    FAILURES, FIRST_HOLD, LONGEST_HOLD, LONGEST_OWN_PROBE_INTERVAL, OWN_PROBE_INTERVAL, PROBATION,
    RECENT_CALLS,
};
use crate::{error::StoreError, store::Health};

#[derive(Debug)]
pub(super) struct State {
    timeout: Duration,
    phase: Phase,
    /// One bit a call, the last one lowest: 1 = failed.
    recent: u32,
    /// Failures in a row, and when the first of them was sent.
    failures: u32,
    first_failure_sent: Option<Instant>,
    last_failure: Option<Instant>,
    /// The outage that is reported, if there is one.
    outage: Option<Outage>,
    /// The shortest time that it stays open when it opens in the probation.
    hold: Duration,
    own_probe: OwnProbe,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant, probe_failed: bool, error: StoreError },
    Probation { until: Instant },
}

#[derive(Debug)]
struct Outage {
    since: SystemTime,
    reason: String,
}

/// When a call is let through next, where no task probes the server.
#[derive(Debug)]
struct OwnProbe {
    interval: Duration,
    next: Option<Instant>,
}

/// The answer to a request for a call of the server.
#[derive(Debug)]
pub(super) enum Permission {
    Call,
    Reject(StoreError),
}

impl State {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            phase: Phase::Closed,
            recent: 0,
            failures: 0,
            first_failure_sent: None,
            last_failure: None,
            outage: None,
            hold: Duration::ZERO,
            own_probe: OwnProbe { interval: OWN_PROBE_INTERVAL, next: None },
        }
    }

    /// Returns true if it is closed, and nothing has failed of late.
    pub(super) const fn is_calm(&self) -> bool {
        matches!(self.phase, Phase::Closed) && self.recent == 0
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    #[cfg(feature = "_shared")]
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    pub(super) fn health(&self) -> Health {
        match &self.outage {
            None => Health::Healthy,
            Some(Outage { since, reason }) => {
                Health::Degraded { since: *since, reason: reason.clone() }
            }
        }
    }

    pub(super) fn permission(&mut self, now: Instant, probes_itself: bool) -> Permission {
        let Phase::Open { error, .. } = &self.phase else { return Permission::Call };
        if probes_itself && self.own_probe.next.is_none_or(|next| next <= now) {
            self.own_probe.next = Some(now + self.own_probe.interval);
            return Permission::Call;
        }
        Permission::Reject(error.clone())
    }

    pub(super) fn call_succeeded(&mut self, now: Instant) {
        self.recent <<= 1;
        self.failures = 0;
        if let Phase::Probation { until } = self.phase
            && until <= now
        {
            self.close();
        }
    }

    pub(super) fn call_failed(&mut self, sent: Instant, now: Instant, error: &StoreError) {
        if let Some(outage) = &mut self.outage {
            outage.reason = error.to_string();
        }
        self.recent = self.recent << 1 | 1;
        if !self.is_same_failure(sent, now) {
            self.last_failure = Some(now);
            self.failures += 1;
            if self.failures == 1 {
                self.first_failure_sent = Some(sent);
            }
        }
        if !self.is_open() && self.trips(now) {
            self.open(now, error);
        }
    }

    /// Returns true if a call was under way when the last one failed, and has failed at once,
    /// too: in a row they are one. A server that closes all connections, to be back at once,
    /// fails one call of each at the same moment, which says little more than one of them.
    fn is_same_failure(&self, sent: Instant, now: Instant) -> bool {
        let is_late = (now - sent) * 2 >= self.timeout;
        !is_late && self.last_failure.is_some_and(|last| sent < last)
    }

    /// Returns true if the failures are enough to open.
    fn trips(&self, now: Instant) -> bool {
        let silent = self.first_failure_sent.map_or(Duration::ZERO, |sent| now - sent);
        let hangs = self.failures >= 2 && silent * 2 >= self.timeout * 3;
        let recent = self.recent & ((1 << RECENT_CALLS) - 1);
        self.failures >= FAILURES || hangs || recent.count_ones() * 2 >= RECENT_CALLS
    }

    fn open(&mut self, now: Instant, error: &StoreError) {
        self.hold = match self.phase {
            Phase::Probation { .. } => (2 * self.hold).clamp(FIRST_HOLD, LONGEST_HOLD),
            _ => Duration::ZERO,
        };
        let reason = error.to_string();
        self.phase = Phase::Open {
            until: now + self.hold,
            probe_failed: false,
            error: StoreError::unavailable(format!("the store is unavailable: {reason}")),
        };
        self.outage.get_or_insert_with(|| Outage { since: SystemTime::now(), reason });
        self.own_probe =
            OwnProbe { interval: OWN_PROBE_INTERVAL, next: Some(now + OWN_PROBE_INTERVAL) };
    }

    /// Lets calls through again. If no probe had failed before, the failures of
    /// calls may have another cause, and the outage is not over yet.
    pub(super) fn probe_succeeded(&mut self, now: Instant) {
        let Phase::Open { until, probe_failed, .. } = self.phase else {
            return self.call_succeeded(now);
        };
        if now < until {
            return;
        }
        (self.recent, self.failures) = (0, 0);
        if probe_failed && self.hold.is_zero() {
            self.outage = None;
        }
        self.phase = Phase::Probation { until: now + PROBATION };
    }

    pub(super) fn probe_failed(&mut self, now: Instant, error: &StoreError) {
        let Phase::Open { probe_failed, .. } = &mut self.phase else { return };
        *probe_failed = true;
        if let Some(outage) = &mut self.outage {
            outage.reason = error.to_string();
        }
        let own = &mut self.own_probe;
        own.interval = (2 * own.interval).min(LONGEST_OWN_PROBE_INTERVAL);
        own.next = Some(now + own.interval);
    }

    /// Ends a probation that is over, though nobody calls.
    #[cfg(any(test, feature = "_shared"))]
    pub(super) fn tick(&mut self, now: Instant) {
        if let Phase::Probation { until } = self.phase
            && until <= now
        {
            self.close();
        }
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        (self.recent, self.failures, self.hold) = (0, 0, Duration::ZERO);
        self.outage = None;
    }
}
