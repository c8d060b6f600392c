//! A banned client that sends another value of the header that its key is made
//! of with each request.

use std::{
    thread,
    time::{Duration, Instant},
};

use limiter_tests::Server;
use redis::{Client, cmd};

use super::{
    alone,
    service::{Framework, ROUTES, address, start},
};
use crate::{databases::unique, servers::start_redis};

const SETTINGS: &str = "quota = \"5/hour\"\n\
     key = \"header:x-api-key\"\n\
     per_address = 2\n\
     ban = { threshold = 3, window = \"1m\", duration = \"10m\" }";

#[test]
fn of_a_banned_client_the_store_is_called_once_a_second_on_actix() {
    of_a_banned_client_the_store_is_called_once_a_second(Framework::Actix);
}

#[test]
fn of_a_banned_client_the_store_is_called_once_a_second_on_rocket() {
    of_a_banned_client_the_store_is_called_once_a_second(Framework::Rocket);
}

fn of_a_banned_client_the_store_is_called_once_a_second(framework: Framework) {
    let _storm = alone();
    let url = start_redis();
    let server = start(framework, &url, &unique("storm"), SETTINGS);
    let client = address();
    for route in ROUTES {
        // An address has twice the quota and twice the strikes.
        let statuses: Vec<u16> = (0..16).map(|n| status(&server, route, &client, n)).collect();
        assert_eq!(statuses, [&[200; 10][..], &[429; 5], &[403]].concat(), "{}", route.0);
    }
    let (calls, start) = (script_calls(&url), Instant::now());
    let mut requests = 0;
    while start.elapsed() < Duration::from_secs(2) {
        for route in ROUTES {
            assert_eq!(status(&server, route, &client, 100 + requests), 403, "{}", route.0);
            requests += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let calls = script_calls(&url) - calls;
    let most = ROUTES.len() as u64 * (start.elapsed().as_secs() + 1);
    println!("{framework:?}: {calls} calls for {requests} requests of banned clients");
    assert!(calls <= most, "{calls} calls for {requests} requests in {:?}", start.elapsed());
    assert_eq!(status(&server, ROUTES[0], &address(), 1_000_000), 200, "an honest client");
}

fn status(server: &Server, (_, method, path): (&str, &str, &str), address: &str, key: u32) -> u16 {
    let key = format!("key-{key}");
    let headers = [("x-forwarded-for", address), ("x-api-key", &key)];
    server.send(method, path, &headers, "secret").status().as_u16()
}

/// How many scripts and functions a Redis server has run.
fn script_calls(url: &str) -> u64 {
    let mut connection = Client::open(url).unwrap().get_connection().unwrap();
    let statistics: String = cmd("INFO").arg("commandstats").query(&mut connection).unwrap();
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let counts = ["eval", "evalsha", "fcall"].contains(&name);
        counts.then(|| rest.split(',').next()?.parse::<u64>().ok())?
    };
    statistics.lines().filter_map(calls).sum()
}
