//! MariaDB.

use std::{env, fs, sync::OnceLock};

use super::{Program, folder, free_port, run, text, unprivileged};

/// The URL of a MySQL or MariaDB server: `LIMITER_TEST_MYSQL_URL`, or a MariaDB
/// that is started at first use.
pub(crate) fn mysql_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| env::var("LIMITER_TEST_MYSQL_URL").unwrap_or_else(|_| start_mariadb(&[])))
}

/// Starts a server of the caller's own with further options.
pub(crate) fn start_mariadb(further: &[&str]) -> String {
    let (port, folder) = (free_port(), folder("mariadb"));
    let data = format!("--datadir={}", text(&folder.join("data")));
    // A server that starts deletes all temporary tables of its `tmpdir`, also those
    // of servers that run: with one for all, 15 of 90 that were installed at once failed.
    let temporary = format!("--tmpdir={}", text(&folder));
    let install = ["mariadb-install-db", "--no-defaults", &data, &temporary, "--skip-test-db"];
    run(&unprivileged(&[&install[..], &["--auth-root-authentication-method=normal"]].concat()));
    let (file, sql) = (
        folder.join("init.sql"),
        "CREATE DATABASE IF NOT EXISTS limiter;\n\
         CREATE USER IF NOT EXISTS limiter@'127.0.0.1' IDENTIFIED BY 'hunter2';\n\
         GRANT ALL ON limiter.* TO limiter@'127.0.0.1';\n",
    );
    fs::write(&file, sql).expect("the temporary folder can be written to");
    let options = [
        data,
        temporary,
        format!("--port={port}"),
        format!("--socket={}", text(&folder.join("socket"))),
        format!("--pid-file={}", text(&folder.join("pid"))),
        format!("--init-file={}", text(&file)),
    ];
    let mut command = vec!["mariadbd", "--no-defaults", "--bind-address=127.0.0.1"];
    command.extend(options.iter().map(String::as_str));
    command.extend(["--innodb-flush-log-at-trx-commit=0", "--max-connections=400"]);
    command.extend(further);
    let command = unprivileged(&command);
    Program { command, folder: &folder, port, signal: "TERM" }.keep();
    format!("mysql://limiter:hunter2@127.0.0.1:{port}/limiter")
}
