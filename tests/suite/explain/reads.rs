//! An explanation only reads, as servers log it.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use limiter_core::{AdmitOptions, Key};
use tokio::runtime::Runtime;

use super::{limiter, send};
use crate::{
    databases::store,
    servers::{start_postgres, start_redis},
    test_request::from,
};

/// A server of this test's own shows which commands it gets.
#[test]
fn redis_is_only_read() {
    let url = start_redis();
    let mut monitor =
        TcpStream::connect(url.trim_start_matches("redis://").trim_end_matches("/0")).unwrap();
    Runtime::new().unwrap().block_on(async {
        let limiter = limiter(store(&url, "monitored").await).await;
        let set = limiter.policies(["api", "all", "new"]).unwrap();
        send(&set, &from("192.0.2.1"), 1).await;
        monitor.write_all(b"MONITOR\r\n").unwrap();
        let mut lines = BufReader::new(monitor).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "+OK");
        for _ in 0..3 {
            set.explain(&from("192.0.2.1"), &AdmitOptions::default()).await;
        }
        // The last line: a write, which shows that others would be seen.
        limiter.reset("all", &Key::global()).await.unwrap();
        let mut commands = Vec::new();
        for line in lines.map_while(Result::ok) {
            let command = line.split('"').nth(1).unwrap_or_default().to_ascii_uppercase();
            let is_last = command == "DEL";
            commands.push(command);
            if is_last {
                break;
            }
        }
        let reads = ["EVALSHA", "EVAL", "GET", "TIME", "PING", "MGET"];
        let writes: Vec<_> =
            commands.iter().filter(|command| !reads.contains(&command.as_str())).collect();
        assert_eq!(writes, ["DEL"], "{commands:?}");
        assert!(commands.iter().filter(|command| *command == "GET").count() >= 12, "{commands:?}");
    });
}

/// PostgreSQL logs each statement.
#[test]
fn postgres_is_only_read() {
    let (url, log) = start_postgres(&["log_statement=all", "log_line_prefix="]);
    Runtime::new().unwrap().block_on(async {
        let limiter = limiter(store(&url, "logged").await).await;
        let set = limiter.policies(["api", "all"]).unwrap();
        send(&set, &from("192.0.2.1"), 1).await;
        let statements = || {
            let logged = std::fs::read_to_string(&log).unwrap();
            let is_statement = |line: &&str| {
                (line.starts_with("LOG:  statement:") || line.starts_with("LOG:  execute"))
                    && !line.contains("WITH looked AS")
            };
            logged.lines().filter(is_statement).map(str::to_owned).collect::<Vec<_>>()
        };
        // The log comes a little later than the answers.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = statements().len();
        for _ in 0..3 {
            set.explain(&from("192.0.2.1"), &AdmitOptions::default()).await;
        }
        while statements().len() < before + 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for statement in &statements()[before..] {
            assert!(statement.contains(": SELECT "), "{statement}");
            let writes = ["INSERT", "UPDATE", "DELETE", "FOR "];
            assert!(!writes.iter().any(|word| statement.contains(word)), "{statement}");
        }
    });
}
