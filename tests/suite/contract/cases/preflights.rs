//! CORS preflights, and checks by hand: what is counted apart, and what once.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        preflights_count_apart(),
        a_guard_counts_preflights_apart(),
        preflights_of_banned_clients_are_refused(),
        a_preflight_strikes_by_its_status(),
        checks_by_hand_count_as_limits_do(),
    ]
}

fn preflight(path: &str) -> Request {
    request("OPTIONS", path)
        .with("origin", "https://example.org")
        .with("access-control-request-method", "POST")
}

fn preflights_count_apart() -> Case {
    Case {
        name: "preflights count apart",
        config: r#"policies.door.quota = "2/hour""#,
        steps: vec![
            // The client's budget is not used up by what its browser sends.
            preflight("/nothing").times(2, status(404)),
            get("/api").times(2, status(200)),
            get("/api").is(limited("door", 1800)),
            // A request that looks like a preflight does not run free.
            preflight("/nothing").times(20, limited("door.preflight", 1800)),
            preflight("/other").is(limited("door.preflight", 1800)),
            preflight("/nothing").from("192.0.2.2").times(2, status(404)),
            preflight("/nothing").from("192.0.2.2").is(status(429)),
            get("/api").from("192.0.2.2").is(status(200)),
            // Without the two headers it is a request like any other.
            request("OPTIONS", "/nothing").from("192.0.2.2").is(status(404)),
            request("OPTIONS", "/nothing").from("192.0.2.2").is(limited("door", 1800)),
            request("OPTIONS", "/nothing")
                .with("origin", "https://example.org")
                .from("192.0.2.2")
                .is(limited("door", 1800)),
        ],
        ..Case::default()
    }
}

fn a_guard_counts_preflights_apart() -> Case {
    let at = |n: u32| preflight(&format!("/any/{n}"));
    Case {
        name: "a guard counts preflights apart",
        config: r#"policies.item.quota = "2/hour""#,
        steps: vec![
            // A handler for any method runs: it is not to be had for nothing.
            at(1).is(status(200).with("ratelimit", r#""item.preflight";r=1;t=1800"#)),
            at(2).is(status(200)),
            at(3).times(5, limited("item.preflight", 1800)),
            request("OPTIONS", "/any/4").times(2, status(200)),
            request("OPTIONS", "/any/5").is(limited("item", 1800)),
        ],
        ..Case::default()
    }
}

fn preflights_of_banned_clients_are_refused() -> Case {
    Case {
        name: "preflights of banned clients are refused",
        config: r#"
            [policies.door]
            quota = "2/hour"
            ban = { threshold = 2, window = "1h", duration = "1h", statuses = [405] }
        "#,
        steps: vec![
            get("/api").times(2, status(200)),
            get("/api").is(status(429)),
            preflight("/nothing").is(status(404)),
            get("/api").is(banned(403, "door", 3600)),
            preflight("/nothing").is(banned(403, "door.preflight", 3600)),
            // A refused preflight is a strike like any other.
            preflight("/nothing").from("192.0.2.2").times(2, status(404)),
            preflight("/nothing").from("192.0.2.2").is(status(429)),
            preflight("/nothing").from("192.0.2.2").is(status(403)),
            get("/api").from("192.0.2.2").is(banned(403, "door", 3600)),
        ],
        ..Case::default()
    }
}

fn a_preflight_strikes_by_its_status() -> Case {
    let guess = || Request { body: "wrong", ..preflight("/any-login") };
    Case {
        name: "a preflight strikes by its status",
        config: r#"
            [policies.login]
            quota = "100/hour"
            ban = { threshold = 3, window = "1h", duration = "1h", statuses = [401] }
        "#,
        steps: vec![
            // Guessing passwords by what looks like a preflight bans all the same.
            guess().times(3, status(401)),
            guess().is(banned(403, "login.preflight", 3600)),
            login("secret").is(banned(403, "login", 3600)),
        ],
        ..Case::default()
    }
}

/// A preflight counts apart, a policy met before is charged the difference, a
/// refusal strikes once, and a ban holds.
fn checks_by_hand_count_as_limits_do() -> Case {
    Case {
        name: "checks by hand count as limits do",
        config: r#"
            [policies.default]
            quota = "4/hour"
            [policies.api]
            quota = "9/hour"
            ban = { threshold = 3, window = "1h", duration = "1h", statuses = [429] }
        "#,
        steps: vec![
            // Cost 1 for each policy, whatever the cost by hand.
            preflight("/by-hand").times(4, status(200)),
            preflight("/by-hand").is(limited("default.preflight", 900)),
            // `api` is charged 1 at the handler's limit and 2 by hand, `default` 3.
            get("/by-hand").is(status(200)),
            // A refusal by hand is no outcome that strikes.
            get("/by-hand").times(3, limited("default", 1800)),
            get("/default").is(status(200)),
            get("/api").times(3, status(200)),
            get("/api").is(limited("api", 400)),
            get("/by-hand").is(limited("api", 400)),
            get("/by-hand").is(banned(403, "api", 3600)),
            preflight("/by-hand").is(banned(403, "api.preflight", 3600)),
        ],
        ..Case::default()
    }
}
