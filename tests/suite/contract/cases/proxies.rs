//! Trusted proxies: the header that they have to send, their own limits and bans;
//! addresses that a translator has made.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        a_trusted_proxy_has_to_send_the_header(),
        the_last_hops_have_to_send_the_header(),
        a_header_that_is_not_required(),
        a_proxy_is_banned_as_any_client(true),
        a_proxy_is_banned_as_any_client(false),
        a_proxy_that_is_never_banned(),
        embedded_addresses_count_as_ipv4(),
        embedded_addresses_are_blocked_and_not_allowed(),
        a_translator_of_ones_own(),
    ]
}

fn through(proxy: &str, line: &str) -> Request {
    get("/api").from(proxy).with("x-forwarded-for", line)
}

/// Lists come before the header, so that a health checker passes without it.
fn a_trusted_proxy_has_to_send_the_header() -> Case {
    let nobody = || status(400).without(&FIELDS);
    let preflight = request("OPTIONS", "/any/1")
        .with("origin", "https://app.example")
        .with("access-control-request-method", "GET");
    Case {
        name: "a trusted proxy has to send the header",
        config: r#"
            trusted_proxies = ["10.0.0.0/8", "2001:db8::/64", "127.0.0.1"]
            client_ip_header = "x-forwarded-for"
            fallback_address = "127.0.0.1"
            allow = ["10.9.0.0/16"]
            block = ["10.8.0.0/16", "203.0.113.66"]
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            get("/api").from("10.0.0.1").times(3, nobody()),
            get("/api").from("::ffff:10.0.0.1").is(nobody()),
            get("/api").from("2001:db8::1").is(nobody()),
            Request { peer: None, ..get("/api") }.is(nobody()),
            get("/nothing").from("10.0.0.1").is(nobody()),
            login("secret").from("10.0.0.1").is(nobody()),
            preflight.from("10.0.0.1").is(nobody()),
            // Another header is not the one.
            get("/api").from("10.0.0.1").with("x-real-ip", "203.0.113.1").is(nobody()),
            get("/api").from("10.9.0.1").times(5, status(200).without(&FIELDS)),
            get("/api").from("10.8.0.1").times(2, status(403)),
            // The header's client is looked up where there is one.
            through("10.9.0.1", "203.0.113.1").is(status(200)),
            through("10.9.0.1", "203.0.113.1").is(status(429)),
            through("10.9.0.1", "203.0.113.66").is(status(403)),
            through("10.0.0.1", "10.9.0.1").times(3, status(200).without(&FIELDS)),
            through("10.0.0.1", "203.0.113.2").is(status(200)),
            // A stranger needs none.
            get("/api").from("198.51.100.1").is(status(200)),
        ],
        ..Case::default()
    }
}

fn the_last_hops_have_to_send_the_header() -> Case {
    Case {
        name: "the last hops have to send the header",
        config: r#"
            trusted_proxies = 1
            client_ip_header = "forwarded"
            allow = ["192.0.2.9"]
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            get("/api").times(2, status(400).without(&FIELDS)),
            get("/api").from("192.0.2.9").times(3, status(200).without(&FIELDS)),
            get("/api").with("forwarded", "for=203.0.113.1").is(status(200)),
            get("/api").with("forwarded", "for=203.0.113.1").is(status(429)),
        ],
        ..Case::default()
    }
}

fn a_header_that_is_not_required() -> Case {
    Case {
        name: "a header that is not required",
        config: r#"
            trusted_proxies = ["10.0.0.0/8"]
            client_ip_header = "x-forwarded-for"
            client_ip_header_required = false
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            get("/api").from("10.0.0.1").is(status(200)),
            get("/api").from("10.0.0.1").is(limited("api", 3600)),
            get("/api").from("10.0.0.2").is(status(200)),
            through("10.0.0.1", "203.0.113.1").is(status(200)),
            // A header that is there has to be right.
            through("10.0.0.3", "unknown").is(status(400)),
        ],
        ..Case::default()
    }
}

/// A client that has the header removed on its way, or names a proxy in it, does
/// not get out of bans.
fn a_proxy_is_banned_as_any_client(is_header_required: bool) -> Case {
    let guess = |line: &str| login("wrong").from("10.0.0.1").with("x-forwarded-for", line);
    let without_header = login("wrong").from("10.0.0.1");
    let steps_without_header = if is_header_required {
        vec![without_header.times(9, status(400))]
    } else {
        vec![
            without_header.clone().times(5, status(401)),
            without_header.times(9, banned(403, "login", 600)),
        ]
    };
    let steps = vec![
        guess("10.0.0.5").times(5, status(401)),
        guess("10.0.0.5").times(9, banned(403, "login", 600)),
        guess("6.6.6.6, 10.0.0.5").times(5, status(401)),
        guess("6.6.6.6, 10.0.0.5").is(status(403)),
        // Clients of the same proxy are not in it.
        guess("203.0.113.1").times(5, status(401)),
        guess("203.0.113.1").is(status(403)),
        guess("203.0.113.2").is(status(401)),
    ];
    let [name, config] = if is_header_required {
        ["a proxy is banned as any client", BANNING]
    } else {
        ["a proxy without a header is banned as any client", BANNING_WITHOUT_HEADER]
    };
    Case { name, config, steps: [steps_without_header, steps].concat(), ..Case::default() }
}

