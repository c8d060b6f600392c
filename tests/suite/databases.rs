//! The databases that a shared store can keep its state in.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use limiter_core::{Clock, RemoteStore, RemoteStoreBuilder};

use crate::servers::kept_folder;
pub(crate) use crate::servers::{
    bouncer_url, cluster_url, mysql_url, postgres_url, redis_url, sentinel_url,
};

/// A file of this run of the tests.
pub(crate) fn sqlite_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| format!("sqlite://{}", kept_folder("sqlite").join("limits").display()))
}

/// Makes a test of each case for each database, or for those named before. A
/// case is a function of the database's URL.
macro_rules! on_databases {
    ([$($database:ident)+] $case:ident) => {
        mod $case {
            $(
                #[test]
                fn $database() {
                    super::$case(crate::databases::$database());
                }
            )+
        }
    };
    ($($case:ident)+) => {
        $(
            crate::databases::on_databases! {
                [redis_url sentinel_url cluster_url postgres_url bouncer_url mysql_url sqlite_url]
                $case
            }
        )+
    };
}
pub(crate) use on_databases;

/// A store as tests want it: no test waits for a deadline by accident.
pub(crate) fn builder(url: &str, prefix: &str) -> RemoteStoreBuilder {
    let builder = RemoteStore::builder(url).prefix(prefix).key_secret("for tests");
    builder.timeout(Duration::from_secs(10)).pool_size(2)
}

pub(crate) async fn store(url: &str, prefix: &str) -> RemoteStore {
    builder(url, prefix).connect().await.expect("the server was started")
}

pub(crate) async fn clocked_store(url: &str, prefix: &str, clock: impl Clock) -> RemoteStore {
    let builder = builder(url, prefix).clock(clock);
    builder.connect().await.expect("the server was started")
}

/// A name that no other test of any run has.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{name}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
