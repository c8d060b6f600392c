//! What the URLs of Sentinel and Cluster name: several hosts, and a service.

use redis::{ConnectionInfo, IntoConnectionInfo};

/// `redis-cluster://[user:password@]host:port,host:port` or
/// `redis-sentinel://[user:password@]host:port,host:port/service[/database]`.
pub(super) struct MultiHostUrl {
    #[cfg(feature = "tls")]
    pub(super) tls: bool,
    /// As many URLs as hosts, of the database that is named, if one is.
    pub(super) nodes: Vec<ConnectionInfo>,
    pub(super) service: Option<String>,
}

impl MultiHostUrl {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
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
        let tls = scheme.starts_with("rediss");
        let single = if tls { "rediss" } else { "redis" };
        let nodes: Result<Vec<ConnectionInfo>, _> = hosts
            .split(',')
            .map(|host| format!("{single}://{credentials}{host}/{database}").into_connection_info())
            .collect();
        let nodes = nodes.map_err(|_| wrong())?;
        let service = (!service.is_empty()).then(|| service.to_owned());
        Ok(Self {
            #[cfg(feature = "tls")]
            tls,
            nodes,
            service,
        })
    }
}
