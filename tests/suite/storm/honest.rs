//! Honest clients beside an attack: one request every 5 ms (in the short form every
//! 25 ms), each from another address, over as many connections as it takes to be in time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime, task::JoinSet, time::Instant};

use super::{
    Form,
    http_client::{Answers, Connection, request},
    service::address,
};

/// The time from one request to the next: in the short form such that a program that is
/// not optimised, on a machine that is busy with other tests, keeps up with them.
fn period() -> Duration {
    Duration::from_millis(if Form::from_environment() == Form::Long { 5 } else { 25 })
}

/// The most requests that wait for an answer; the server has failed then.
const MAX_WAITING: usize = 4_000;

/// Clients that send requests until they are told to stop. They have a thread
/// of their own: what the attacker does to its runtime does not show in their
/// latencies.
pub(crate) struct HonestClients {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

impl HonestClients {
    pub(crate) fn start(port: u16, method: &'static str, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(send_until(&stopped, port, method, path))
        });
        Self { stop, thread }
    }

    /// Waits for the answers that are missing and returns all.
    pub(crate) fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }

    /// Their answers in that time when nobody else is there.
    pub(crate) fn measure(
        port: u16,
        method: &'static str,
        path: &'static str,
        time: Duration,
    ) -> Answers {
        let clients = Self::start(port, method, path);
        thread::sleep(time);
        clients.stop()
    }
}

/// A latency begins when the request was due, so that a server that holds up
/// its clients does not thereby look faster.
async fn send_until(stop: &AtomicBool, port: u16, method: &str, path: &str) -> Answers {
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let mut tasks = JoinSet::new();
    let mut answers = Answers::default();
    let (mut due, period) = (Instant::now(), period());
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due).await;
        let (idle, request) = (Arc::clone(&idle), request(method, path, &address(), "secret"));
        tasks.spawn(async move {
            let result = send(port, &idle, &request).await;
            (result, due.elapsed())
        });
        while let Some(done) = tasks.try_join_next() {
            let (result, latency) = done.unwrap();
            answers.add(result, latency);
        }
        assert!(tasks.len() < MAX_WAITING, "honest clients are not answered");
        due += period;
    }
    for (result, latency) in tasks.join_all().await {
        answers.add(result, latency);
    }
    answers
}

async fn send(port: u16, idle: &Mutex<Vec<Connection>>, request: &[u8]) -> std::io::Result<u16> {
    let connection = idle.lock().unwrap().pop();
    let mut connection = match connection {
        Some(connection) => connection,
        None => Connection::open(port).await?,
    };
    let status = connection.send(request).await?;
    idle.lock().unwrap().push(connection);
    Ok(status)
}
