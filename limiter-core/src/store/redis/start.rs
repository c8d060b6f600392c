//! How the store starts: it connects to what the URL names.

use std::sync::Arc;

use redis::{ErrorKind, RedisError};
use tokio::runtime::Handle;

use super::{
    Redis,
    cluster::{Cluster, Settings},
    connection::Source,
    error::CallError,
    master::Master,
    scripts::Scripts,
    topology::Topology,
    url::Target,
};
use crate::store::remote::{RemoteStoreBuilder, backend::Backend};

/// Connects. The error says what is wrong, without the URL: it may hold a
/// password.
pub(in crate::store) async fn connect(
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let target = Target::parse(&builder.url)?;
    let is_cluster = matches!(target, Target::Cluster(_));
    let scripts = Arc::new(Scripts::new(&builder.prefix, is_cluster));
    let topology = match target {
        Target::Cluster(seeds) => {
            let settings =
                Settings { seeds, scripts: Arc::clone(&scripts), call_timeout: builder.timeout };
            Topology::Cluster(Cluster::connect(settings).await.map_err(|error| fault(&error))?)
        }
        Target::Server(info) => {
            Topology::Single(Arc::new(Master::start_at(*info, &scripts, builder.timeout)))
        }
        Target::Sentinel(sentinel) => {
            let info = sentinel.sentinels[0].clone();
            let source = Source::Sentinel(sentinel);
            Topology::Single(Arc::new(Master::start(source, info, &scripts, builder.timeout)))
        }
    };
    for master in topology.masters() {
        let ready = master.connection().ready().await;
        ready.map_err(|error| fault(&CallError::Unsent(error)))?;
    }
    Ok(Arc::new(Redis { topology: Arc::new(topology), scripts, runtime: Handle::current() }))
}

/// What went wrong, without the URL.
fn fault(error: &CallError) -> String {
    match error {
        CallError::Redis(error) | CallError::Unsent(error) => redis_fault(error),
        error => error.to_string(),
    }
}

fn redis_fault(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            "the Redis server refuses the user or password".to_owned()
        }
        kind => format!("the Redis server cannot be used: {kind:?}; is it running there?"),
    }
}
