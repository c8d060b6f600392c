//! Throwaway servers of the databases that stores keep state in: started by the
//! tests, on free ports, in temporary folders, and gone when the tests end.

use std::{
    collections::BTreeSet,
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Runs a program until standard input ends, then ends it and removes its
/// folder. The tests hold the other end of the pipe, so that their own end, be
/// it a crash, is the server's.
const KEEPER: &str = r#"folder=$1; shift; "$@" & pid=$!; cat >/dev/null; kill "$pid"; wait "$pid"; rm -rf "$folder""#;

/// The URL of a Redis server: `LIMITER_TEST_REDIS_URL`, or one that is started
/// at first use.
pub(crate) fn redis_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| env::var("LIMITER_TEST_REDIS_URL").unwrap_or_else(|_| start_redis()))
}

/// Starts a Redis server of the caller's own.
pub(crate) fn start_redis() -> String {
    let (port, folder) = (free_port(), folder("redis"));
    let port_text = port.to_string();
    let arguments = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--dir"];
    keep(&folder, "redis-server", arguments.into_iter().chain([text(&folder)]), port);
    format!("redis://127.0.0.1:{port}/0")
}

fn keep<'a>(folder: &Path, program: &str, arguments: impl IntoIterator<Item = &'a str>, port: u16) {
    let mut keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper", text(folder)])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is a shell");
    wait_until_it_serves(&mut keeper, program, port);
    // Its standard input stays open as long as this process lives.
    std::mem::forget(keeper);
}

fn wait_until_it_serves(keeper: &mut Child, program: &str, port: u16) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        let ended = keeper.try_wait().expect("the child's state can be read");
        assert!(ended.is_none(), "{program} ended: {ended:?}");
        assert!(
            Instant::now() < deadline,
            "{program} does not answer; is it installed? ./tests/run installs what is missing"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("limiter-{name}-{}-{count}", process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the temporary folder's name is text")
}

/// A port that is free, and that no other test has been given.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it was just bound").port();
        if given.insert(port) {
            return port;
        }
    }
}
