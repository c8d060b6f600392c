//! Runs the script `examples/observed/incident` against a program.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::Server;

/// The script.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/observed/incident");

/// Starts a program with a copy of the configuration in `folder`, on that store, and runs the
/// script against it.
///
/// # Panics
/// If the script fails.
pub fn incident(program: &str, folder: &str, file: &str, store: &str) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let work = env::temp_dir().join(format!("limiter-incident-{}-{count}", process::id()));
    fs::create_dir(&work).expect("the temporary folder can be written to");
    let text = fs::read_to_string(Path::new(folder).join(file)).expect("the example has a file");
    let text = text.replace("store = \"memory\"", &format!("store = \"{store}\""));
    let path = work.join(file);
    fs::write(&path, text).expect("the temporary folder can be written to");
    let name = path.to_str().expect("the folder's name is text");
    let (port, variable) = match file {
        "Rocket.toml" => ("ROCKET_PORT", "ROCKET_CONFIG"),
        _ => ("PORT", "LIMITER_CONFIG"),
    };
    // The timeout is for a machine that is busy with other tests.
    let timeouts = [("LIMITER_TIMEOUT", "5s"), ("ROCKET_LIMITER__TIMEOUT", "5s")];
    let server = Server::start(program, port, &[&[(variable, name)][..], &timeouts].concat());
    let url = format!("http://127.0.0.1:{}", server.port());
    let output = Command::new(SCRIPT).args([&url, name]).output().expect("there are sh and curl");
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{texts:?}\n{}", server.log());
    assert_eq!(texts[0].matches("ok: ").count(), 10, "{texts:?}");
    let _ = fs::remove_dir_all(work);
}

/// A Redis server without persistence. It is ended when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
}

impl RedisServer {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// If `redis-server` cannot be started, or does not listen within 30 s.
    #[must_use]
    pub fn start() -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = free.expect("there is a free port").port();
        let child = Command::new("redis-server")
            .args(["--save", "", "--bind", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Self { child, port }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
