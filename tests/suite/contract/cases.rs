//! The cases of the contract.

use serde_json::json;

use super::{Case, Expect, Request, Step};

const TYPES: &str = "https://iana.org/assignments/http-problem-types#";

/// All cases, in no particular order.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        counts_down_and_refuses(),
        gcra_tells_an_effective_window(),
        head_counts_as_get(),
        headers_of_a_stranger_change_nothing(),
        a_trusted_proxy_names_the_client(),
        a_broken_forwarding_header_is_an_error(),
        addresses_are_counted_by_their_bits(),
        no_address_is_an_error(),
        no_address_counts_as_the_fallback(),
        a_ban_is_403(),
        a_ban_may_be_429(),
        who_is_never_banned_is_only_limited(),
        failed_logins_ban(),
        an_error_of_the_handler_strikes(),
        guards_are_each_enforced(),
        policies_together_are_all_or_nothing(),
        a_policy_met_twice_counts_once(),
        several_quotas_have_names(),
        other_header_styles(),
        a_shadow_policy_is_not_seen(),
        users_are_apart_from_addresses(),
        a_header_does_not_replace_the_address(),
        endpoints_count_by_pattern(),
        the_handler_sees_the_decision(),
        the_front_door_counts_unmatched_paths(),
        preflights_are_exempt_but_for_banned_clients(),
        a_failing_store_denies(),
        a_failing_store_allows(),
        a_failing_store_counts_locally(),
    ]
}

fn request(method: &'static str, path: &str) -> Request {
    Request {
        method,
        path: path.to_owned(),
        headers: Vec::new(),
        body: "",
        peer: Some([192, 0, 2, 1].into()),
    }
}

fn get(path: &str) -> Request {
    request("GET", path)
}

fn login(body: &'static str) -> Request {
    Request { body, ..request("POST", "/login") }
}

impl Request {
    fn from(mut self, peer: &str) -> Self {
        self.peer = Some(peer.parse().expect("the case's address is one"));
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn is(self, expect: Expect) -> Step {
        self.times(1, expect)
    }

    fn times(self, times: u32, expect: Expect) -> Step {
        Step::Send { request: self, times, expect }
    }
}

fn status(status: u16) -> Expect {
    Expect { status, ..Expect::default() }
}

impl Expect {
    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn without(mut self, names: &[&'static str]) -> Self {
        self.absent.extend(names);
        self
    }

    fn body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }

