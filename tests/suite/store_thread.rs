//! The thread of a remote store: neither busy threads of the application nor a runtime that
//! has ended are in the way of its calls.

use std::{
    thread,
    time::{Duration, Instant},
};

use limiter_core::{Check, Key, Store};
use tokio::{runtime, task::yield_now};

use crate::{
    databases::{builder, on_databases, store, unique},
    remote::{admits, policy, subject},
};

/// Long enough for any answer on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long the application's thread is busy.
const BUSY: Duration = Duration::from_secs(5);

on_databases! {
    an_answer_is_read_while_the_application_is_busy
    a_store_outlives_the_runtime_that_connected_it
}

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The only thread of the application does something else until long after the timeout.
fn an_answer_is_read_while_the_application_is_busy(url: &str) {
    runtime().block_on(async {
        let store = builder(url, &unique("busy")).timeout(TIMEOUT).connect().await.unwrap();
        let (policies, client) = ([policy("9/hour")], subject(Key::user("alice")));
        let busy = async {
            yield_now().await;
            thread::sleep(BUSY);
        };
        let start = Instant::now();
        let (decision, ()) = tokio::join!(store.decide(Check::new(&policies, &client, 1)), busy);
        assert!(start.elapsed() >= BUSY);
        assert_eq!(decision.unwrap().quotas()[0].remaining(), 8);
        let failed = store.health().into_iter().flatten().map(|server| server.calls.failed);
        assert_eq!(failed.sum::<u64>(), 0, "the server was not late");
    });
}

fn a_store_outlives_the_runtime_that_connected_it(url: &str) {
    let store = runtime().block_on(store(url, &unique("runtime")));
    let (policies, client) = ([policy("2/hour")], subject(Key::user("alice")));
    for admitted in [true, true, false] {
        let is_admitted = runtime().block_on(admits(&store, &policies, &client));
        assert_eq!(is_admitted, admitted);
    }
}
