//! The connection to one server: one that all calls share, made anew by a task
//! of its own as soon as it ends, whether anybody asks or not.
//!
//! While a new one is being made, calls wait for it. Once that has failed, a call
//! brings the next attempt forward; where a server does not even refuse, calls
//! fail at once until the task has succeeded. A server that closes what is idle,
//! or that was restarted in a quiet moment, so costs nobody a request.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    error::CallError,
    sentinel::Sentinel,
    stream::{self, Opened, Traffic},
};
use crate::store::remote::builder::{CONNECT_TIMEOUT, server_timeout};

/// How often a call is sent that provably never left.
const MAX_SENDS: u32 = 3;

/// The pauses between attempts to connect that fail, each twice the last one:
/// a server that is back is in use again within the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The shortest pause, however many calls come.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A connection that ends sooner than that is made anew after a pause.
const SHORT_LIFE: Duration = Duration::from_millis(50);

/// A connection is not discarded for what its server is (a replica, one that
/// loads) before it is that old, so that a server that stays so is not connected
/// to at every call.
const MIN_AGE: Duration = Duration::from_millis(500);

/// Where the server is.
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
}

#[derive(Clone)]
enum State {
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
struct Failure {
    error: RedisError,
    /// Whether the server did not even refuse: nobody waits for the next attempt.
    is_late: bool,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    traffic: Arc<Traffic>,
    since: Instant,
    discarded: Arc<Notify>,
}

impl Connection {
    /// Starts to connect, on the runtime of the caller.
    pub(super) fn start(source: Source, call_timeout: Duration) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let wanted = Arc::new(Notify::new());
        let keeper = Keeper { source, state: sender, wanted: Arc::clone(&wanted), call_timeout };
        tokio::spawn(keeper.keep());
        Self { state, wanted }
    }

    /// Returns once there is a connection, or why there is none.
    pub(super) async fn ready(&self) -> RedisResult<()> {
        self.live().await.map(|_| ())
    }

    /// Returns whether there is a connection now.
    pub(super) fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), State::Connected(_))
    }

    /// Drops the connection, if there is one, for another one.
    pub(super) fn discard(&self) {
        if let State::Connected(live) = &*self.state.borrow() {
            live.discarded.notify_one();
        }
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

/// What makes the connection, and makes it anew.
struct Keeper {
    source: Source,
    state: watch::Sender<State>,
    wanted: Arc<Notify>,
    call_timeout: Duration,
}

impl Keeper {
    /// Goes on until nobody holds the connection any more.
    async fn keep(self) {
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
            .set_response_timeout(Some(server_timeout(self.call_timeout)));
        let connect = async {
            match &self.source {
                Source::Server(info) => stream::open(info, config).await,
                Source::Sentinel(sentinel) => stream::open(&sentinel.master().await?, config).await,
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
