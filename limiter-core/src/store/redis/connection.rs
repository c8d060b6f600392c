//! The connection: to one server, or to a cluster.

use std::time::Duration;

use redis::{
    Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value,
    cluster::{ClusterClientBuilder, NodeAddress},
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo},
    io::tcp::TcpSettings,
};

use super::{single_node::SingleNode, url::MultiHostUrl};
use crate::store::remote::builder::{CONNECT_TIMEOUT, server_timeout};

#[derive(Clone)]
pub(super) enum Connection {
    SingleNode(SingleNode),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects. The error says what is wrong, without the URL: it may hold a
    /// password.
    pub(super) async fn connect(url: &str, deadline: Duration) -> Result<Self, String> {
        #[cfg(feature = "tls")]
        if url.starts_with("rediss") {
            // Without a choice of the application's, rustls panics where several
            // are compiled in.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let connect = async {
            let server = match url.split("://").next() {
                Some("redis-cluster" | "rediss-cluster") => {
                    return cluster(MultiHostUrl::parse(url)?, deadline).await.map(Self::Cluster);
                }
                Some("redis-sentinel" | "rediss-sentinel") => {
                    SingleNode::of_sentinel(MultiHostUrl::parse(url)?, deadline)?
                }
                _ => SingleNode::of_url(url, deadline)?,
            };
            server.connection().await.map_err(|error| fault(&error))?;
            Ok(Self::SingleNode(server))
        };
        let late = |_| "the Redis server does not answer; is it running there?".to_owned();
        tokio::time::timeout(2 * CONNECT_TIMEOUT, connect).await.map_err(late)?
    }

    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Connects, if there is no connection to that one server.
    pub(super) async fn connect_if_lost(&self) -> RedisResult<()> {
        match self {
            Self::SingleNode(server) => server.connection().await.map(|_| ()),
            Self::Cluster(_) => Ok(()),
        }
    }

    /// Sends one command. Nothing is ever sent twice that may have been
    /// applied: a connection that drops answers with an error.
    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::SingleNode(server) => server.send(command).await,
            Self::Cluster(connection) => send_to_cluster(connection.clone(), command).await,
        }
    }

    /// The addresses of a cluster's masters; one empty one where there is no
    /// cluster.
    pub(super) async fn masters(&self) -> RedisResult<Vec<String>> {
        let Self::Cluster(connection) = self else { return Ok(vec![String::new()]) };
        let routing = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let answer = connection.clone().route_command(redis::cmd("PING"), routing).await?;
        let answers: Vec<(String, Value)> = redis::from_redis_value(answer)?;
        Ok(answers.into_iter().map(|(address, _)| address).collect())
    }

    /// Sends one command to the node of that address.
    pub(super) async fn send_to(&self, node: &str, command: &Cmd) -> RedisResult<Value> {
        match (self, by_address(node)) {
            (Self::Cluster(connection), Some(route)) => {
                let routing = RoutingInfo::SingleNode(route);
                let answer = connection.clone().route_command(command.clone(), routing).await?;
                answer.extract_error()
            }
            _ => self.send(command).await,
        }
    }
}

async fn cluster(hosts: MultiHostUrl, deadline: Duration) -> Result<ClusterConnection, String> {
    let server = hosts.nodes[0].redis_settings().clone();
    let mut builder = ClusterClientBuilder::new(hosts.nodes)
        // The client's own retries would send again what may have been applied.
        .retries(0)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(server_timeout(deadline))
        .overall_response_timeout(Some(server_timeout(deadline)))
        .tcp_settings(tcp());
    if let Some(user) = server.username() {
        builder = builder.username(user);
    }
    if let Some(password) = server.password() {
        builder = builder.password(password);
    }
    #[cfg(feature = "tls")]
    if hosts.tls {
        builder = builder.tls(redis::TlsMode::Secure);
    }
    let client = builder.build().map_err(|error| fault(&error))?;
    client.get_async_connection().await.map_err(|error| fault(&error))
}

/// How connections are to be: no call waits for another to fill a packet, and a
/// host that vanishes is noticed.
pub(super) fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(CONNECT_TIMEOUT);
    settings
}

/// Sends a command to the master of its slot, and to where that one points.
async fn send_to_cluster(mut cluster: ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    let error = match command.query_async::<Value>(&mut cluster).await {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let Some(route) = error.redirect_node().and_then(|(node, _)| by_address(node)) else {
        return Err(error);
    };
    let answer = if error.kind() == ErrorKind::Server(ServerErrorKind::Ask) {
        // In one write, since other calls share the connection.
        let mut pipe = redis::pipe();
        pipe.cmd("ASKING").add_command(command.clone());
        let answers = cluster.route_pipeline(pipe, 0, 2, route).await;
        answers.map(|mut answers| answers.pop().unwrap_or(Value::Nil))
    } else {
        cluster.route_command(command.clone(), RoutingInfo::SingleNode(route)).await
    };
    match answer {
        // Not connected to it yet: the first answer says that nothing was done.
        Err(second) if second.kind() == ErrorKind::ClusterConnectionNotFound => Err(error),
        answer => answer?.extract_error(),
    }
}

fn by_address(node: &str) -> Option<SingleNodeRoutingInfo> {
    let address = NodeAddress::try_from(node).ok()?;
    let (host, port) = (address.host().to_owned(), address.port());
    Some(SingleNodeRoutingInfo::ByAddress { host, port })
}

/// What went wrong, without the URL.
pub(super) fn fault(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::InvalidClientConfig => "the URL is none of a Redis server; write \
             redis://[user:password@]host:port/database"
            .to_owned(),
        ErrorKind::AuthenticationFailed => {
            "the Redis server refuses the user or password".to_owned()
        }
        kind => format!("the Redis server cannot be used: {kind:?}; is it running there?"),
    }
}
