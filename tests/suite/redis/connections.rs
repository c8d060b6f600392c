//! Connections that servers close: nobody loses a request by one.

use std::{thread, time::Duration};

use limiter_core::{Check, Key, Store};
use redis::{Connection, cmd};
use tokio::time::sleep;

use super::{at, connection, ports};
use crate::{
    databases::{builder, unique},
    remote::{loses_nothing, policy, subject},
    servers::{start_cluster, start_redis, start_redis_at, start_sentinel},
};

fn close_all(servers: &mut [Connection]) {
    for server in servers {
        let _: u64 =
            cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query(server).unwrap();
    }
}

/// The longest time until the end of a stream arrives.
const MOMENT: Duration = Duration::from_millis(3);

/// Closes the connections of all clients of those servers, and waits until the store's
/// thread may have read it.
pub(super) fn close_and_wait(mut servers: Vec<Connection>) {
    close_all(&mut servers);
    thread::sleep(MOMENT);
}

#[tokio::test]
async fn clients_are_killed_on_one_server() {
    let url = start_redis();
    loses_nothing(&url, 200, async || close_and_wait(vec![connection(&url)])).await;
}

#[tokio::test]
async fn clients_are_killed_behind_sentinel() {
    let url = start_sentinel();
    let mut sentinel = at(ports(&url)[0]);
    // It is a client of the master, too: cut off again and again, it would name
    // another one.
    let () = cmd("SENTINEL")
        .arg(&["SET", "limits", "down-after-milliseconds", "600000"])
        .query(&mut sentinel)
        .unwrap();
    let (_, port): (String, u16) =
        cmd("SENTINEL").arg(&["GET-MASTER-ADDR-BY-NAME", "limits"]).query(&mut sentinel).unwrap();
    loses_nothing(&url, 200, async || close_and_wait(vec![at(port)])).await;
}

#[tokio::test]
async fn clients_are_killed_on_a_cluster() {
    let url = start_cluster();
    let nodes = || ports(&url).into_iter().map(at).collect();
    loses_nothing(&url, 200, async || close_and_wait(nodes())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed() {
    let url = start_redis();
    let () = cmd("CONFIG").arg(&["SET", "timeout", "1"]).query(&mut connection(&url)).unwrap();
    loses_nothing(&url, 3, async || sleep(Duration::from_millis(2_500)).await).await;
}

/// In a quiet moment, for longer than the store waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_restarted_while_nobody_asks() {
    let url = start_redis();
    let port = ports(&url)[0];
    for _ in 0..5 {
        let store = builder(&url, &unique("restart")).timeout(Duration::from_millis(100));
        let store = store.connect().await.unwrap();
        let (policies, client) = ([policy("9/hour")], subject(Key::user("alice")));
        let _ = store.decide(Check::new(&policies, &client, 1)).await.unwrap();
        let _ = cmd("SHUTDOWN").arg("NOSAVE").query::<()>(&mut connection(&url));
        sleep(Duration::from_millis(300)).await;
        start_redis_at(port);
        let decision = store.decide(Check::new(&policies, &client, 1)).await.unwrap();
        assert_eq!(decision.quotas()[0].remaining(), 8);
    }
}
