//! How the store starts: it connects to what the URL names, and checks that each
//! master does what a check needs.

use std::sync::Arc;

use tokio::{runtime::Handle, time::timeout};

use super::{
    Redis, cluster::Cluster, connection::Source, error_advice::explain, master_node::Master,
    script_runner::ScriptRunner, scripts::Scripts, topology::Topology, url::Target,
};
use crate::{
    error::StoreError,
    store::remote::{RemoteStoreBuilder, backend::Backend, builder::CONNECT_TIMEOUT},
};

/// Connects. The error says what is wrong, without the URL: it may hold a
/// password.
pub(in crate::store) async fn connect(
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let scripts = Arc::new(Scripts::new(&builder.prefix));
    let single = |source, info| {
        let runner = |connection| ScriptRunner::new(connection, &scripts, None);
        let settings = builder.breaker_settings();
        Topology::Single(Arc::new(Master::start(source, info, runner, &settings)))
    };
    let topology = match Target::parse(&builder.url)? {
        Target::Cluster(seeds) => {
            let address = seeds[0].addr().to_string();
            let cluster = Cluster::connect(seeds, &scripts, builder.breaker_settings()).await;
            Topology::Cluster(
                cluster.map_err(|error| explain(&error.to_string(), &address, &builder.prefix))?,
            )
        }
        Target::Server(info) => single(Source::Server(info.clone()), *info),
        Target::Sentinel(sentinel) => {
            let info = sentinel.sentinels[0].clone();
            single(Source::Sentinel(sentinel), info)
        }
    };
    Ok(Arc::new(Redis { topology: Arc::new(topology), scripts, runtime: Handle::current() }))
}

impl Redis {
    /// Checks each master. The error has the server's own words, its host and
    /// port, and says what to do.
    pub(super) async fn check_masters(&self) -> Result<(), StoreError> {
        for master in self.topology.masters() {
            let checked = timeout(2 * CONNECT_TIMEOUT, self.check_master(&master)).await;
            let late = |_| StoreError::new("the server does not answer");
            checked.map_err(late).flatten().map_err(|error| {
                let (words, address) = (error.to_string(), master.address());
                StoreError::new(explain(&words, &address, &self.scripts.prefix))
            })?;
        }
        Ok(())
    }

    async fn check_master(&self, master: &Master) -> Result<(), StoreError> {
        let ready = master.connection().ready().await;
        ready.map_err(super::error::CallError::Unsent)?;
        if !self.topology.is_cluster() {
            master.check_is_alone().await?;
        }
        master.probe().await?;
        // Each key of a limiter expires, so that the rules `volatile-*` remove it, too.
        if let Some(rule) = master.eviction_rule().await {
            let server = master.address();
            tracing::warn!(
                server,
                "maxmemory-policy is {rule}: once Redis is full it removes counters and bans, as if \
                 nobody had used anything; let limits have a Redis with noeviction, or one that is \
                 never full"
            );
        }
        Ok(())
    }
}
