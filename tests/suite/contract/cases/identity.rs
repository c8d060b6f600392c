//! The client that a request is counted for.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        headers_of_a_stranger_change_nothing(),
        headers_of_a_stranger_change_nothing_beside_proxies(),
        hops_are_counted_from_the_right(),
        a_proxy_on_a_unix_socket_names_the_client(),
        a_trusted_proxy_names_the_client(),
        a_broken_forwarding_header_is_an_error(),
        addresses_are_counted_by_their_bits(),
        no_address_is_an_error(),
        no_address_counts_as_the_fallback(),
        users_are_apart_from_addresses(),
        a_header_does_not_replace_the_address(),
        endpoints_count_by_pattern(),
    ]
}

/// Headers of strangers, pseudo-random: addresses of both kinds, ports, lists,
/// names, quotes and nonsense.
fn spoofed(seed: u32) -> String {
    let noise = seed.wrapping_mul(2_654_435_761) ^ seed.rotate_left(13).wrapping_mul(40_503);
    let [a, b, c, d] = noise.to_be_bytes();
    match seed % 8 {
        0 => format!("{a}.{b}.{c}.{d}"),
        1 => format!("for={a}.{b}.{c}.{d};proto=https;by=10.0.0.1"),
        2 => format!("2001:db8:{a:x}{b:02x}::{c:x}"),
        3 => format!("for=\"[2001:db8::{a:x}:{b:x}]:{d}\""),
        4 => format!("{a}.{b}.{c}.{d}:{noise}, 10.0.0.{a}, unknown"),
        5 => format!("_hidden{noise}, \"{a}"),
        6 => format!("::ffff:{a}.{b}.{c}.{d}"),
        _ => format!("{noise:?} ;,= %{a}"),
    }
}

/// A request that claims to be from somebody else in every way there is.
fn spoofing(n: u32) -> Request {
    let names = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"];
    let headers = names.iter().zip(0..);
    headers.fold(get("/api"), |request, (name, at)| request.with(name, &spoofed(5 * n + at)))
}

/// Five of a thousand pass.
fn a_thousand_claims() -> Vec<Step> {
    let status_of = |n| status(if n < 5 { 200 } else { 429 });
    (0..1_000).map(|n| spoofing(n).is(status_of(n))).collect()
}

fn headers_of_a_stranger_change_nothing() -> Case {
    Case {
        name: "headers of a stranger change nothing",
        config: r#"policies.api.quota = "5/hour""#,
        steps: a_thousand_claims(),
        ..Case::default()
    }
}

fn headers_of_a_stranger_change_nothing_beside_proxies() -> Case {
    let through = get("/api").from("10.0.0.1").with("cf-connecting-ip", "1.1.1.1");
    Case {
        name: "headers of a stranger change nothing beside proxies",
        config: r#"
            trusted_proxies = ["10.0.0.0/8"]
            client_ip_header = "cf-connecting-ip"
            policies.api.quota = "5/hour"
        "#,
        steps: [vec![through.is(status(200))], a_thousand_claims()].concat(),
        ..Case::default()
    }
}

fn hops_are_counted_from_the_right() -> Case {
    let through = |line: &str| get("/api").with("x-forwarded-for", line);
    Case {
        name: "hops are counted from the right",
        config: r#"
            trusted_proxies = 2
            client_ip_header = "x-forwarded-for"
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            through("203.0.113.1, 10.0.0.1").is(status(200)),
            through("6.6.6.6, 203.0.113.1, 10.0.0.2").is(status(429)),
            through("6.6.6.7, 203.0.113.2, 10.0.0.2").is(status(200)),
            // A client that has come past a proxy is refused.
            through("203.0.113.3").is(status(400)),
        ],
        ..Case::default()
    }
}

fn a_proxy_on_a_unix_socket_names_the_client() -> Case {
    let through = |line: &str| {
        let request = get("/api").with("x-forwarded-for", line);
        Request { peer: None, ..request }
    };
    Case {
        name: "a proxy on a unix socket names the client",
        config: r#"
            fallback_address = "127.0.0.1"
            trusted_proxies = ["127.0.0.1"]
            client_ip_header = "x-forwarded-for"
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            through("203.0.113.1").is(status(200)),
            through("6.6.6.6, 203.0.113.1").is(status(429)),
            through("203.0.113.2").is(status(200)),
        ],
        ..Case::default()
    }
}

