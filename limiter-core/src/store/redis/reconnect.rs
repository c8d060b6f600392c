//! The task that makes the connection to a server, and makes it anew.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, ErrorKind};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    byte_stream::{self, Opened},
    connection::{Failure, Live, Source, State},
};
use crate::store::remote::builder::CONNECT_TIMEOUT;

/// The pauses between attempts to connect that fail, each twice the last one:
/// a server that is back is in use again within the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The shortest pause, however many calls come.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A connection that ends sooner than that is made anew after a pause.
const SHORT_LIFE: Duration = Duration::from_millis(50);

/// The task that makes the connection, and makes it anew.
pub(super) struct ReconnectTask {
    pub(super) source: Source,
    pub(super) state: watch::Sender<State>,
    /// Ends a pause between two attempts.
    pub(super) wanted: Arc<Notify>,
    pub(super) call_timeout: Duration,
    /// The longest time until an answer, if the connection is to watch it.
    pub(super) response_timeout: Option<Duration>,
}

impl ReconnectTask {
    /// Goes on until nobody holds the connection any more.
    pub(super) async fn run(self) {
        let (mut patience, mut pause) = (CONNECT_TIMEOUT, FIRST_PAUSE);
        for attempt in 1.. {
            if self.state.is_closed() {
                return;
            }
            match self.connect(attempt, patience).await {
                Ok(opened) => {
                    pause = FIRST_PAUSE;
                    if self.use_up(opened).await < SHORT_LIFE {
                        sleep(SHORTEST_PAUSE).await;
                    }
                }
                Err(failure) => {
                    self.state.send_replace(State::Failed { attempt, failure });
                    self.pause(jittered(pause)).await;
                    pause = LONGEST_PAUSE.min(2 * pause);
                }
            }
            patience = self.call_timeout;
        }
    }

    /// Tries to connect once. Where that takes longer than calls wait for it,
    /// they are let go meanwhile.
    async fn connect(&self, attempt: u64, patience: Duration) -> Result<Opened, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(self.response_timeout);
        let connect = async {
            match &self.source {
                Source::Server(info) => byte_stream::open(info, config).await,
                Source::Sentinel(sentinel) => {
                    byte_stream::open(&sentinel.master().await?, config).await
                }
            }
        };
        let mut connect = std::pin::pin!(connect);
        if let Ok(made) = timeout(patience, &mut connect).await {
            return made.map_err(|error| Failure { error, is_late: false });
        }
        let late = || Failure {
            error: (ErrorKind::Io, "the server does not answer").into(),
            is_late: true,
        };
        self.state.send_replace(State::Failed { attempt, failure: late() });
        match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(made) => made.map_err(|error| Failure { error, is_late: true }),
            Err(_) => Err(late()),
        }
    }

    /// Offers the connection until it ends or is discarded. Returns how long that
    /// was.
    async fn use_up(&self, opened: Opened) -> Duration {
        let Opened { connection, traffic, mut driver } = opened;
        let (since, discarded) = (Instant::now(), Arc::new(Notify::new()));
        let live = Live { connection, traffic, since, discarded: Arc::clone(&discarded) };
        self.state.send_replace(State::Connected(live));
        let is_over = tokio::select! {
            () = &mut driver => true,
            () = discarded.notified() => false,
            () = self.state.closed() => false,
        };
        self.state.send_replace(State::Connecting);
        if !is_over {
            // Others may wait for their answers yet.
            tokio::spawn(timeout(CONNECT_TIMEOUT, driver));
        }
        since.elapsed()
    }

    /// Waits before the next attempt.
    async fn pause(&self, longest: Duration) {
        sleep(SHORTEST_PAUSE).await;
        tokio::select! {
            () = sleep(longest) => {}
            () = self.wanted.notified() => {}
            () = self.state.closed() => {}
        }
    }
}

/// A time between a half of that and the whole: servers that lost the same
/// connection do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let half = pause / 2;
    half + Duration::from_micros(random % (half.as_micros() as u64 + 1))
}
