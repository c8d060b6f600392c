//! Deadlines that move while this process lags.

use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use tokio::{task::yield_now, time::sleep};

use super::batcher;

/// The thread is busy past the deadline. Returns if the answer is waited for that needs
/// some time more then.
async fn waits_beyond_the_deadline(server_answers: bool) -> bool {
    let batcher = batcher(&Arc::default(), Duration::from_secs(5));
    let since = Instant::now();
    sleep(Duration::from_millis(2)).await;
    if server_answers {
        batcher.0.breaker.start_call().succeeded();
    }
    let answer = async {
        yield_now().await;
        thread::sleep(Duration::from_millis(100));
        sleep(Duration::from_millis(10)).await;
    };
    let deadline = since + Duration::from_millis(50);
    batcher.0.in_time(answer, since, deadline).await.is_some()
}

#[tokio::test]
async fn a_deadline_moves_where_only_this_process_is_late() {
    assert!(waits_beyond_the_deadline(true).await);
    assert!(!waits_beyond_the_deadline(false).await, "the server may be the one that is late");
}

#[tokio::test]
async fn a_deadline_moves_twice_at_most() {
    let batcher = batcher(&Arc::default(), Duration::from_millis(20));
    let since = Instant::now();
    sleep(Duration::from_millis(2)).await;
    batcher.0.breaker.start_call().succeeded();
    let mut polls = 0;
    let busy = poll_fn(|_| {
        polls += 1;
        thread::sleep(Duration::from_millis(60));
        Poll::<()>::Pending
    });
    assert!(batcher.0.in_time(busy, since, Instant::now()).await.is_none());
    assert!(polls <= 3 * 4, "it is polled when a wait begins and when it ends: {polls}");
}
