//! What to do about a server that no check can use.

use redis::{ErrorKind, RedisError};

use super::error::CallError;

/// Returns what the server has said, and what to do about it. It never has the
/// URL, which may hold a password.
pub(super) fn explain(error: &CallError, address: &str, prefix: &str) -> String {
    let (words, advice) = match error {
        CallError::Redis(error) | CallError::Unsent(error) => {
            (words(error), advice(error, address, prefix))
        }
        CallError::NoMaster(_) => (error.to_string(), CLUSTER_DOWN.to_owned()),
        CallError::IsClusterNode => (error.to_string(), format!("write redis-cluster://{address}")),
        CallError::NotKept => (error.to_string(), NOT_KEPT.to_owned()),
        error => (error.to_string(), "try again".to_owned()),
    };
    format!("Redis at {address} cannot be used: {words}; {advice}")
}

const NOT_KEPT: &str = "name a server that neither evicts keys nor is being flushed";
const CLUSTER_DOWN: &str = "the cluster must have a master for each slot";

/// The server's own words, or the system's.
fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

fn advice(error: &RedisError, address: &str, prefix: &str) -> String {
    let said = words(error);
    let says = |word: &str| said.contains(word);
    let denied = || {
        format!(
            "allow its user what a check does: ACL SETUSER ... ~{prefix}:* +eval +evalsha +time \
             +get +mget +set +setex +setrange +del +pttl +scan, on a cluster also +cluster +asking"
        )
    };
    match error.kind() {
        ErrorKind::AuthenticationFailed => AUTHENTICATE.to_owned(),
        ErrorKind::MasterNameNotFoundBySentinel => {
            "end the URL with a name that `SENTINEL MASTERS` lists".to_owned()
        }
        ErrorKind::InvalidClientConfig => "correct the URL".to_owned(),
        _ if says("NOAUTH") || says("WRONGPASS") => AUTHENTICATE.to_owned(),
        _ if says("cluster support disabled") => {
            format!("it is no node of a cluster: write redis://{address}")
        }
        _ if says("MOVED") || says("CROSSSLOT") => {
            format!("it is a node of a cluster: write redis-cluster://{address}")
        }
        _ if says("CLUSTERDOWN") => CLUSTER_DOWN.to_owned(),
        _ if says("'SENTINEL'") || says("'sentinel'") => {
            "it is no sentinel: write redis:// with the address of a server".to_owned()
        }
        _ if says("unknown command") => {
            format!("if it is a sentinel, write redis-sentinel://{address}/service")
        }
        _ if says("NOPERM") || says("can't run this command") || says("no permissions") => denied(),
        _ if says("READONLY") => "it is a read-only replica: name the master, or the sentinels \
                                  that know it: redis-sentinel://host:port/service"
            .to_owned(),
        _ if says("OOM") => "it is full: raise its maxmemory, or empty it".to_owned(),
        _ if says("MISCONF") => {
            "it refuses to write as long as it cannot save to its disk".to_owned()
        }
        _ if says("LOADING") => "it is loading its data: start again in a moment".to_owned(),
        _ if error.is_io_error() => {
            "is Redis running there, and may this host reach it?".to_owned()
        }
        _ => "mend it, or name another server".to_owned(),
    }
}

const AUTHENTICATE: &str =
    "write the user and the password into the URL: redis://user:password@host:port";