    fn text(mut self, text: &'static str) -> Self {
        self.text = Some(text);
        self
    }
}

/// Every field of a refusal by one policy.
fn limited(policy: &str, retry_after: u64) -> Expect {
    status(429)
        .with("retry-after", retry_after)
        .with("content-type", "application/problem+json")
        .with("cache-control", "no-store")
        .body(json!({
            "type": format!("{TYPES}quota-exceeded"),
            "title": "Quota exceeded",
            "status": 429,
            "detail": format!("Try again in {retry_after} s."),
            "violated-policies": [policy],
        }))
}

fn banned(code: u16, policy: &str, retry_after: u64) -> Expect {
    status(code)
        .with("retry-after", retry_after)
        .with("content-type", "application/problem+json")
        .with("cache-control", "no-store")
        .body(json!({
            "type": format!("{TYPES}abnormal-usage-detected"),
            "title": "Abnormal usage detected",
            "status": code,
            "detail": format!("Try again in {retry_after} s."),
            "violated-policies": [policy],
        }))
}

const FIELDS: [&str; 2] = ["ratelimit", "ratelimit-policy"];

fn counts_down_and_refuses() -> Case {
    let told = |expect: Expect, left: u64| {
        let policy = r#""api";q=3;w=60"#;
        expect.with("ratelimit-policy", policy).with("ratelimit", format!(r#""api";r={left};t=60"#))
    };
    Case {
        name: "counts down and refuses",
        config: r#"policies.api = { quota = "3/minute", algorithm = "fixed_window" }"#,
        steps: vec![
            get("/api").is(told(status(200).without(&["retry-after"]), 2)),
            get("/api").is(told(status(200), 1)),
            get("/api").is(told(status(200), 0)),
            get("/api").times(3, told(limited("api", 60), 0)),
            get("/api").from("192.0.2.2").is(told(status(200), 2)),
            get("/default").is(status(200)),
            Step::Advance(std::time::Duration::from_micros(59_999_999)),
            get("/api").is(limited("api", 1)),
            Step::Advance(std::time::Duration::from_micros(1)),
            get("/api").is(told(status(200), 2)),
        ],
        ..Case::default()
    }
}

fn gcra_tells_an_effective_window() -> Case {
    Case {
        name: "gcra tells an effective window",
        config: r#"policies.api.quota = "10/minute""#,
        steps: vec![
            get("/api").is(status(200).with("ratelimit", r#""api";r=9;t=54"#)),
            get("/api").times(8, status(200)),
            get("/api").is(status(200).with("ratelimit", r#""api";r=0;t=6"#)),
            get("/api").is(limited("api", 6).with("ratelimit", r#""api";r=0;t=6"#)),
        ],
        ..Case::default()
    }
}

fn head_counts_as_get() -> Case {
    Case {
        name: "head counts as get",
        config: r#"policies.item.quota = "2/minute""#,
        steps: vec![
            get("/item/1").is(status(200)),
            request("HEAD", "/item/2").is(status(200).text("")),
            request("HEAD", "/item/3").is(status(429)),
            get("/item/4").is(status(429)),
            request("POST", "/item/5").is(status(200)),
        ],
        ..Case::default()
    }
}

fn headers_of_a_stranger_change_nothing() -> Case {
    let names = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"];
    let spoofed = |n: usize| {
        names.iter().fold(get("/api"), |request, name| {
            let address = format!("203.0.113.{n}");
            request
                .with(name, &if *name == "forwarded" { format!("for={address}") } else { address })
        })
    };
    let mut steps: Vec<_> = (0..5).map(|n| spoofed(n).is(status(200))).collect();
    steps.extend((5..200).map(|n| spoofed(n).is(status(429))));
    Case {
        name: "headers of a stranger change nothing",
        config: r#"policies.api.quota = "5/hour""#,
        steps,
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
            // Who is no proxy is not believed.
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

/// Two requests a minute, banned for two minutes by the third refusal.
const BANNING: &str = r#"
    [policies.api]
    quota = "2/minute"
    algorithm = "fixed_window"
    ban = { threshold = 3, window = "1m", duration = "2m" }
"#;

fn a_ban_is_403() -> Case {
    Case {
        name: "a ban is 403",
        config: BANNING,
        steps: vec![
            get("/api").times(2, status(200)),
            get("/api").times(2, status(429)),
            get("/api").times(3, banned(403, "api", 120).without(&FIELDS)),
            // Another policy is not in it.
            get("/default").is(status(200)),
            Step::Advance(std::time::Duration::from_secs(119)),
            get("/api").is(banned(403, "api", 1)),
            Step::Advance(std::time::Duration::from_secs(1)),
            get("/api").is(status(200)),
        ],
        ..Case::default()
    }
}

fn a_ban_may_be_429() -> Case {
    Case {
        name: "a ban may be 429",
        config: r#"
            [policies.api]
            quota = "1/minute"
            ban = { threshold = 1, window = "1m", duration = "2m", status = 429 }
        "#,
        steps: vec![get("/api").is(status(200)), get("/api").is(banned(429, "api", 120))],
        ..Case::default()
    }
}

fn who_is_never_banned_is_only_limited() -> Case {
    Case {
        name: "who is never banned is only limited",
        config: r#"
            never_ban = ["192.0.2.0/24", "2001:db8::7"]
            [policies.api]
            quota = "1/minute"
            ban = { threshold = 1, window = "1m", duration = "2m" }
        "#,
        steps: vec![
            get("/api").is(status(200)),
            get("/api").times(5, status(429)),
            get("/api").from("2001:db8::7").is(status(200)),
            get("/api").from("2001:db8::7").is(status(429)),
            // A neighbour in its /64 shares its count, but may be banned.
            get("/api").from("2001:db8::8").is(status(403)),
            get("/api").from("2001:db8::7").is(status(429)),
        ],
        ..Case::default()
    }
}

fn failed_logins_ban() -> Case {
    Case {
        name: "failed logins ban",
        config: r#"
            [policies.login]
            quota = "100/minute"
            ban = { threshold = 3, window = "10m", duration = "10m", statuses = [401] }
        "#,
        steps: vec![
            login("wrong").times(2, status(401)),
            login("secret").is(status(200)),
            // The third failure is still answered as one; what follows is banned.
            login("wrong").is(status(401)),
            login("secret").is(banned(403, "login", 600)),
            login("secret").from("192.0.2.2").is(status(200)),
            Step::Advance(std::time::Duration::from_secs(600)),
            login("secret").is(status(200)),
        ],
        ..Case::default()
    }
}

fn an_error_of_the_handler_strikes() -> Case {
    Case {
        name: "an error of the handler strikes",
        config: r#"
            [policies.login]
            quota = "100/minute"
            ban = { threshold = 2, window = "10m", duration = "10m", statuses = [403] }
        "#,
        steps: vec![
            get("/forbidden").times(2, status(403).without(&["retry-after"])),
            login("secret").is(banned(403, "login", 600)),
        ],
        ..Case::default()
    }
}

fn guards_are_each_enforced() -> Case {
    Case {
        name: "guards are each enforced",
        config: r#"
            policies.default.quota = "4/hour"
            policies.api.quota = "2/hour"
        "#,
        steps: vec![
            get("/both").times(2, status(200)),
            get("/both").is(status(429)),
            // Independent ones: the refused request was charged to the first.
            get("/default").is(status(200).with("ratelimit", r#""default";r=0;t=900"#)),
            get("/both").from("192.0.2.2").is(status(200)),
        ],
        ..Case::default()
    }
}

fn policies_together_are_all_or_nothing() -> Case {
    Case {
        name: "policies together are all or nothing",
        config: r#"
            policies.default.quota = "4/hour"
            policies.api.quota = "2/hour"
        "#,
        steps: vec![
            get("/together").is(status(200)
                .with("ratelimit-policy", r#""default";q=4;w=3600, "api";q=2;w=3600"#)
                .with("ratelimit", r#""default";r=3;t=2700, "api";r=1;t=1800"#)),
            get("/together").is(status(200)),
            get("/together").times(5, limited("api", 1800)),
            get("/default").is(status(200).with("ratelimit", r#""default";r=1;t=900"#)),
        ],
        ..Case::default()
    }
}

fn a_policy_met_twice_counts_once() -> Case {
    Case {
        name: "a policy met twice counts once",
        config: r#"policies.default.quota = "2/hour""#,
        steps: vec![
            get("/twice").is(status(200).with("ratelimit", r#""default";r=1;t=1800"#)),
            get("/twice").is(status(200)),
            get("/twice").is(limited("default", 1800)),
        ],
        ..Case::default()
    }
}

fn several_quotas_have_names() -> Case {
    Case {
        name: "several quotas have names",
        config: r#"policies.api.quota = "1000/hour; 2/second""#,
        steps: vec![
            get("/api").is(status(200)
                .with("ratelimit-policy", r#""api.1s";q=2;w=1, "api.1h";q=1000;w=3600"#)
                .with("ratelimit", r#""api.1s";r=1;t=1, "api.1h";r=999;t=3597"#)),
            get("/api").is(status(200)),
            get("/api").is(limited("api.1s", 1)),
        ],
        ..Case::default()
    }
}

fn other_header_styles() -> Case {
    Case {
        name: "other header styles",
        config: r#"
            policies.default = { quota = "1/minute", headers = "none" }
            policies.api = { quota = "1/minute", algorithm = "fixed_window", headers = "x-ratelimit" }
        "#,
        steps: vec![
            get("/default").is(status(200).without(&FIELDS)),
            get("/default").is(limited("default", 60).without(&FIELDS)),
            get("/api").is(status(200)
                .without(&FIELDS)
                .with("x-ratelimit-limit", 1)
                .with("x-ratelimit-remaining", 0)
                .with("x-ratelimit-reset", 1_700_000_060)),
            get("/api").is(limited("api", 60).with("x-ratelimit-reset", 1_700_000_060)),
        ],
        ..Case::default()
    }
}

fn a_shadow_policy_is_not_seen() -> Case {
    Case {
        name: "a shadow policy is not seen",
        config: r#"policies.api = { quota = "1/hour", mode = "shadow" }"#,
        steps: vec![get("/api").times(5, status(200).without(&FIELDS))],
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

fn the_handler_sees_the_decision() -> Case {
    Case {
        name: "the handler sees the decision",
        config: r#"policies.default.quota = "5/hour""#,
        steps: vec![get("/left").is(status(200).text("4")), get("/left").is(status(200).text("3"))],
        ..Case::default()
    }
}

fn the_front_door_counts_unmatched_paths() -> Case {
    Case {
        name: "the front door counts unmatched paths",
        config: r#"
            [policies.door]
            quota = "4/hour"
            ban = { threshold = 3, window = "1h", duration = "1h", statuses = [404] }
        "#,
        steps: vec![
            get("/wp-login.php").is(status(404)),
            request("HEAD", "/.env").is(status(404)),
            get("/api").is(status(200)),
            get("/..%2f..%2fetc").is(status(404)),
            get("/api").is(banned(403, "door", 3600)),
            get("/nothing").is(banned(403, "door", 3600)),
            request("DELETE", "/api").is(status(403)),
            get("/api").from("192.0.2.2").is(status(200)),
        ],
        ..Case::default()
    }
}

fn preflights_are_exempt_but_for_banned_clients() -> Case {
    let preflight = |path: &str| {
        request("OPTIONS", path)
            .with("origin", "https://example.org")
            .with("access-control-request-method", "POST")
    };
    Case {
        name: "preflights are exempt but for banned clients",
        config: r#"
            [policies.door]
            quota = "2/hour"
            ban = { threshold = 2, window = "1h", duration = "1h" }
        "#,
        steps: vec![
            preflight("/nothing").times(5, status(404).without(&FIELDS)),
            get("/api").times(2, status(200)),
            preflight("/nothing").is(status(404)),
            get("/api").is(status(429)),
            preflight("/nothing").is(status(404)),
            get("/api").is(status(403)),
            preflight("/nothing").is(status(403)),
            // Without the two headers it is a request like any other.
            request("OPTIONS", "/nothing").is(status(403)),
        ],
        ..Case::default()
    }
}

fn a_failing_store_denies() -> Case {
    Case {
        name: "a failing store denies",
        config: r#"
            policies.door.on_store_error = "allow"
            policies.api.on_store_error = "deny"
        "#,
        store_fails: true,
        steps: vec![
            get("/api").times(
                3,
                status(503)
                    .with("retry-after", 1)
                    .with("content-type", "application/problem+json")
                    .without(&FIELDS)
                    .body(json!({
                        "type": format!("{TYPES}temporary-reduced-capacity"),
                        "title": "Temporarily reduced capacity",
                        "status": 503,
                    })),
            ),
        ],
        ..Case::default()
    }
}

fn a_failing_store_allows() -> Case {
    Case {
        name: "a failing store allows",
        config: r#"
            policies.door.on_store_error = "allow"
            policies.api = { quota = "1/hour", on_store_error = "allow" }
        "#,
        store_fails: true,
        steps: vec![get("/api").times(5, status(200).without(&FIELDS))],
        ..Case::default()
    }
}

fn a_failing_store_counts_locally() -> Case {
    Case {
        name: "a failing store counts locally",
        config: r#"
            policies.door.on_store_error = "allow"
            [policies.login]
            quota = "3/hour"
            algorithm = "fixed_window"
            ban = { threshold = 2, window = "1h", duration = "1h", statuses = [401] }
        "#,
        store_fails: true,
        steps: vec![
            login("secret").is(status(200).with("ratelimit", r#""login";r=2;t=3600"#)),
            login("wrong").times(2, status(401)),
            login("secret").is(status(403)),
            login("secret").from("192.0.2.2").times(3, status(200)),
            login("secret").from("192.0.2.2").is(status(429)),
        ],
        ..Case::default()
    }
}