const BANNING: &str = r#"
    trusted_proxies = ["10.0.0.0/8"]
    client_ip_header = "x-forwarded-for"
    [policies.login]
    quota = "100/minute"
    ban = { threshold = 5, window = "10m", duration = "10m", statuses = [401] }
"#;

const BANNING_WITHOUT_HEADER: &str = r#"
    trusted_proxies = ["10.0.0.0/8"]
    client_ip_header = "x-forwarded-for"
    client_ip_header_required = false
    [policies.login]
    quota = "100/minute"
    ban = { threshold = 5, window = "10m", duration = "10m", statuses = [401] }
"#;

/// `never_ban` spares it, and nothing else does.
fn a_proxy_that_is_never_banned() -> Case {
    let guess = |line: &str| login("wrong").from("10.0.0.1").with("x-forwarded-for", line);
    Case {
        name: "a proxy that is never banned",
        config: r#"
            trusted_proxies = ["10.0.0.0/8"]
            client_ip_header = "x-forwarded-for"
            never_ban = ["10.0.0.5"]
            [policies.login]
            quota = "100/minute"
            ban = { threshold = 5, window = "10m", duration = "10m", statuses = [401] }
        "#,
        steps: vec![
            guess("10.0.0.5").times(20, status(401)),
            guess("10.0.0.6").times(5, status(401)),
            guess("10.0.0.6").is(status(403)),
        ],
        ..Case::default()
    }
}

/// NAT64, SIIT, 6to4 and Teredo: the client is that of the IPv4 address.
fn embedded_addresses_count_as_ipv4() -> Case {
    let counts = |address: &str| get("/api").from(address).is(status(200));
    let counted = |address: &str| get("/api").from(address).is(status(429));
    Case {
        name: "embedded addresses count as IPv4",
        config: r#"policies.api.quota = "1/hour""#,
        steps: vec![
            counts("64:ff9b::1.2.3.4"),
            counted("1.2.3.4"),
            counted("::ffff:0:1.2.3.4"),
            counted("2002:102:304::1"),
            counted("2002:102:304:ffff::2"),
            // 1.2.3.4 with its bits inverted.
            counted("2001::fefd:fcfb"),
            // A neighbour in the translator's /64 is another client.
            counts("64:ff9b::1.2.3.5"),
            counts("2001::fefd:fcf9"),
            // No client is one of an internal network.
            counts("64:ff9b::10.0.0.1"),
            counts("10.0.0.1"),
            // Nor is it one by a prefix that is another's.
            counts("64:ff9b:1::1.2.3.4"),
        ],
        ..Case::default()
    }
}

fn embedded_addresses_are_blocked_and_not_allowed() -> Case {
    Case {
        name: "embedded addresses are blocked and not allowed",
        config: r#"
            block = ["1.2.3.0/24"]
            allow = ["9.9.9.9", "64:ff9b::/96"]
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            get("/api").from("64:ff9b::1.2.3.4").is(status(403)),
            get("/api").from("2002:102:304::1").is(status(403)),
            get("/api").from("9.9.9.9").times(3, status(200).without(&FIELDS)),
            get("/api").from("64:ff9b::9.9.9.8").times(3, status(200).without(&FIELDS)),
            get("/api").from("2002:909:909::1").is(status(200)),
            get("/api").from("2002:909:909::1").is(status(429)),
        ],
        ..Case::default()
    }
}

/// Its clients are not one client, and count and are blocked as they are without it.
fn a_translator_of_ones_own() -> Case {
    Case {
        name: "a translator of one's own",
        config: r#"
            nat64_prefixes = ["2001:db8:64::/96", "64:ff9b:1::/48"]
            block = ["203.0.113.0/24"]
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            get("/api").from("2001:db8:64::198.51.100.1").is(status(200)),
            get("/api").from("2001:db8:64::198.51.100.2").is(status(200)),
            get("/api").from("198.51.100.1").is(status(429)),
            get("/api").from("64:ff9b:1:c633:64:200::").is(status(429)),
            get("/api").from("2001:db8:64::10.0.0.1").is(status(200)),
            get("/api").from("2001:db8:64::10.0.0.2").is(status(200)),
            get("/api").from("2001:db8:64::203.0.113.9").is(status(403)),
            // An address outside of the prefix is its own.
            get("/api").from("2001:db8:65::198.51.100.1").is(status(200)),
            get("/api").from("2001:db8:65::198.51.100.2").is(status(429)),
        ],
        ..Case::default()
    }
}
