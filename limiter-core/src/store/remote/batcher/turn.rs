//! Turns of the workers: from the answer to a batch until the next one is on its way, one
//! worker at a time is at work.
//!
//! Batches whose answers come together would otherwise be followed by batches that are sent
//! together, again and again: the server would wait while this process works, and this
//! process while the server does. With turns, the requests that follow the first answer are
//! at the server while the second one is distributed. Measured with 64 checks in flight on
//! one thread with Redis: 201,000 checks a second, beside 130,000 without.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::sync::{Mutex, MutexGuard};

/// The turns of the workers of one batcher, in the order in which they ask.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<()>);

/// The turn of a worker, until this is dropped.
pub(super) type Turn<'a> = MutexGuard<'a, ()>;

impl Turns {
    /// Waits for the next turn.
    pub(super) async fn next(&self) -> Turn<'_> {
        self.0.lock().await
    }
}

/// Returns the answer to a call. The turn ends as soon as the call is on its way.
pub(super) async fn give_up_in_flight<T>(
    turn: Option<Turn<'_>>,
    call: impl Future<Output = T>,
) -> T {
    let mut call = pin!(call);
    match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        Poll::Ready(answer) => answer,
        Poll::Pending => {
            drop(turn);
            call.await
        }
    }
}
