//! Store thread: the thread on which a remote store makes its calls.
//!
//! Requests run on the threads of a server, which an attack keeps busy: with 10,000
//! connections that send at once, a task there gets its turn after up to a second. Answers
//! of the database would be read as late, and a healthy server would look slow. So
//! connections, batches, probes and timers are tasks of a thread that does nothing else.
//! It sleeps while nothing is called.
//!
//! To wake it and to be woken by it takes 20 µs each on a virtual machine. Redis and the fast
//! paths of PostgreSQL and MySQL are called without it in calm: see `runtime_batchers.rs`.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// The thread of one store. It ends when this is dropped, with all its tasks.
#[derive(Debug)]
pub(in crate::store) struct StoreThread {
    runtime: Handle,
    /// Wakes the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl StoreThread {
    /// Starts the thread.
    pub(in crate::store) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        thread::Builder::new().name("limiter-store".to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { runtime: handle, _stop: stop })
    }

    /// Runs a task on the thread to its end, and returns its output.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.runtime.spawn(task).await.map_err(io::Error::other)
    }
}
