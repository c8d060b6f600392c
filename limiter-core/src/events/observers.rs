//! The observers of a limiter, and of a store.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock, Weak},
};

use super::{Event, Observer, log::EventLog, observer_thread, stream::StreamSink};
use crate::error::ConfigError;

/// Passes each event to the log, and to the sinks of all observers and streams.
#[derive(Default)]
pub(crate) struct Observers {
    log: EventLog,
    /// Copied at each change, so that events pass without a lock.
    sinks: RwLock<Arc<[Sink]>>,
    /// True if one of them takes refusals.
    takes_refusals: bool,
}

#[derive(Clone)]
struct Sink {
    stream: StreamSink,
    takes_refusals: bool,
}

/// An observer that an application has added.
pub(crate) struct AddedObserver {
    pub(crate) observer: Arc<dyn Observer>,
    /// True if it is called for each refused request, too.
    pub(crate) takes_refusals: bool,
}

impl Observers {
    /// Starts the threads of these observers.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub(crate) fn start(added: Vec<AddedObserver>) -> Result<Self, ConfigError> {
        let takes_refusals = added.iter().any(|added| added.takes_refusals);
        let sinks: io::Result<Vec<Sink>> = added
            .into_iter()
            .map(|AddedObserver { observer, takes_refusals }| {
                Ok(Sink { stream: observer_thread::start(observer)?, takes_refusals })
            })
            .collect();
        let failed = |error| ConfigError::new(format!("an observer has no thread: {error}"));
        let sinks = RwLock::new(Arc::from(sinks.map_err(failed)?));
        Ok(Self { log: EventLog::default(), sinks, takes_refusals })
    }

    /// Adds the sink of a stream, and removes those whose readers are gone.
    pub(crate) fn add_stream(&self, stream: StreamSink) {
        let added = Sink { stream, takes_refusals: false };
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        let is_read = |sink: &&Sink| sink.stream.has_reader();
        *sinks = sinks.iter().filter(is_read).cloned().chain([added]).collect();
    }

    /// Returns true if an event of each refusal is of use.
    #[inline]
    pub(crate) fn want_refusals(&self) -> bool {
        self.takes_refusals || EventLog::wants_refusals()
    }
}

impl Observer for Observers {
    fn observe(&self, event: &Event) {
        self.log.observe(event);
        let sinks = Arc::clone(&self.sinks.read().unwrap_or_else(PoisonError::into_inner));
        let is_refusal = matches!(event, Event::Refused { .. });
        for sink in sinks.iter().filter(|sink| sink.takes_refusals || !is_refusal) {
            sink.stream.observe(event);
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sinks = self.sinks.read().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "Observers({sinks})")
    }
}

impl fmt::Debug for AddedObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddedObserver")
            .field("takes_refusals", &self.takes_refusals)
            .finish_non_exhaustive()
    }
}

/// The observers of a store: the limiters that use it, as long as there are. An event
/// that nobody observes is logged.
#[derive(Default)]
pub(crate) struct StoreObservers {
    observers: RwLock<Vec<Weak<dyn Observer>>>,
}

impl StoreObservers {
    /// Adds an observer, and removes those that are gone.
    pub(crate) fn add(&self, observer: Weak<dyn Observer>) {
        let mut list = self.observers.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|observer| observer.strong_count() > 0);
        list.push(observer);
    }

    pub(crate) fn emit(&self, event: &Event) {
        let observers: Vec<_> = {
            let list = self.observers.read().unwrap_or_else(PoisonError::into_inner);
            list.iter().filter_map(Weak::upgrade).collect()
        };
        if observers.is_empty() {
            EventLog::default().observe(event);
        }
        for observer in observers {
            observer.observe(event);
        }
    }
}

impl fmt::Debug for StoreObservers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "StoreObservers({observers})")
    }
}
