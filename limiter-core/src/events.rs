//! Events: what an operator wants to know of, as it happens.
//!
//! One path for all of them: a limiter writes `tracing` events, and puts each event into
//! the bounded queues of its observers. An application adds an [`Observer`] with
//! [`LimiterBuilder::observer`](crate::LimiterBuilder::observer), which has a thread of its
//! own, or reads an [`EventStream`] from [`Limiter::events`](crate::Limiter::events), where
//! it may wait for a mail server or a webhook.
//!
//! ```
//! use std::sync::mpsc;
//! use limiter_core::{Event, Key, Limiter, Policy};
//!
//! # futures_executor::block_on(async {
//! let (sender, lifted) = mpsc::channel();
//! # let rule = limiter_core::BanRule::after_strikes(3);
//! # let hour = std::time::Duration::from_secs(3600);
//! # let rule = rule.within(hour).for_duration(hour)?;
//! let limiter = Limiter::builder()
//!     .policy(Policy::new("login", "5/minute")?.with_ban(rule))
//!     .observer(move |event: &Event| {
//!         if let Event::Lifted { policy, key } = event {
//!             let _ = sender.send(format!("{policy} {key}"));
//!         }
//!     })
//!     .build()
//!     .await?;
//! limiter.unban("login", &Key::ip("192.0.2.1".parse()?)).await?;
//! assert_eq!(lifted.recv()?, "login ip=192.0.2.1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod log;
mod observer_thread;
mod observers;
mod stream;

use std::time::Duration;

use serde::Serialize;

pub(crate) use self::observers::{AddedObserver, Observers, StoreObservers};
pub use self::stream::EventStream;
use crate::{key::Key, quota::Quota, time::Timestamp};

/// Something that an operator wants to know of.
///
/// It serialises as a map whose `event` is the variant in lower case. Keys are written
/// as text; of what may be secret a mark is written.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A key was banned.
    Banned {
        /// The policy whose rule banned it.
        policy: String,
        /// The key.
        key: Key,
        /// The end of the ban.
        until: Timestamp,
        /// The cause of the ban.
        cause: BanCause,
    },
    /// A policy in shadow mode would have banned a key.
    WouldBeBanned {
        /// The policy.
        policy: String,
        /// The key.
        key: Key,
        /// The end that the ban would have.
        until: Timestamp,
        /// The cause of the ban that it would get.
        cause: BanCause,
    },
    /// A ban was lifted by hand, if there was one.
    Lifted {
        /// The policy.
        policy: String,
        /// The key.
        key: Key,
    },
    /// A ban and its history were forgotten by hand.
    Forgiven {
        /// The policy.
        policy: String,
        /// The key.
        key: Key,
    },
    /// A request was refused: only for [observers that ask for
    /// it](crate::LimiterBuilder::refusal_observer).
    Refused {
        /// The policy that refused it.
        policy: String,
        /// The key.
        key: Key,
        /// The quota that made it wait longest; `None` if a ban refused it.
        quota: Option<Quota>,
    },
    /// A policy in shadow mode would have refused requests: at most one event a policy
    /// in ten seconds.
    WouldBeRefused {
        /// The policy.
        policy: String,
        /// How many requests since the last such event.
        refusals: u64,
        /// The key of the last one.
        key: Key,
    },
    /// A server of the store does not answer; policies apply `on_store_error`.
    StoreFailed {
        /// The server: host and port, never a password.
        server: String,
        /// Its last error.
        reason: String,
    },
    /// A server of the store answers again.
    StoreAnswers {
        /// The server.
        server: String,
        /// How long it did not.
        outage: Duration,
    },
    /// Another configuration is in force, or, without changes, one that was refused is
    /// again as it is in force: see [`Limiter::reload`](crate::Limiter).
    Reloaded {
        /// The changes, one line a key, without secrets.
        changes: Vec<String>,
    },
    /// A configuration that was read again is wrong; the one before stays in force. The
    /// same fault is reported once.
    ReloadRefused {
        /// The reason why it is refused.
        reason: String,
    },
}

/// The cause of a ban.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BanCause {
    /// Requests over a quota.
    Refusals,
    /// Responses whose status the ban rule names.
    Responses,
    /// An operator has banned it.
    Operator,
}

impl BanCause {
    /// The cause as configuration and metrics write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refusals => "refusals",
            Self::Responses => "responses",
            Self::Operator => "operator",
        }
    }
}

/// Receives the events of a limiter.
///
/// It is called on a thread of its own, for one event after the other. So one that sleeps
/// delays no request: up to 1,024 events wait for it, it misses those beyond, and the first
/// that it misses is logged. A panic in it is caught, and the first one is logged. Events
/// that wait when the process ends are lost.
pub trait Observer: Send + Sync + 'static {
    /// Receives one event.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}
