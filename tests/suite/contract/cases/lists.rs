//! Networks that are allowed and blocked, endpoints that are exempt.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        networks_are_allowed_and_blocked(),
        endpoints_are_exempt(),
        an_endpoint_is_exempt_from_one_limit(),
        the_lists_hold_for_checks_by_hand(),
    ]
}

fn networks_are_allowed_and_blocked() -> Case {
    let forbidden = || {
        status(403)
            .without(&FIELDS)
            .without(&["retry-after"])
            .with("cache-control", "no-store")
            .body(json!({ "type": "about:blank", "title": "Forbidden", "status": 403 }))
    };
    let preflight = request("OPTIONS", "/nothing")
        .with("origin", "https://app.example")
        .with("access-control-request-method", "GET");
    Case {
        name: "networks are allowed and blocked",
        config: r#"
            allow = ["192.0.2.0/24", "203.0.113.7", "2001:db8:aaaa::/48"]
            block = ["203.0.113.0/24", "192.0.2.128/25"]
            policies.api.quota = "1/hour"
            policies.user.quota = "1/hour"
        "#,
        steps: vec![
            get("/api").times(5, status(200).without(&FIELDS)),
            get("/user").with("x-test-user", "alice").times(3, status(200).without(&FIELDS)),
            get("/api").from("2001:db8:aaaa:1::1").times(3, status(200)),
            get("/api").from("203.0.113.1").times(2, forbidden()),
            get("/nothing").from("203.0.113.1").is(forbidden()),
            preflight.from("203.0.113.1").is(forbidden()),
            // The smaller network counts.
            get("/api").from("::ffff:203.0.113.7").times(3, status(200)),
            get("/api").from("192.0.2.200").is(forbidden()),
            // All others are counted.
            get("/api")
                .from("198.51.100.1")
                .is(status(200).with("ratelimit", r#""api";r=0;t=3600"#)),
            get("/api").from("198.51.100.1").is(status(429)),
        ],
        ..Case::default()
    }
}

fn endpoints_are_exempt() -> Case {
    Case {
        name: "endpoints are exempt",
        config: r#"
            exempt = ["GET /default", "POST /login"]
            policies.door.quota = "3/hour"
            policies.default.quota = "1/hour"
            policies.login.quota = "1/hour"
        "#,
        steps: vec![
            // By the route, whatever the spelling; at the door as at the handler.
            get("/default").times(9, status(200).without(&FIELDS)),
            get("/d%65fault?x").times(9, status(200)),
            request("HEAD", "/default").times(9, status(200)),
            login("secret").times(9, status(200)),
            Request { peer: None, ..get("/default") }.is(status(200)),
            // By nothing else: other methods, other routes, what is no route.
            request("DELETE", "/default").is(status(404)),
            get("/default2").is(status(404)),
            get("/api").is(status(200)),
            get("/default/2").is(status(429)),
            get("/api").is(status(429)),
            get("/default").is(status(200)),
        ],
        ..Case::default()
    }
}

/// The door leaves the endpoint out, and its own limit does not.
fn an_endpoint_is_exempt_from_one_limit() -> Case {
    let spared = |path: &str| get(path).is(status(200));
    Case {
        name: "an endpoint is exempt from one limit",
        config: r#"
            policies.door.quota = "2/hour"
            policies.default.quota = "4/hour"
        "#,
        steps: vec![
            spared("/spared"),
            spared("/sp%61red?x"),
            request("HEAD", "/spared").is(status(200)),
            // Another method of the path is counted by both.
            request("POST", "/spared").is(status(200)),
            get("/spared").is(limited("default", 900)),
            get("/api").is(status(200)),
            get("/api").is(limited("door", 1800)),
            request("POST", "/spared").is(limited("door", 1800)),
            get("/spared/2").is(limited("door", 1800)),
            get("/spared").is(limited("default", 900)),
        ],
        ..Case::default()
    }
}

/// `admit` in a handler obeys all that a middleware or guard obeys.
fn the_lists_hold_for_checks_by_hand() -> Case {
    Case {
        name: "the lists hold for checks by hand",
        config: r#"
            allow = ["198.51.100.1"]
            block = ["203.0.113.1"]
            exempt = ["GET /by-hand"]
            policies.default.quota = "1/hour"
            policies.api.quota = "1/hour"
        "#,
        steps: vec![
            get("/by-hand").times(5, status(200).without(&FIELDS)),
            request("OPTIONS", "/by-hand").from("198.51.100.1").times(5, status(200)),
            request("OPTIONS", "/by-hand").from("203.0.113.1").is(status(403)),
            // Three units are more than one.
            request("OPTIONS", "/by-hand").is(status(429).without(&["retry-after"])),
        ],
        ..Case::default()
    }
}
