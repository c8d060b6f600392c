//! Advice for the operator about a server that no check can use.

/// Returns what the server has said, and what to do about it. It never has the
/// URL, which may hold a password.
pub(super) fn explain(words: &str, address: &str, prefix: &str) -> String {
    format!("Redis at {address} cannot be used: {words}; {}", advice(words, address, prefix))
}

fn advice(words: &str, address: &str, prefix: &str) -> String {
    let says = |word: &str| words.contains(word);
    if says("NOAUTH") || says("WRONGPASS") || says("authentication failed") {
        "write the user and the password into the URL: redis://user:password@host:port".to_owned()
    } else if says("knows no service") {
        "end the URL with a name that `SENTINEL MASTERS` lists".to_owned()
    } else if says("cluster support disabled") {
        format!("it is no node of a cluster: write redis://{address}")
    } else if says("MOVED") || says("is a node of a cluster") {
        format!("write redis-cluster://{address}")
    } else if says("CLUSTERDOWN") || says("no master of the cluster") {
        "the cluster must have a master for each slot".to_owned()
    } else if says("'SENTINEL'") || says("'sentinel'") {
        "it is no sentinel: write redis:// with the address of a server".to_owned()
    } else if says("unknown command") {
        format!("if it is a sentinel, write redis-sentinel://{address}/service")
    } else if says("NOPERM") || says("can't run this command") || says("no permissions") {
        format!(
            "allow its user what a check does: ACL SETUSER ... ~{prefix}:* +eval +evalsha +time \
             +get +mget +set +setex +setrange +del +pttl +scan, on a cluster also +cluster +asking"
        )
    } else if says("READONLY") {
        "it is a read-only replica: name the master, or the sentinels that know it: \
         redis-sentinel://host:port/service"
            .to_owned()
    } else if says("OOM") {
        "it is full: raise its maxmemory, or empty it".to_owned()
    } else if says("MISCONF") {
        "it refuses to write as long as it cannot save to its disk".to_owned()
    } else if says("LOADING") {
        "it is loading its data: start again in a moment".to_owned()
    } else {
        "is Redis running there, and may this host reach it?".to_owned()
    }
}
