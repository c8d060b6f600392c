//! A Redis server on the same host, by its unix socket.

use limiter_core::{Check, Key, Store};

use crate::{
    databases::{builder, unique},
    remote::{loses_nothing, policy, subject},
    servers::{kept_folder, start_redis_with},
};

/// Starts a server, and returns its URL by TCP and the path of its socket.
fn start() -> (String, String) {
    let path = kept_folder("redis-socket").join(unique("server")).display().to_string();
    (start_redis_with(&["--unixsocket", &path]), path)
}

#[tokio::test]
async fn limits_are_kept_by_a_socket() {
    let (tcp, path) = start();
    let policies = [policy("5/day")];
    let client = subject(Key::user("alice"));
    let take = async |url: &str| {
        let store = builder(url, "limiter").connect().await.unwrap();
        let decision = store.decide(Check::new(&policies, &client, 1)).await.unwrap();
        decision.quotas()[0].remaining()
    };
    assert_eq!(take(&format!("redis+unix://{path}")).await, 4);
    assert_eq!(take(&format!("unix://{path}?db=0")).await, 3);
    assert_eq!(take(&tcp).await, 2);
    // Another database of the same server.
    assert_eq!(take(&format!("redis+unix://{path}?db=1")).await, 4);
    assert_eq!(take(&tcp.replace("/0", "/1")).await, 3);
}

#[tokio::test]
async fn a_closed_socket_loses_no_request() {
    let (tcp, path) = start();
    let close = async || super::connections::close_and_wait(vec![super::connection(&tcp)]);
    loses_nothing(&format!("redis+unix://{path}"), 50, close).await;
}

#[tokio::test]
async fn nobody_listens_on_the_socket() {
    let path = kept_folder("redis-socket").join("nobody");
    let url = format!("redis+unix://{}", path.display());
    let error = builder(&url, "limiter").connect().await.unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}
