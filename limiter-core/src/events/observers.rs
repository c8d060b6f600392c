//! The observers of a limiter, and of a store.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Event, Observer, log::EventLog, stream::StreamSink};

/// Passes each event to the log and to all observers.
#[derive(Default)]
pub(crate) struct Observers {
    log: EventLog,
    /// Copied at each change, so that an observer may add another.
    added: RwLock<Arc<[Added]>>,
    /// True if one of them asks for refusals.
    wants_refusals: AtomicBool,
}

#[derive(Clone)]
struct Added {
    observer: Arc<dyn Observer>,
    wants_refusals: bool,
    has_panicked: Arc<AtomicBool>,
    /// The sink of a stream: it knows if its reader is still there.
    stream: Option<StreamSink>,
}

impl Observers {
    /// Adds an observer.
    pub(crate) fn add(&self, observer: Arc<dyn Observer>, wants_refusals: bool) {
        self.push(Added { observer, wants_refusals, has_panicked: Arc::default(), stream: None });
    }

    /// Adds the sink of a stream, and removes those whose readers are gone.
    pub(crate) fn add_stream(&self, sink: StreamSink) {
        self.push(Added {
            observer: Arc::new(sink.clone()),
            wants_refusals: false,
            has_panicked: Arc::default(),
            stream: Some(sink),
        });
    }

    fn push(&self, added: Added) {
        let mut list = self.added.write().unwrap_or_else(PoisonError::into_inner);
        self.wants_refusals.fetch_or(added.wants_refusals, Ordering::Relaxed);
        let is_alive = |old: &&Added| old.stream.as_ref().is_none_or(StreamSink::has_reader);
        *list = list.iter().filter(is_alive).cloned().chain([added]).collect();
    }

    /// Returns true if an event of each refusal is of use.
    #[inline]
    pub(crate) fn want_refusals(&self) -> bool {
        self.wants_refusals.load(Ordering::Relaxed) || EventLog::wants_refusals()
    }
}

impl Observer for Observers {
    fn observe(&self, event: &Event) {
        self.log.observe(event);
        let list = Arc::clone(&self.added.read().unwrap_or_else(PoisonError::into_inner));
        let is_refusal = matches!(event, Event::Refused { .. });
        for added in list.iter().filter(|added| added.wants_refusals || !is_refusal) {
            let observe = AssertUnwindSafe(|| added.observer.observe(event));
            if catch_unwind(observe).is_err() && !added.has_panicked.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    "an observer has panicked; it is called for later events, but further \
                     panics of it are not logged"
                );
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "Observers({added})")
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
