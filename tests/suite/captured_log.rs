//! The log of this thread, or of the process, while a test runs.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{Dispatch, Subscriber, subscriber::DefaultGuard};

/// The lines that were logged since it was made.
#[derive(Debug)]
pub(crate) struct CapturedLog {
    bytes: Bytes,
    _subscriber: Option<DefaultGuard>,
}

#[derive(Clone, Debug, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    pub(crate) fn start() -> Self {
        // While a subscriber is there, no line is marked as one that nobody reads. Such a mark,
        // made as another test ended, has cost a test its lines.
        static ALWAYS: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(subscriber().1));
        LazyLock::force(&ALWAYS);
        let (bytes, subscriber) = subscriber();
        Self { bytes, _subscriber: Some(tracing::subscriber::set_default(subscriber)) }
    }

    /// The log of all threads, for a test in a process of its own.
    pub(crate) fn of_process() -> Self {
        let (bytes, subscriber) = subscriber();
        tracing::subscriber::set_global_default(subscriber).expect("there is no other");
        Self { bytes, _subscriber: None }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.0.lock().unwrap().clone()).unwrap()
    }
}

fn subscriber() -> (Bytes, impl Subscriber + Send + Sync) {
    let bytes = Bytes::default();
    let writer = bytes.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false);
    (bytes, subscriber.with_writer(move || writer.clone()).finish())
}

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
