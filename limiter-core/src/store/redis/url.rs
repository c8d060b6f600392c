//! The URL of a store: of one server, by host and port or by unix socket, of the
//! sentinels of a service, or of nodes of a cluster.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::sentinel::Sentinel;

/// The servers and the database that a URL names.
pub(super) enum Target {
    Server(Box<ConnectionInfo>),
    Sentinel(Sentinel),
    /// Some of its nodes.
    Cluster(Vec<ConnectionInfo>),
}

impl Target {
    /// Reads an URL. The error says what would be right, without the URL: it may
    /// hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        match url.split("://").next() {
            Some("redis-cluster" | "rediss-cluster") => Ok(Self::Cluster(hosts(url)?.0)),
            Some("redis-sentinel" | "rediss-sentinel") => {
                let (sentinels, service) = hosts(url)?;
                let service = service.ok_or(
                    "the URL names no service; write redis-sentinel://host:port,host:port/service",
                )?;
                Ok(Self::Sentinel(Sentinel { sentinels, service }))
            }
            Some("unix" | "redis+unix") => match url.into_connection_info() {
                Ok(info) => Ok(Self::Server(Box::new(info))),
                Err(_) => Err("the URL is none of a unix socket; write \
                               redis+unix:///path/to/redis.sock?db=0"
                    .to_owned()),
            },
            _ => match url.into_connection_info() {
                Ok(info) => Ok(Self::Server(Box::new(info))),
                Err(_) => Err("the URL is none of a Redis server; write \
                               redis://[user:password@]host:port/database"
                    .to_owned()),
            },
        }
    }
}

/// Reads `scheme://[user:password@]host:port,host:port[/service[/database]]`:
/// as many addresses as hosts, with the database that is named, if one is, and
/// the service.
fn hosts(url: &str) -> Result<(Vec<ConnectionInfo>, Option<String>), String> {
    let wrong = || {
        "the URL is none of several hosts; write \
         redis-cluster://[user:password@]host:port,host:port or \
         redis-sentinel://[user:password@]host:port,host:port/service"
            .to_owned()
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (format!("{credentials}@"), rest),
        None => (String::new(), rest),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (service, database) = path.split_once('/').unwrap_or((path, ""));
    let single = if scheme.starts_with("rediss") { "rediss" } else { "redis" };
    let nodes: Result<Vec<ConnectionInfo>, _> = hosts
        .split(',')
        .map(|host| format!("{single}://{credentials}{host}/{database}").into_connection_info())
        .collect();
    let nodes = nodes.map_err(|_| wrong())?;
    Ok((nodes, (!service.is_empty()).then(|| service.to_owned())))
}

/// Returns the same settings for another address.
pub(super) fn at(info: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

/// Returns the host and the port of an address.
pub(super) fn host_and_port(info: &ConnectionInfo) -> (&str, u16) {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host, *port)
        }
        // A unix socket, which no cluster and no sentinel has.
        _ => ("", 0),
    }
}
