//! Drives a program that serves HTTP on loopback, as a stranger would.

pub mod config_example;
mod incident;
mod log;

use std::{
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ureq::{Agent, http::Response};

pub use self::{
    config_example::ConfigExample,
    incident::{RedisServer, incident},
    log::Log,
};

/// The READMEs' code compiles.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../../README.md")]
    struct Root;
    #[doc = include_str!("../../limiter-actix/README.md")]
    struct Actix;
    #[doc = include_str!("../../limiter-core/README.md")]
    struct Core;
    #[doc = include_str!("../../limiter-rocket/README.md")]
    struct Rocket;
}

/// How long a program may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that serves on a port of its own. It is ended when this is
/// dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    agent: Agent,
    log: Log,
}

impl Server {
    /// Starts a program that serves on the port that it finds in the
    /// environment under `port_variable`: any free one, of which it tells by
    /// printing `http://127.0.0.1:<port>`.
    ///
    /// # Panics
    /// If it cannot be started, or ends, or tells of no port within 30 s.
    #[must_use]
    pub fn start(program: &str, port_variable: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .env(port_variable, "0")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let output = child.stdout.take().expect("its output is piped");
        let log = Log::default();
        log.read(child.stderr.take().expect("its errors are piped"));
        let (tell, told) = mpsc::channel();
        // To the end, or the program would wait for somebody to read.
        let lines = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(port) = port_in(&line) {
                    // Told once; later lines find nobody listening.
                    let _ = tell.send(port);
                } else {
                    lines.push(line);
                }
            }
        });
        let port = told.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("{program} tells of no port: {:?}\n{log}", child.wait())
        });
        let agent = Agent::config_builder().http_status_as_error(false).build().into();
        let mut server = Self { child, port, agent, log };
        server.wait_until_it_serves();
        server
    }

    /// Sends a request and returns the response, its body read.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<String> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("the test's request is one");
        let response = self.agent.run(request).expect("the server answers");
        let (head, mut body) = response.into_parts();
        let mut text = String::new();
        body.as_reader().read_to_string(&mut text).expect("the body is text");
        Response::from_parts(head, text)
    }

    /// The port that it serves on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The lines that it has printed since it started.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Sends a GET without headers.
    #[must_use]
    pub fn get(&self, path: &str) -> Response<String> {
        self.send("GET", path, &[], "")
    }

    fn wait_until_it_serves(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let ended = self.child.try_wait().expect("the child's state can be read");
            assert!(ended.is_none(), "the program ended: {ended:?}");
            assert!(Instant::now() < deadline, "the program does not serve");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("the program printed {} lines:\n{}", self.log.count(), self.log);
        }
    }
}

/// Runs a program that is expected to refuse to start.
///
/// # Panics
/// If it is still running after 30 s.
#[must_use]
pub fn run_to_end(program: &str, environment: &[(&str, &str)]) -> Output {
    let mut child = Command::new(program)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("the child's state can be read").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the program started although it should not");
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("the output can be read")
}

/// A header of a response, as text.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn header<'r>(response: &'r Response<String>, name: &str) -> &'r str {
    let value = response.headers().get(name);
    let value = value.unwrap_or_else(|| panic!("{name} is missing: {response:?}"));
    value.to_str().expect("the header is text")
}

/// The port of an address that a program prints.
fn port_in(line: &str) -> Option<u16> {
    let (_, after) = line.split_once("http://127.0.0.1:")?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after[..digits].parse().ok()
}

/// Sends 25 requests to a quickstart, each from an address that it claims in
/// every header there is: 10 pass, 10 are limited, the others are banned.
///
/// # Panics
/// If the server does otherwise.
pub fn quickstart(server: &Server, path: &str, body: &str) {
    for n in 1..=25 {
        let address = format!("203.0.113.{n}");
        let forwarded = format!("for={address}");
        let headers = [
            ("x-forwarded-for", address.as_str()),
            ("x-real-ip", &address),
            ("forwarded", &forwarded),
        ];
        let answer = server.send("GET", path, &headers, "");
        let retry_after = || header(&answer, "retry-after").parse::<u64>().expect("it is seconds");
        match n {
            1..=10 => {
                assert_eq!((answer.status().as_u16(), answer.body().as_str()), (200, body));
                assert!(header(&answer, "ratelimit-policy").ends_with(";q=10;w=60"));
                assert!(header(&answer, "ratelimit").contains(&format!(";r={};", 10 - n)));
            }
            11..=20 => {
                assert_eq!(answer.status(), 429, "request {n}");
                assert!((1..=60).contains(&retry_after()));
                assert_eq!(header(&answer, "content-type"), "application/problem+json");
                assert!(answer.body().contains("#quota-exceeded"), "{answer:?}");
            }
            _ => {
                assert_eq!(answer.status(), 403, "request {n}");
                assert!((1..=120).contains(&retry_after()));
                assert!(answer.body().contains("#abnormal-usage-detected"), "{answer:?}");
            }
        }
    }
}

/// Asserts that a program ended with exit code 1 and one message that contains `parts`.
///
/// # Panics
/// If it did not.
pub fn refused_to_start(output: &Output, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