fn a_trusted_proxy_names_the_client() -> Case {
    let through = |line: &str| get("/api").from("10.0.0.1").with("x-forwarded-for", line);
    Case {
        name: "a trusted proxy names the client",
        config: r#"
            trusted_proxies = ["10.0.0.0/8"]
            client_ip_header = "x-forwarded-for"
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            through("203.0.113.1").is(status(200)),
            through("6.6.6.6, 203.0.113.1").is(status(429)),
            through("6.6.6.6").with("x-forwarded-for", "203.0.113.1, 10.0.0.2").is(status(429)),
            through("203.0.113.2").is(status(200)),
            // The header of a peer that is no proxy is not believed.
            get("/api").from("203.0.113.1").with("x-forwarded-for", "9.9.9.9").is(status(429)),
        ],
        ..Case::default()
    }
}

fn a_broken_forwarding_header_is_an_error() -> Case {
    Case {
        name: "a broken forwarding header is an error",
        config: r#"
            trusted_proxies = ["10.0.0.0/8"]
            client_ip_header = "x-forwarded-for"
        "#,
        steps: vec![
            get("/api")
                .from("10.0.0.1")
                .with("x-forwarded-for", "203.0.113.1, unknown")
                .is(status(400).without(&FIELDS)),
        ],
        ..Case::default()
    }
}

fn addresses_are_counted_by_their_bits() -> Case {
    Case {
        name: "addresses are counted by their bits",
        config: r#"policies.api.quota = "1/hour""#,
        steps: vec![
            get("/api").from("::ffff:1.2.3.4").is(status(200)),
            get("/api").from("1.2.3.4").is(status(429)),
            get("/api").from("::ffff:1.2.3.5").is(status(200)),
            get("/api").from("2001:db8::1").is(status(200)),
            get("/api").from("2001:db8::ffff:2").is(status(429)),
            get("/api").from("2001:db8:0:1::1").is(status(200)),
        ],
        ..Case::default()
    }
}

fn no_address_is_an_error() -> Case {
    let nowhere = Request { peer: None, ..get("/api") };
    Case {
        name: "no address is an error",
        steps: vec![nowhere.times(2, status(500).without(&FIELDS))],
        ..Case::default()
    }
}

fn no_address_counts_as_the_fallback() -> Case {
    let nowhere = Request { peer: None, ..get("/api") };
    Case {
        name: "no address counts as the fallback",
        config: r#"
            fallback_address = "192.0.2.1"
            policies.api.quota = "2/hour"
        "#,
        steps: vec![
            nowhere.clone().is(status(200)),
            get("/api").is(status(200)),
            nowhere.is(status(429)),
        ],
        ..Case::default()
    }
}

fn users_are_apart_from_addresses() -> Case {
    let user = |name: &str| get("/user").with("x-test-user", name);
    Case {
        name: "users are apart from addresses",
        config: r#"policies.user.quota = "1/hour""#,
        steps: vec![
            user("alice").is(status(200)),
            user("alice").from("192.0.2.2").is(status(429)),
            user("bob").is(status(200)),
            // Without a user the address counts, and no user's name is one.
            get("/user").is(status(200)),
            get("/user").is(status(429)),
            user("192.0.2.1").is(status(200)),
        ],
        ..Case::default()
    }
}

fn a_header_does_not_replace_the_address() -> Case {
    let key = |n: u32| get("/tenant").with("x-api-key", &format!("key-{n}"));
    let mut steps = vec![
        key(0).times(2, status(200)),
        key(0).is(limited("tenant", 1800)),
        key(0).from("192.0.2.2").is(limited("tenant", 1800)),
    ];
    // Six a hour for the address, over all keys it makes up: two are gone.
    steps.extend((1..5).map(|n| key(n).is(status(200))));
    steps.extend((5..40).map(|n| key(n).is(limited("tenant.address", 600))));
    steps.push(key(99).from("192.0.2.3").is(status(200)));
    Case {
        name: "a header does not replace the address",
        config: r#"policies.tenant = { quota = "2/hour", key = "header:x-api-key", per_address = 3 }"#,
        steps,
        ..Case::default()
    }
}

fn endpoints_count_by_pattern() -> Case {
    Case {
        name: "endpoints count by pattern",
        config: r#"policies.item.quota = "3/hour""#,
        steps: vec![
            get("/item/1").is(status(200)),
            get("/i%74em/2").is(status(200)),
            get("/item/3?x=/login-page").is(status(200)),
            get("/item/4").is(status(429)),
            get("/%69tem/%35").is(status(429)),
            get("/login-page").is(status(200)),
            get("/l%6Fgin-p%61ge").is(status(200)),
            get("/login%2Dpage").is(status(200)),
            get("/l%6fgin-page").is(status(429)),
        ],
        ..Case::default()
    }
}
