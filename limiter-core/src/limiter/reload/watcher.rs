//! The thread that watches the files of a configuration.

use std::{
    io,
    sync::{
        Arc, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::file_watch::FileWatch;
use crate::limiter::{Inner, Limiter};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// For how long a content has to stay the same, over at least two looks: one that is being
/// written changes from one to the next. A prefix of a file is often a valid
/// configuration, so that reading it once would not do.
const SETTLED: Duration = Duration::from_millis(350);

/// Ends its thread when it is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    _end: Sender<()>,
}

impl Limiter {
    /// Starts the thread that watches the files of the configuration, unless there is one.
    /// It ends with the limiter.
    pub(in crate::limiter) fn watch(&self) {
        let mut watcher = self.0.reloading.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_none() {
            match Watcher::start(Arc::downgrade(&self.0)) {
                Ok(started) => *watcher = Some(started),
                Err(error) => tracing::error!(%error, "the configuration is not watched"),
            }
        }
    }
}

impl Watcher {
    fn start(limiter: Weak<Inner>) -> io::Result<Self> {
        let (end, ended) = channel();
        let name = "limiter-reload".to_owned();
        thread::Builder::new().name(name).spawn(move || watch(&limiter, &ended))?;
        Ok(Self { _end: end })
    }
}

/// Reloads each content that stays the same, once.
fn watch(limiter: &Weak<Inner>, ended: &Receiver<()>) {
    let mut files = FileWatch::default();
    // The first content is taken, too: it may have changed since the start read it.
    let mut tried = None;
    let mut seen = Seen { content: None, since: Instant::now() };
    while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let Some(limiter) = limiter.upgrade().map(Limiter) else { return };
        let paths = limiter.0.reloading.state().files.clone();
        let content = Some(files.content(&paths));
        if content != seen.content {
            seen = Seen { content, since: Instant::now() };
        } else if content != tried && seen.since.elapsed() >= SETTLED {
            let config = limiter.read_again();
            // Else a writer has begun in between, and this may be half of what it writes.
            if Some(files.content(&paths)) == content {
                tried = content;
                // The outcome is reported by its event.
                let _ = limiter.report(config.and_then(|config| limiter.apply(config)));
            }
        }
    }
}

/// A content, and since when it is the same.
struct Seen {
    content: Option<u64>,
    since: Instant,
}
