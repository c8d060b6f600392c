//! Clients that are over their limits when the store goes away and comes back,
//! over HTTP.

use std::{
    thread,
    time::{Duration, Instant},
};

use limiter_tests::Server;

use super::{
    Form, on_frameworks,
    service::{Framework, ROUTES, address, start},
};
use crate::{databases::unique, real_servers::Proxy};

const SETTINGS: &str = "quota = \"20/hour\"";

on_frameworks! {
    [redis_url postgres_url]
    the_first_request_after_an_outage_is_right
}

on_frameworks! {
    [redis_url postgres_url]
    a_client_over_its_limit_waits_through_an_outage
}

fn status(server: &Server, (_, method, path): (&str, &str, &str), address: &str) -> u16 {
    let headers = [("x-forwarded-for", address)];
    server.send(method, path, &headers, "secret").status().as_u16()
}

/// Sends requests until one is refused.
fn use_up(server: &Server, route: (&str, &str, &str), address: &str) {
    let statuses: Vec<u16> = (0..21).map(|_| status(server, route, address)).collect();
    assert_eq!(statuses, [&[200; 20][..], &[429]].concat(), "{}", route.0);
}

/// The count of another server is known again though no check has come
/// since the store is back.
fn the_first_request_after_an_outage_is_right(framework: Framework, url: &str) {
    let (proxy, prefix) = (Proxy::start(url), unique("storm"));
    let other = start(framework, url, &prefix, SETTINGS);
    let server = start(framework, &proxy.url(url), &prefix, SETTINGS);
    let client = address();
    ROUTES.iter().for_each(|&route| use_up(&other, route, &client));
    proxy.refuse();
    let end = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < end {
        let during = ROUTES.map(|route| status(&server, route, &address()));
        assert!([200, 503].contains(&during[2]), "{during:?}");
        assert_eq!(during[..2], [200, 200]);
    }
    assert!(server.log().errors() > 0, "the outage was not noticed");
    proxy.accept();
    let quiet = if Form::from_environment() == Form::Long { 60 } else { 3 };
    thread::sleep(Duration::from_secs(quiet));
    let first = ROUTES.map(|route| status(&server, route, &client));
    assert_eq!(first, [429; 3], "{quiet} s after the store was back");
}

/// A client that this server has refused is not admitted before its retry, however long
/// the store is away.
fn a_client_over_its_limit_waits_through_an_outage(framework: Framework, url: &str) {
    let proxy = Proxy::start(url);
    let server = start(framework, &proxy.url(url), &unique("storm"), SETTINGS);
    let client = address();
    ROUTES.iter().for_each(|&route| use_up(&server, route, &client));
    proxy.refuse();
    let mut admitted = [0; 3];
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        for (admitted, route) in admitted.iter_mut().zip(ROUTES) {
            *admitted += u32::from(status(&server, route, &client) == 200);
            let honest = status(&server, route, &address());
            assert!(honest == 200 || (honest, route.0) == (503, "deny"), "{honest}, {}", route.0);
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(server.log().errors() > 0, "the outage was not noticed");
    assert_eq!(admitted, [0; 3], "local, allow, deny");
}
