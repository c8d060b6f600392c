//! Servers that no check can use: the start stops, and says why.

use redis::{Connection, cmd};

use super::{connection, ports};
use crate::{
    alone::alone,
    captured_log::CapturedLog,
    databases::{builder, unique},
    servers::{cluster_url, sentinel_url, start_redis, start_redis_with},
};

/// Does not start, and says all of that.
async fn stops(url: &str, words: &[&str]) {
    let error = builder(url, &unique("start")).connect().await.expect_err(url).to_string();
    let address = url.split(['@', '/']).find(|part| part.contains("127.0.0.1")).unwrap();
    let address = address.split(',').next().unwrap();
    for word in words.iter().chain([&address]) {
        assert!(error.contains(word), "{url}: {word:?} is not in {error:?}");
    }
    assert!(!error.contains("s3cret"), "{error}");
    println!("{error}");
}

fn tell(connection: &mut Connection, words: &[&str]) {
    let () = cmd(words[0]).arg(&words[1..]).query(connection).unwrap();
}

#[tokio::test]
async fn a_password_is_wanted() {
    let url = start_redis_with(&["--requirepass", "s3cret-word"]);
    stops(&url, &["NOAUTH", "redis://user:password@"]).await;
    stops(&url.replace("//", "//:s3cret-wrong@"), &["authentication failed", "password"]).await;
    builder(&url.replace("//", "//:s3cret-word@"), "limiter").connect().await.unwrap();
}

#[tokio::test]
async fn a_user_may_not_do_what_a_check_does() {
    let url = start_redis();
    let mut connection = connection(&url);
    let all = ["ACL", "SETUSER", "limited", "on", ">s3cret", "~*", "+@all"];
    let user = url.replace("//", "//limited:s3cret@");
    for denied in ["evalsha", "eval", "time", "get", "setex"] {
        tell(&mut connection, &[&all[..], &[&format!("-{denied}")]].concat());
        stops(&user, &["ACL SETUSER", denied]).await;
    }
    tell(&mut connection, &["ACL", "SETUSER", "limited", "+@all", "resetkeys", "~other:*"]);
    stops(&user, &["ACL SETUSER", "NOPERM"]).await;
    tell(&mut connection, &all);
    builder(&user, "limiter").connect().await.unwrap();
}

/// The permissions in the advice are enough.
#[tokio::test]
async fn the_rights_that_are_named_suffice() {
    let url = start_redis();
    let rights = "+eval +evalsha +time +get +mget +set +setex +setrange +del +pttl +scan";
    let user = ["ACL", "SETUSER", "limited", "on", ">s3cret", "~limiter:*"];
    let rights: Vec<&str> = rights.split(' ').collect();
    tell(&mut connection(&url), &[&user[..], &rights].concat());
    builder(&url.replace("//", "//limited:s3cret@"), "limiter").connect().await.unwrap();
}

#[tokio::test]
async fn a_server_refuses_to_write() {
    let replica = start_redis_with(&["--replicaof", "127.0.0.1", "1", "--replica-priority", "0"]);
    stops(&replica, &["READONLY", "redis-sentinel://"]).await;
    let full = start_redis_with(&["--maxmemory", "1"]);
    stops(&full, &["OOM", "maxmemory"]).await;
}

#[tokio::test]
async fn a_url_has_another_scheme_than_the_server() {
    let (cluster, sentinel) = (cluster_url(), sentinel_url());
    for port in ports(cluster) {
        stops(&format!("redis://127.0.0.1:{port}"), &["write redis-cluster://"]).await;
    }
    let sentinel = format!("redis://127.0.0.1:{}", ports(sentinel)[0]);
    stops(&sentinel, &["redis-sentinel://"]).await;
    let server = start_redis();
    let authority = server.strip_prefix("redis://").unwrap();
    stops(&format!("redis-cluster://{authority}"), &["write redis://"]).await;
    let service = authority.replace("/0", "/limits");
    stops(&format!("redis-sentinel://{service}"), &["redis://"]).await;
}

#[tokio::test]
async fn nobody_is_there() {
    for scheme in ["redis", "redis-cluster"] {
        stops(&format!("{scheme}://127.0.0.1:1"), &["Connection refused", "running"]).await;
    }
    stops("redis-sentinel://127.0.0.1:1/limits", &["Connection refused", "running"]).await;
    let error = builder("redis://no-such-host.invalid", "limiter").connect().await.unwrap_err();
    assert!(error.to_string().contains("no-such-host.invalid:6379"), "{error}");
}

#[test]
fn a_server_that_removes_keys_is_warned_of() {
    alone("redis::start::a_server_that_removes_keys_is_warned_of", || {
        let log = CapturedLog::of_process();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for (arguments, warnings) in [
            (["--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"], 0),
            (["--maxmemory", "1gb", "--maxmemory-policy", "noeviction"], 0),
            (["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"], 1),
            (["--maxmemory", "1gb", "--maxmemory-policy", "volatile-ttl"], 2),
        ] {
            let url = start_redis_with(&arguments);
            runtime.block_on(builder(&url, "limiter").connect()).unwrap();
            let text = log.text();
            assert_eq!(
                text.matches("maxmemory-policy is").count(),
                warnings,
                "{arguments:?} {text}"
            );
        }
        assert!(log.text().contains("maxmemory-policy is volatile-ttl: once"), "{}", log.text());
        // Without the right to ask nothing is said, and the start goes on.
        let url = start_redis_with(&["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"]);
        let user = ["ACL", "SETUSER", "limited", "on", ">s3cret", "~*", "+@all", "-info"];
        tell(&mut connection(&url), &user);
        let url = url.replace("//", "//limited:s3cret@");
        runtime.block_on(builder(&url, "limiter").connect()).unwrap();
        assert_eq!(log.text().matches("maxmemory-policy is").count(), 2, "{}", log.text());
    });
}
