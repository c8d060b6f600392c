//! How the store starts: it connects to what the URL names, and checks that each
//! master does what a check needs.

use std::sync::Arc;

use tokio::{runtime::Handle, time::timeout};

use super::{
    Redis,
    advice::explain,
    cluster::{Cluster, Settings},
    connection::Source,
    error::CallError,
    master::Master,
    probe::probe,
    scripts::Scripts,
    topology::Topology,
    url::Target,
};
use crate::store::remote::{RemoteStoreBuilder, backend::Backend, builder::CONNECT_TIMEOUT};

/// Connects. The error says what is wrong, without the URL: it may hold a
/// password.
pub(in crate::store) async fn connect(
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let target = Target::parse(&builder.url)?;
    let scripts = Scripts::new(&builder.prefix, matches!(target, Target::Cluster(_)));
    let scripts = Arc::new(scripts);
    let topology = match target {
        Target::Cluster(seeds) => {
            let address = seeds[0].addr().to_string();
            let call_timeout = builder.timeout;
            let settings = Settings { seeds, scripts: Arc::clone(&scripts), call_timeout };
            let cluster = Cluster::connect(settings).await;
            Topology::Cluster(cluster.map_err(|error| explain(&error, &address, &builder.prefix))?)
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
        let checked = timeout(2 * CONNECT_TIMEOUT, check(&topology, &master)).await;
        let checked = checked.unwrap_or_else(|_| Err(CallError::late()));
        checked.map_err(|error| explain(&error, &master.address(), &builder.prefix))?;
    }
    Ok(Arc::new(Redis { topology: Arc::new(topology), scripts, runtime: Handle::current() }))
}

async fn check(topology: &Topology, master: &Arc<Master>) -> Result<(), CallError> {
    master.connection().ready().await.map_err(CallError::Unsent)?;
    if !topology.is_cluster() {
        master.check_is_alone().await?;
    }
    match topology.client_at(master) {
        Some(client) => probe(master, &client).await,
        // It has no slot, and so no client.
        None => Ok(()),
    }
}
