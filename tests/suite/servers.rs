//! Throwaway servers of the databases that stores keep state in: started by the
//! tests, on free ports, in temporary folders, and gone when the tests end.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::OnceLock,
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
    URL.get_or_init(|| match env::var("LIMITER_TEST_REDIS_URL") {
        Ok(url) => url,
        Err(_) => {
            let (port, folder) = (free_port(), folder("redis"));
            let port_text = port.to_string();
            let arguments = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--dir"];
            let program = Command::new("redis-server");
            keep(&folder, &program, arguments.iter().copied().chain([text(&folder)]), port);
            format!("redis://127.0.0.1:{port}/0")
        }
    })
}

fn keep<'a>(
    folder: &Path,
    program: &Command,
    arguments: impl IntoIterator<Item = &'a str>,
    port: u16,
) {
    let name = program.get_program();
    let mut keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper", text(folder)])
        .arg(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is a shell");
    wait_until_it_serves(&mut keeper, &name.to_string_lossy(), port);
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
    let folder = env::temp_dir().join(format!("limiter-{name}-{}", process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the temporary folder's name is text")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it was just bound").port()
}
