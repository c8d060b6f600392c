//! A bounded stream of events, for readers that may be slow.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use super::{Event, Observer};

/// The events of a limiter, from [`Limiter::events`](crate::Limiter::events).
///
/// It holds at most as many events as it was given room for. Where there is no room,
/// the newest event is dropped and [counted](Self::dropped): neither a slow reader nor
/// a flood of events makes it grow, and no request waits for it. It is a [`Stream`]
/// that ends with the limiter.
#[derive(Debug)]
pub struct EventStream(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    capacity: usize,
    dropped: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    reader: Option<Waker>,
    /// True if the limiter is gone.
    is_closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventStream {
    /// Returns a stream with room for so many events, at least one, and what fills it.
    pub(crate) fn new(capacity: usize) -> (Self, StreamSink) {
        let capacity = capacity.max(1);
        let queue =
            Arc::new(Queue { capacity, dropped: AtomicU64::new(0), state: Mutex::default() });
        let closer = Arc::new(Closer(Arc::downgrade(&queue)));
        let sink = StreamSink { queue: Arc::downgrade(&queue), _closer: closer };
        (Self(queue), sink)
    }

    /// Waits for the next event; `None` once the limiter is gone and all were read.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Returns the next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.state().events.pop_front()
    }

    /// Returns how many events found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.0.state();
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.is_closed => Poll::Ready(None),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll(context)
    }
}

/// Fills a stream, and closes it when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct StreamSink {
    queue: Weak<Queue>,
    _closer: Arc<Closer>,
}

struct Closer(Weak<Queue>);

impl StreamSink {
    pub(super) fn has_reader(&self) -> bool {
        self.queue.strong_count() > 0
    }
}

impl Observer for StreamSink {
    fn observe(&self, event: &Event) {
        let Some(queue) = self.queue.upgrade() else { return };
        let mut state = queue.state();
        if state.events.len() >= queue.capacity {
            queue.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.events.push_back(event.clone());
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        let Some(queue) = self.0.upgrade() else { return };
        let mut state = queue.state();
        state.is_closed = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}
