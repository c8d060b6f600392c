//! The connection to one server: one that all calls share, made anew by a task
//! of its own as soon as it ends, whether or not a call waits.
//!
//! While a new one is being made, calls wait for it. Once that has failed, a call
//! brings the next attempt forward; where a server does not even refuse, calls
//! fail at once until the task has succeeded. A server that closes what is idle,
//! or that was restarted in a quiet moment, so costs nobody a request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::sync::{Notify, watch};

use super::{byte_stream::Traffic, error::CallError, reconnect::ReconnectTask, sentinel::Sentinel};

/// The most attempts to send a call that provably never left.
const MAX_SENDS: u32 = 3;

/// A connection is not discarded for what its server is (a replica, one that
/// loads) before it is that old, so that a server that stays so is not connected
/// to at every call.
const MIN_AGE: Duration = Duration::from_millis(500);

/// Where the server is.
#[derive(Clone)]
pub(super) enum Source {
    Server(Box<ConnectionInfo>),
    /// The master that Sentinel names when asked: anew for each connection.
    Sentinel(Sentinel),
}

/// The connection to one server. Clones share it; without the last one it ends.
#[derive(Clone)]
pub(super) struct Connection {
    state: watch::Receiver<State>,
    /// Ends a pause between two attempts.
    wanted: Arc<Notify>,
    /// How often commands were sent again.
    retries: Arc<AtomicU64>,
}

#[derive(Clone)]
pub(super) enum State {
    Connecting,
    Connected(Live),
    /// The last attempt of so many has failed.
    Failed {
        attempt: u64,
        failure: Failure,
    },
}

/// Why an attempt to connect has failed.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) error: RedisError,
    /// True if the server did not even refuse: nobody waits for the next attempt.
    pub(super) is_late: bool,
}

#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    pub(super) traffic: Arc<Traffic>,
    pub(super) since: Instant,
    pub(super) discarded: Arc<Notify>,
}

impl Connection {
    /// Starts to connect, on the runtime of the caller. A call that takes longer than a
    /// `response_timeout` ends with an error.
    pub(super) fn start(
        source: Source,
        call_timeout: Duration,
        response_timeout: Option<Duration>,
    ) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let wanted = Arc::new(Notify::new());
        let task = ReconnectTask {
            source,
            state: sender,
            wanted: Arc::clone(&wanted),
            call_timeout,
            response_timeout,
        };
        tokio::spawn(task.run());
        Self { state, wanted, retries: Arc::default() }
    }

    /// Counts what is sent again with that of another connection.
    pub(super) fn counting_with(self, other: &Self) -> Self {
        Self { retries: Arc::clone(&other.retries), ..self }
    }

    /// Returns once there is a connection, or why there is none.
    pub(super) async fn ready(&self) -> RedisResult<()> {
        self.live().await.map(|_| ())
    }

    /// Returns whether there is a connection now.
    pub(super) fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), State::Connected(_))
    }

    /// Returns whether the runtime that it was started on has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state.has_changed().is_err()
    }

    /// Drops the connection, if there is one, for another one.
    pub(super) fn discard(&self) {
        if let State::Connected(live) = &*self.state.borrow() {
            live.discarded.notify_one();
        }
    }

    /// Returns how often commands were sent again that had not left this process.
    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Returns whether both are one and the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.wanted, &other.wanted)
    }

    /// Sends commands in one write. Returns one value for each; an error of the
    /// server is one of them.
    ///
    /// Sent again is only what provably never left this process.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, CallError> {
        let mut sends = 0;
        loop {
            let mut live = self.live().await.map_err(CallError::Unsent)?;
            let sent = live.traffic.sent();
            let answer = live.connection.send_packed_commands(commands, 0, commands.len()).await;
            let error = match answer {
                Ok(values) => {
                    live.check_server(&values);
                    return Ok(values);
                }
                Err(error) => error,
            };
            sends += 1;
            // Another one is made by the prober, if the server stays silent: it may
            // as well be this process that was too slow.
            if error.is_timeout() {
                return Err(CallError::Redis(error));
            }
            live.discarded.notify_one();
            if live.traffic.sent() != sent {
                return Err(CallError::Redis(error));
            }
            if sends == MAX_SENDS {
                return Err(CallError::Unsent(error));
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            self.lost(&live).await;
        }
    }

    /// Returns the connection in use, or the next one.
    async fn live(&self) -> RedisResult<Live> {
        let known_attempt = match &*self.state.borrow() {
            State::Connected(live) => return Ok(live.clone()),
            State::Failed { failure, .. } if failure.is_late => return Err(failure.error.clone()),
            State::Failed { attempt, .. } => *attempt,
            State::Connecting => 0,
        };
        self.wanted.notify_one();
        let mut state = self.state.clone();
        let is_news = |state: &State| match state {
            State::Connecting => false,
            State::Connected(_) => true,
            State::Failed { attempt, failure } => *attempt != known_attempt || failure.is_late,
        };
        match state.wait_for(is_news).await.as_deref() {
            Ok(State::Connected(live)) => Ok(live.clone()),
            Ok(State::Failed { failure, .. }) => Err(failure.error.clone()),
            _ => Err((ErrorKind::Io, "the runtime of the connection has ended").into()),
        }
    }

    /// Waits until that connection is no longer the one in use.
    async fn lost(&self, live: &Live) {
        let is_other = |state: &State| match state {
            State::Connected(other) => !Arc::ptr_eq(&other.discarded, &live.discarded),
            State::Connecting | State::Failed { .. } => true,
        };
        // Without a sender the runtime has ended, which the next look says.
        let _ = self.state.clone().wait_for(is_other).await;
    }
}

impl Live {
    /// Discards the connection where its server is no longer to be written to.
    fn check_server(&self, values: &[Value]) {
        let is_unusable = |value: &Value| match value {
            Value::ServerError(error) => {
                matches!(error.code(), "READONLY" | "MASTERDOWN" | "LOADING")
            }
            _ => false,
        };
        if self.since.elapsed() > MIN_AGE && values.iter().any(is_unusable) {
            self.discarded.notify_one();
        }
    }
}
