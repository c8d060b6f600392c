//! Observer threads: each observer of an application is called on a thread of its own, so
//! that one that sleeps or panics delays no request, no call to a store and no other
//! observer. Between both is a bounded stream of events.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use super::{Event, EventStream, Observer, stream::StreamSink};

/// How many events may wait for an observer.
const CAPACITY: usize = 1_024;

/// Starts the thread of an observer. It ends once the sink is dropped and the events that
/// wait were observed.
pub(super) fn start(observer: Arc<dyn Observer>) -> io::Result<StreamSink> {
    let (events, sink) = EventStream::new(CAPACITY);
    let thread = thread::Builder::new().name("limiter-observer".to_owned());
    thread.spawn(move || observe_all(&*observer, events))?;
    Ok(sink)
}

fn observe_all(observer: &dyn Observer, mut events: EventStream) {
    let (mut has_panicked, mut has_missed) = (false, false);
    while let Some(event) = block_on(events.next()) {
        if !observe(observer, &event) && !has_panicked {
            has_panicked = true;
            tracing::error!(
                "an observer has panicked; it is called for later events, but further \
                 panics of it are not logged"
            );
        }
        if events.dropped() > 0 && !has_missed {
            has_missed = true;
            tracing::warn!(
                "an observer is slower than events come: it misses those beyond {CAPACITY} \
                 that wait; read `Limiter::events` where it may take time"
            );
        }
    }
}

/// Calls the observer. Returns false if it has panicked.
fn observe(observer: &dyn Observer, event: &Event) -> bool {
    catch_unwind(AssertUnwindSafe(|| observer.observe(event))).is_ok()
}

/// Waits on this thread for a future, which no runtime has to drive.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let (mut future, waker) = (pin!(future), Waker::from(Arc::new(Unpark(thread::current()))));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
