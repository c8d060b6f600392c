//! Runtimes that ask often have a connection of their own: in calm their requests take it, and
//! otherwise that of the store's thread, so that a busy runtime loses no answer and holds up
//! nobody.

mod closed_connections;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::{Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use limiter_core::{Check, Key, Policy, RemoteStore, Store, StoreErrorKind};
use redis::{Connection, Value, cmd};
use tokio::{
    runtime,
    task::{JoinSet, yield_now},
};

use super::{connection, ports};
use crate::{
    databases::{builder, store, unique},
    remote::{admits, policy, subject},
    servers::{start_cluster, start_redis},
};

/// Requests after which a runtime has its connection, and some more.
const OFTEN: u32 = 100;

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Checks so often that the runtime gets its connection, and waits until that is there.
async fn warm_up(store: &RemoteStore, policies: &[Policy]) {
    for _ in 0..OFTEN {
        assert!(admits(store, policies, &subject(Key::user("warm-up"))).await);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The ports of the clients that call a script of a server, one for each call.
struct Monitor(mpsc::Receiver<u16>);

impl Monitor {
    fn start(url: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", ports(url)[0])).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let (callers, received) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                if line.contains("\"EVALSHA\"") {
                    let port = line.split(']').next().and_then(|client| client.rsplit(':').next());
                    let _ = callers.send(port.unwrap().parse().unwrap());
                }
            }
        });
        Self(received)
    }

    /// Returns the callers since the last time.
    async fn callers(&self) -> Vec<u16> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.0.try_iter().collect()
    }

    /// Checks until that goes by another connection than that of the store's thread, and
    /// returns it.
    async fn caller_in_calm(&self, store: &RemoteStore, who: &[Policy], of_store: u16) -> u16 {
        let start = Instant::now();
        loop {
            assert!(admits(store, who, &subject(Key::user("calm"))).await);
            match self.callers().await.pop() {
                Some(caller) if caller != of_store => return caller,
                _ => assert!(start.elapsed() < Duration::from_secs(30), "it is never calm"),
            }
        }
    }
}

/// How many clients are connected, but for the one that asks.
fn clients(connection: &mut Connection) -> usize {
    let clients: String = cmd("CLIENT").arg(&["LIST", "TYPE", "normal"]).query(connection).unwrap();
    clients.lines().count() - 1
}

#[test]
fn a_busy_runtime_takes_the_connection_of_the_store() {
    let url = start_redis();
    let (policies, alice) = ([policy("100000/hour")], subject(Key::user("alice")));
    let monitor = Monitor::start(&url);
    runtime().block_on(async {
        let store = store(&url, &unique("busy")).await;
        assert!(admits(&store, &policies, &alice).await);
        let of_store = *monitor.callers().await.last().unwrap();
        warm_up(&store, &policies).await;
        monitor.callers().await;
        // In calm, which other tests may disturb.
        let own = monitor.caller_in_calm(&store, &policies, of_store).await;
        // Many at once.
        let mut tasks = JoinSet::new();
        for user in 0..1_000 {
            let (store, policies) = (store.clone(), policies.clone());
            let who = subject(Key::user(&user.to_string()));
            tasks.spawn(async move { admits(&store, &policies, &who).await });
        }
        assert!(tasks.join_all().await.iter().all(|is_admitted| *is_admitted));
        assert!(monitor.callers().await.contains(&of_store));
        // Something keeps the thread while a request is under way.
        let busy = async {
            yield_now().await;
            thread::sleep(Duration::from_millis(200));
        };
        let (is_admitted, ()) = tokio::join!(admits(&store, &policies, &alice), busy);
        assert!(is_admitted);
        monitor.callers().await;
        assert!(admits(&store, &policies, &alice).await);
        assert_eq!(monitor.callers().await, [of_store]);
        // And not for ever.
        assert_eq!(monitor.caller_in_calm(&store, &policies, of_store).await, own);
    });
}

/// Far beyond the timeout.
#[test]
fn an_answer_is_read_by_a_runtime_that_was_busy() {
    let url = start_redis();
    let (policies, alice) = ([policy("9/hour")], subject(Key::user("alice")));
    runtime().block_on(async {
        let store = builder(&url, &unique("answer")).timeout(Duration::from_millis(200));
        let store = store.connect().await.unwrap();
        warm_up(&store, &[policy("1000/hour")]).await;
        for remaining in (5..9).rev() {
            let busy = async {
                yield_now().await;
                thread::sleep(Duration::from_secs(1));
            };
            let check = Check::new(&policies, &alice, 1);
            let (decision, ()) = tokio::join!(store.decide(check), busy);
            assert_eq!(decision.unwrap().quotas()[0].remaining(), remaining);
        }
        let failed = store.health().into_iter().flatten().map(|server| server.calls.failed);
        assert_eq!(failed.sum::<u64>(), 0, "the server was not late");
    });
}

