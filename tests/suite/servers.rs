//! Throwaway servers of the databases that stores keep state in: started by the
//! tests, on free ports, in temporary folders, and gone when the tests end.

mod mariadb;
mod postgres;
mod redis;

use std::{
    collections::BTreeSet,
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub(crate) use self::{
    mariadb::{mysql_url, start_mariadb},
    postgres::{bouncer_url, postgres_url, start_postgres},
    redis::{
        cluster_url, redis_url, sentinel_url, start_cluster, start_cluster_node_at, start_redis,
        start_redis_at, start_redis_with, start_redis_with_tls, start_sentinel,
    },
};

/// Runs a program until standard input ends, then ends it by a signal and
/// removes its folder. The tests hold the other end of the pipe, so that their
/// own end, be it a crash, is the server's.
const KEEPER: &str = r#"signal=$1; folder=$2; shift 2; "$@" & pid=$!
cat >/dev/null; kill -"$signal" "$pid"; wait "$pid"; rm -rf "$folder""#;

/// A program to run as a server.
struct Program<'a> {
    command: Vec<String>,
    folder: &'a Path,
    port: u16,
    /// The signal that ends it at once.
    signal: &'a str,
}

impl Program<'_> {
    /// Starts it, and waits until it serves.
    fn keep(&self) {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", self.signal, text(self.folder)])
            .args(&self.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        self.wait_until_it_serves(&mut keeper);
        // Its standard input stays open as long as this process lives.
        std::mem::forget(keeper);
    }

    fn wait_until_it_serves(&self, keeper: &mut Child) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let ended = keeper.try_wait().expect("the child's state can be read");
            assert!(ended.is_none(), "{:?} ended: {ended:?}", self.command);
            assert!(
                Instant::now() < deadline,
                "{:?} does not answer; is it installed? ./tests/run installs what is missing",
                self.command
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Runs a program to its end.
fn run(command: &[String]) {
    let output = Command::new(&command[0]).args(&command[1..]).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; ./tests/run installs what is missing")
    });
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {told}");
}

/// A command for a user without rights: some servers refuse to run as root.
fn unprivileged(command: &[&str]) -> Vec<String> {
    let as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    let prefix: &[&str] = if is_root() { &as_nobody } else { &[] };
    prefix.iter().chain(command).map(|&word| word.to_owned()).collect()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("there is an id");
    id.stdout.starts_with(b"0\n")
}

/// A folder that is there as long as this process.
pub(crate) fn kept_folder(name: &str) -> PathBuf {
    let folder = folder(name);
    let keeper = Command::new("sh")
        .args(["-c", "cat >/dev/null; rm -rf \"$1\"", "keeper", text(&folder)])
        .stdin(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    std::mem::forget(keeper);
    folder
}

/// A folder of its own, of the user that servers run as.
fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("limiter-{name}-{}-{count}", process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    if is_root() {
        run(&["chown", "nobody:nogroup", text(&folder)].map(str::to_owned));
    }
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
