//! One server: that of the URL, or the master that Sentinel names, and names
//! anew after a failover.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::runtime::Handle;

use super::{
    connection::{fault, tcp},
    url::MultiHostUrl,
};
use crate::store::remote::builder::{CONNECT_TIMEOUT, server_timeout};

/// A connection that all calls share, and that is made anew once it has proved
/// to be of no use.
#[derive(Clone)]
pub(super) struct SingleNode(Arc<Inner>);

struct Inner {
    source: Source,
    config: AsyncConnectionConfig,
    /// On which connections are driven: that of the start, which outlives the
    /// requests.
    runtime: Handle,
    state: Mutex<State>,
}

enum Source {
    Client(Box<Client>),
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
}

#[derive(Default)]
struct State {
    /// How many connections there were before this one.
    generation: u64,
    connection: Option<MultiplexedConnection>,
    attempt: Option<Attempt>,
}

/// An attempt to connect, for which any number of calls may wait.
type Attempt = Shared<BoxFuture<'static, RedisResult<(u64, MultiplexedConnection)>>>;

impl SingleNode {
    pub(super) fn of_url(url: &str, deadline: Duration) -> Result<Self, String> {
        let info = url.into_connection_info().map_err(|error| fault(&error))?;
        let client = Client::open(info.set_tcp_settings(tcp())).map_err(|error| fault(&error))?;
        Ok(Self::new(Source::Client(Box::new(client)), deadline))
    }

    pub(super) fn of_sentinel(hosts: MultiHostUrl, deadline: Duration) -> Result<Self, String> {
        let service = hosts.service.ok_or(
            "the URL names no service; write redis-sentinel://host:port,host:port/service",
        )?;
        let server = hosts.nodes[0].redis_settings();
        let addresses = hosts.nodes.iter().map(|node| node.addr().clone());
        let mut builder =
            SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)
                .map_err(|error| fault(&error))?
                .set_client_to_redis_tcp_settings(tcp())
                .set_client_to_redis_db(server.db());
        if let Some(user) = server.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = server.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        #[cfg(feature = "tls")]
        if hosts.tls {
            builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
        }
        let client = builder.build().map_err(|error| fault(&error))?;
        Ok(Self::new(Source::Sentinel(Box::new(client.into())), deadline))
    }

    fn new(source: Source, deadline: Duration) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(server_timeout(deadline)));
        Self(Arc::new(Inner {
            source,
            config,
            runtime: Handle::current(),
            state: Mutex::default(),
        }))
    }

    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let (generation, mut connection) = self.connection().await?;
        let answer = connection.req_packed_command(command).await.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(is_of_no_use) {
            self.0.forget(generation);
        }
        answer
    }

    /// The connection, or a new one. The attempt goes on though the caller
    /// gives up, so that the next one finds it.
    pub(super) async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let attempt = {
            let mut state = self.0.state();
            if let Some(connection) = &state.connection {
                return Ok((state.generation, connection.clone()));
            }
            let start = || {
                let task = self.0.runtime.spawn(Arc::clone(&self.0).connect());
                let inner = Arc::clone(&self.0);
                let ended = move |_| {
                    inner.state().attempt = None;
                    RedisError::from((ErrorKind::Io, "the runtime has ended"))
                };
                task.map(move |made| made.map_err(ended).flatten()).boxed().shared()
            };
            state.attempt.get_or_insert_with(start).clone()
        };
        attempt.await
    }
}

/// Whether the connection is gone, or its server is no master any more.
fn is_of_no_use(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    let kind = error.kind();
    error.is_unrecoverable_error()
        || error.is_timeout()
        || matches!(kind, ErrorKind::Server(ReadOnly | MasterDown | BusyLoading))
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, generation: u64) {
        let mut state = self.state();
        if state.generation == generation {
            state.connection = None;
        }
    }

    async fn connect(self: Arc<Self>) -> RedisResult<(u64, MultiplexedConnection)> {
        let attempt = async {
            match &self.source {
                Source::Client(client) => {
                    client.get_multiplexed_async_connection_with_config(&self.config).await
                }
                Source::Sentinel(client) => {
                    client.lock().await.get_async_connection_with_config(&self.config).await
                }
            }
        };
        let late = |_| RedisError::from((ErrorKind::Io, "the server does not answer"));
        let made = tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.map_err(late).flatten();
        let mut state = self.state();
        state.attempt = None;
        let connection = made?;
        state.generation += 1;
        state.connection = Some(connection.clone());
        Ok((state.generation, connection))
    }
}
