//! A master that Sentinel names, and names anew after a failover.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

use super::url::Hosts;
use crate::store::shared::builder::PATIENCE;

#[derive(Clone)]
pub(super) struct Sentinel(Arc<Inner>);

struct Inner {
    /// One at a time asks who the master is.
    client: tokio::sync::Mutex<SentinelClient>,
    current: Mutex<Current>,
    config: AsyncConnectionConfig,
}

/// The connection to the master, and how many there were before it.
#[derive(Clone, Default)]
struct Current {
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

impl Sentinel {
    pub(super) fn new(hosts: Hosts, deadline: Duration) -> Result<Self, String> {
        let service = hosts.service.ok_or(
            "the URL names no service; write redis-sentinel://host:port,host:port/service",
        )?;
        let server = hosts.nodes[0].redis_settings();
        let addresses = hosts.nodes.iter().map(|node| node.addr().clone());
        let mut builder =
            SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)
                .map_err(|error| error.to_string())?
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
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(deadline));
        Ok(Self(Arc::new(Inner {
            client: builder.build().map_err(|error| format!("{:?}", error.kind()))?.into(),
            current: Mutex::default(),
            config,
        })))
    }

    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let (generation, mut connection) = self.connection().await?;
        let answer = connection.req_packed_command(command).await.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(is_of_no_use) {
            self.0.forget(generation);
        }
        answer
    }

    /// The connection, or a new one. Looking for a master goes on though the
    /// caller gives up, so that the next one finds it.
    pub(super) async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(current) = self.0.current() {
            return Ok(current);
        }
        let inner = Arc::clone(&self.0);
        let found = tokio::spawn(async move { inner.find_master().await });
        found.await.map_err(|_| (ErrorKind::Io, "the search for a master ended"))?
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
    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.connection.clone().map(|connection| (current.generation, connection))
    }

    fn forget(&self, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation == generation {
            current.connection = None;
        }
    }

    async fn find_master(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut client = self.client.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let search = client.get_async_connection_with_config(&self.config);
        let found = tokio::time::timeout(PATIENCE, search).await;
        let connection = found.map_err(|_| (ErrorKind::Io, "Sentinel names no master"))??;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.generation += 1;
        current.connection = Some(connection.clone());
        Ok((current.generation, connection))
    }
}
