//! PostgreSQL, and a pooler in front of it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use super::{Program, folder, free_port, run, text, unprivileged};

/// The URL of a PostgreSQL server: `LIMITER_TEST_POSTGRES_URL`, or one that is
/// started at first use.
pub(crate) fn postgres_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        env::var("LIMITER_TEST_POSTGRES_URL").unwrap_or_else(|_| start_postgres(&[]).0)
    })
}

/// The URL of the same server behind pgbouncer in transaction mode, as it is
/// set up by default; without a server of our own, the server's.
pub(crate) fn bouncer_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match env::var("LIMITER_TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => start_bouncer(postgres_url()),
    })
}

/// Starts a server of the caller's own with further settings; returns its URL
/// and where its log is.
pub(crate) fn start_postgres(settings: &[&str]) -> (String, PathBuf) {
    let (port, folder) = (free_port(), folder("postgres"));
    let (data, log) = (folder.join("data"), folder.join("log"));
    let initdb = program("initdb");
    let command =
        [&initdb, "-D", text(&data), "-U", "limiter", "-A", "trust", "-E", "UTF8", "--no-sync"];
    run(&unprivileged(&command));
    let (port_text, log_folder) = (port.to_string(), format!("log_directory={}", text(&log)));
    let postgres = program("postgres");
    let mut command = vec![&postgres, "-D", text(&data), "-p", &port_text, "-k", text(&folder)];
    let fixed = [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "max_connections=400",
        "logging_collector=on",
        "log_filename=log",
        &log_folder,
    ];
    for setting in fixed.iter().chain(settings) {
        command.extend(["-c", *setting]);
    }
    // A fast shutdown: it does not wait for clients.
    let command = unprivileged(&command);
    Program { command, folder: &folder, port, signal: "INT" }.keep();
    wait_until_it_is_ready(port);
    (format!("postgres://limiter:hunter2@127.0.0.1:{port}/postgres"), log.join("log"))
}

/// It listens before it is ready.
fn wait_until_it_is_ready(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (ready, port) = (program("pg_isready"), port.to_string());
    while !Command::new(&ready)
        .args(["-q", "-h", "127.0.0.1", "-p", &port])
        .status()
        .is_ok_and(|status| status.success())
    {
        assert!(Instant::now() < deadline, "PostgreSQL does not become ready");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A server's program, which Debian keeps out of the PATH.
fn program(name: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin").join(name));
    let path = env::var_os("PATH").unwrap_or_default();
    let everywhere = env::split_paths(&path).map(|folder| folder.join(name)).chain(debian);
    let found = everywhere.into_iter().find(|program| program.is_file());
    let found = found.unwrap_or_else(|| {
        panic!("there is no {name}; ./tests/run installs PostgreSQL where it is missing")
    });
    text(Path::new(&found)).to_owned()
}

fn start_bouncer(url: &str) -> String {
    let (port, folder) = (free_port(), folder("pgbouncer"));
    let server_port = url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next());
    let config = format!(
        "[databases]\npostgres = host=127.0.0.1 port={} user=limiter\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = 3\nunix_socket_dir =\n",
        server_port.expect("the URL has a port")
    );
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, config).expect("the temporary folder can be written to");
    let command = unprivileged(&["pgbouncer", "-q", text(&file)]);
    Program { command, folder: &folder, port, signal: "TERM" }.keep();
    format!("postgres://limiter:hunter2@127.0.0.1:{port}/postgres")
}