/// As in a handler without `async`: the thread sleeps that would read the answer.
#[test]
fn a_thread_that_waits_for_itself_gets_an_error() {
    let url = start_redis();
    let (policies, alice) = ([policy("9/hour")], subject(Key::user("alice")));
    runtime().block_on(async {
        let store = store(&url, &unique("itself")).await;
        warm_up(&store, &[policy("1000/hour")]).await;
        let runtime = runtime::Handle::current();
        let check = || {
            let decide = async || store.decide(Check::new(&policies, &alice, 1)).await;
            thread::scope(|scope| scope.spawn(|| runtime.block_on(decide())).join().unwrap())
        };
        let error = check().unwrap_err();
        assert!(matches!(error.kind(), StoreErrorKind::Overloaded { .. }), "{error}");
        // The store's thread answers from then on.
        assert!(check().unwrap().is_allowed());
    });
}

#[test]
fn a_busy_runtime_holds_up_no_other() {
    let url = start_redis();
    let store = runtime().block_on(store(&url, &unique("other")));
    let policies = [policy("1000000/hour")];
    let both_are_warm = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            runtime().block_on(async {
                warm_up(&store, &policies).await;
                both_are_warm.wait();
                let busy = async {
                    yield_now().await;
                    thread::sleep(Duration::from_secs(2));
                };
                let carol = subject(Key::user("carol"));
                tokio::join!(admits(&store, &policies, &carol), busy)
            })
        });
        scope.spawn(|| {
            runtime().block_on(async {
                warm_up(&store, &policies).await;
                both_are_warm.wait();
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(500) {
                    let sent = Instant::now();
                    // The client of the other runtime, whose check may be under way.
                    assert!(admits(&store, &policies, &subject(Key::user("carol"))).await);
                    assert!(sent.elapsed() < Duration::from_millis(1_500), "{:?}", sent.elapsed());
                }
            });
        });
    });
}

#[test]
fn a_runtime_that_ends_leaves_no_connection() {
    let url = start_redis();
    let mut server = connection(&url);
    let store = runtime().block_on(store(&url, &unique("ends")));
    let before = clients(&mut server);
    for _ in 0..100 {
        runtime().block_on(warm_up(&store, &[policy("1000000/hour")]));
    }
    assert!(clients(&mut server) <= before + 1, "{} {before}", clients(&mut server));
    // The server sees a moment later that the last one is closed: counted before that, it was the
    // one that is less below.
    let start = Instant::now();
    while clients(&mut server) > before {
        assert!(start.elapsed() < Duration::from_secs(5), "{} {before}", clients(&mut server));
        thread::sleep(Duration::from_millis(1));
    }
    // One that asks seldom has none.
    runtime().block_on(async {
        assert!(admits(&store, &[policy("9/hour")], &subject(Key::user("alice"))).await);
        assert_eq!(clients(&mut server), before);
    });
}

#[test]
fn a_runtime_without_io_takes_the_connection_of_the_store() {
    let url = start_redis();
    let store = runtime().block_on(store(&url, &unique("io")));
    let mut server = connection(&url);
    let before = clients(&mut server);
    runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        for _ in 0..3 {
            warm_up(&store, &[policy("1000000/hour")]).await;
        }
    });
    assert_eq!(clients(&mut server), before);
}

/// The replica of a cluster takes over, and a runtime that asks is the first to learn of it.
#[test]
fn a_master_outlives_the_runtime_that_has_met_it() {
    let url = start_cluster();
    let prefix = unique("met");
    let store = runtime().block_on(store(&url, &prefix));
    let policies = [policy("1000000/hour")];
    let mut master = super::at(ports(&url)[0]);
    let mut replica = loop {
        let role: (String, u64, Vec<(String, u16, u64)>) = cmd("ROLE").query(&mut master).unwrap();
        match role.2.first() {
            Some((_, port, _)) => break super::at(*port),
            None => thread::sleep(Duration::from_millis(50)),
        }
    };
    let who = (0..).map(|user| format!("user-{user}")).find(|user| {
        let name = format!("{prefix}:{{user={user}}}:x");
        cmd("GET").arg(name).query::<Option<String>>(&mut master).is_ok()
    });
    let who = subject(Key::user(&who.unwrap()));
    runtime().block_on(async {
        for _ in 0..2 * OFTEN {
            assert!(admits(&store, &policies, &who).await);
        }
        let () = cmd("CLUSTER").arg("FAILOVER").query(&mut replica).unwrap();
        let is_replica = |server: &mut Connection| -> bool {
            let role: Vec<Value> = cmd("ROLE").query(server).unwrap();
            role[0] != Value::BulkString(b"master".to_vec())
        };
        while is_replica(&mut replica) {
            assert!(admits(&store, &policies, &who).await);
        }
        for _ in 0..OFTEN {
            assert!(admits(&store, &policies, &who).await);
        }
    });
    for _ in 0..3 {
        assert!(runtime().block_on(admits(&store, &policies, &who)));
    }
}
