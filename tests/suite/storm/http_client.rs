//! A load client: HTTP/1.1 over connections that are kept alive, to a server on
//! loopback. Input: a port and requests as bytes. Output: how many answers had
//! which status, and how long they took.
//!
//! It is written here since a client for production protects servers from what
//! it is for: thousands of requests that are sent in the same moment.

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// The longest time that an answer is waited for; then it counts as lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer that is read.
const MAX_ANSWER: usize = 16_384;

/// How many connections are opened at once: fewer than a server's backlog.
const OPENED_AT_ONCE: usize = 100;

/// The outcomes of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// How many had which status.
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// The time from sending to the end of each answer.
    latencies: Vec<Duration>,
    /// Why requests were not answered, at most once each.
    pub(crate) lost: BTreeMap<String, usize>,
}

impl Answers {
    pub(crate) fn add(&mut self, result: io::Result<u16>, latency: Duration) {
        match result {
            Ok(status) => {
                *self.statuses.entry(status).or_default() += 1;
                self.latencies.push(latency);
            }
            Err(error) => *self.lost.entry(error.to_string()).or_default() += 1,
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (reason, count) in other.lost {
            *self.lost.entry(reason).or_default() += count;
        }
        self.latencies.extend(other.latencies);
    }

    /// How many answers had that status.
    pub(crate) fn with(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * percent / 100).copied().unwrap_or_default()
    }
}

/// A request without a body, or with one, from an address behind a proxy.
pub(crate) fn request(method: &str, path: &str, address: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {address}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    port: u16,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> io::Result<Self> {
        Ok(Self { port, stream: connect(port).await?, buffer: Vec::new() })
    }

    /// Sends a request and returns the answer's status.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<u16> {
        let answer = timeout(PATIENCE, async {
            match self.try_send(request).await {
                // The server has closed it while it was idle.
                Err(_) if self.buffer.is_empty() => {
                    self.stream = connect(self.port).await?;
                    self.try_send(request).await
                }
                result => result,
            }
        });
        answer.await.map_err(|_| io::Error::other("not answered in time"))?
    }

    async fn try_send(&mut self, request: &[u8]) -> io::Result<u16> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            if let Some((status, length)) = head(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(status);
            }
            if self.buffer.len() > MAX_ANSWER {
                return Err(io::Error::other("the answer is too long"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::other("the server has closed the connection"));
            }
        }
    }
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    let connected = timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
    let stream = connected.await.map_err(|_| io::Error::other("not connected in time"))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The status of an answer and its length with the body, once its head is
/// there.
fn head(answer: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = text.get(9..12).and_then(|digits| digits.parse().ok());
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|digits| digits.trim().parse::<usize>().ok());
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some((status, end + 4 + length))),
        _ => Err(io::Error::other(format!("no status or length: {text}"))),
    }
}

/// Many connections of one client.
pub(crate) struct Attacker {
    connections: Vec<Connection>,
}

impl Attacker {
    /// Opens the connections, a hundred at once.
    ///
    /// # Panics
    /// If one is refused.
    pub(crate) async fn connect(port: u16, count: usize) -> Self {
        let mut connections = Vec::with_capacity(count);
        while connections.len() < count {
            let missing = (count - connections.len()).min(OPENED_AT_ONCE);
            let opening: JoinSet<_> = (0..missing).map(|_| Connection::open(port)).collect();
            for opened in opening.join_all().await {
                connections.push(opened.expect("the server takes connections"));
            }
        }
        Self { connections }
    }

    /// Sends a request over all connections at once and waits for the answers.
    /// A connection that failed is not used again.
    pub(crate) async fn burst(&mut self, request: &[u8]) -> Answers {
        let mut tasks = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let request = request.to_owned();
            tasks.spawn(async move {
                let start = Instant::now();
                let result = connection.send(&request).await;
                (connection, result, start.elapsed())
            });
        }
        let mut answers = Answers::default();
        for (connection, result, latency) in tasks.join_all().await {
            if result.is_ok() {
                self.connections.push(connection);
            }
            answers.add(result, latency);
        }
        answers
    }
}
