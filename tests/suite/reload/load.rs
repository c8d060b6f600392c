//! Connections that send requests all the time, and check by which limit each answer was
//! decided.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::PATIENCE;

/// As many as keep the server busy.
const CONNECTIONS: usize = 8;

/// How many requests are sent at once over a connection.
const PIPELINED: usize = 8;

pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<u64>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// The limit that is in force, and the one that may be.
    known: AtomicU64,
    next: AtomicU64,
    /// The largest limit of any answer.
    seen: AtomicU64,
}

impl Load {
    /// Sends requests as soon as the server answers.
    pub(super) fn start(port: u16, limit: u64) -> Self {
        let shared = Arc::new(Shared::default());
        for value in [&shared.known, &shared.next] {
            value.store(limit, Ordering::SeqCst);
        }
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the server does not start");
            thread::sleep(Duration::from_millis(20));
        }
        let thread = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || send_until_stopped(port, &shared))
        };
        Self { threads: (0..CONNECTIONS).map(thread).collect(), shared }
    }

    pub(super) fn will_be(&self, limit: u64) {
        self.shared.next.store(limit, Ordering::SeqCst);
    }

    /// From now on each request is to be decided by that limit.
    pub(super) fn is(&self, limit: u64) {
        self.shared.known.store(limit, Ordering::SeqCst);
    }

    /// Waits for an answer by that limit.
    pub(super) fn wait_for(&self, limit: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.shared.seen.load(Ordering::SeqCst) < limit {
            assert!(!self.threads.iter().any(JoinHandle::is_finished), "a connection has failed");
            assert!(Instant::now() < deadline, "no answer by the limit {limit}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns how many requests were answered.
    pub(super) fn stop(self) -> u64 {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

fn send_until_stopped(port: u16, shared: &Shared) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let requests = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(PIPELINED);
    let (mut answers, mut count) = (Vec::new(), 0);
    while !shared.stop.load(Ordering::SeqCst) {
        let known = shared.known.load(Ordering::SeqCst);
        stream.write_all(&requests).unwrap();
        for _ in 0..PIPELINED {
            let answer = next_answer(&mut stream, &mut answers);
            let limit = limit_of(&answer);
            let next = shared.next.load(Ordering::SeqCst);
            assert!((known..=next).contains(&limit), "{limit} is not {known} to {next}");
            shared.seen.fetch_max(limit, Ordering::SeqCst);
            count += 1;
        }
    }
    count
}

/// The head of the next answer, in lower case. Its body is `hello`.
fn next_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> String {
    let mut chunk = [0; 16_384];
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let whole = end + 4 + b"hello".len();
            if buffer.len() >= whole {
                let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
                assert_eq!(&buffer[end + 4..whole], b"hello", "{head}");
                buffer.drain(..whole);
                return head;
            }
        }
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(buffer));
        buffer.extend_from_slice(&chunk[..read]);
    }
}

/// The limit of both policies, which are admitted by one.
fn limit_of(head: &str) -> u64 {
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let fields = head.lines().filter(|line| line.starts_with("ratelimit-policy:"));
    let limits: Vec<u64> = fields
        .flat_map(|line| line.split(";q=").skip(1))
        .map(|rest| rest.split(';').next().unwrap().parse().unwrap())
        .collect();
    assert!(limits.len() == 2 && limits[0] == limits[1], "a mixture: {head}");
    limits[0]
}
