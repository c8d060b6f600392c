//! Settlements that outlive their request: [`Settling`].

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::future::BoxFuture;

/// A settlement that is being stored, from
/// [`Permit::record_response`](super::Permit::record_response) or
/// [`Permit::charge_to`](super::Permit::charge_to).
///
/// Await it, so that the next request finds it. Dropped before its end, as
/// when the client hangs up, it goes on by itself on the runtime that the
/// limiter was built on.
#[must_use = "await it, so that the next request finds the settlement"]
pub struct Settling {
    work: Option<BoxFuture<'static, ()>>,
    runtime: Runtime,
}

/// Where work goes on that nobody waits for any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Runtime {
    #[cfg(feature = "_shared")]
    handle: Option<tokio::runtime::Handle>,
}

impl Runtime {
    /// Returns the runtime of the caller, if it has one.
    pub(super) fn current() -> Self {
        Self {
            #[cfg(feature = "_shared")]
            handle: tokio::runtime::Handle::try_current().ok(),
        }
    }

    /// Returns the runtime of the caller, or this one if it has none.
    #[cfg(feature = "_shared")]
    pub(super) fn or_current(&self) -> Self {
        let current = Self::current();
        if current.handle.is_some() { current } else { self.clone() }
    }

    #[cfg(feature = "_shared")]
    pub(super) const fn handle(&self) -> Option<&tokio::runtime::Handle> {
        self.handle.as_ref()
    }

    /// Sees work to its end, though whoever waits for it may go away. It is the
    /// caller's runtime that runs it, if there is one: the own one may rest.
    pub(super) async fn finish<T: Send + 'static>(&self, work: BoxFuture<'static, T>) -> Option<T> {
        #[cfg(feature = "_shared")]
        if let Some(handle) = Self::current().handle.as_ref().or(self.handle.as_ref()) {
            return handle.spawn(work).await.ok();
        }
        Some(work.await)
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        #[cfg(feature = "_shared")]
        if let Some(handle) = &self.handle {
            handle.spawn(work);
            return;
        }
        drop(work);
        tracing::error!("a settlement was lost: its request was dropped, and there is no runtime");
    }
}

impl Settling {
    /// Returns a future with nothing to do.
    #[inline]
    pub fn done() -> Self {
        Self { work: None, runtime: Runtime::default() }
    }

    /// Returns true if there is nothing to wait for.
    #[inline]
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.work.is_none()
    }

    /// Begins at once: with a store in memory that is all there is to do.
    pub(super) fn begin(mut work: BoxFuture<'static, ()>, runtime: Runtime) -> Self {
        // At a shutdown the future is dropped outside of any runtime.
        #[cfg(feature = "_shared")]
        let _entered = runtime.handle.as_ref().map(tokio::runtime::Handle::enter);
        let mut context = Context::from_waker(Waker::noop());
        match work.as_mut().poll(&mut context) {
            Poll::Ready(()) => Self::done(),
            Poll::Pending => Self { work: Some(work), runtime },
        }
    }
}

impl Future for Settling {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(work) = &mut this.work {
            std::task::ready!(work.as_mut().poll(context));
            this.work = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Settling {
    #[inline]
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(work);
        }
    }
}

impl fmt::Debug for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.work.is_some() { "Settling" } else { "Settling(done)" })
    }
}
