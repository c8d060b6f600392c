//! Who is banned, and what a banned client is answered.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        a_ban_is_403(),
        a_ban_may_be_429(),
        who_is_never_banned_is_only_limited(),
        failed_logins_ban(),
        a_login_that_succeeds_forgives(),
        a_response_strikes_a_group_once(),
        an_error_of_the_handler_strikes(),
        the_front_door_counts_unmatched_paths(),
        preflights_count_apart(),
        a_guard_counts_preflights_apart(),
        preflights_of_banned_clients_are_refused(),
        a_preflight_strikes_by_its_status(),
    ]
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
            Step::Advance(Duration::from_secs(119)),
            get("/api").is(banned(403, "api", 1)),
            Step::Advance(Duration::from_secs(1)),
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
            Step::Advance(Duration::from_secs(600)),
            login("secret").is(status(200)),
        ],
        ..Case::default()
    }
}

fn a_login_that_succeeds_forgives() -> Case {
    let sent = |body| Request { body, ..request("POST", "/forgiving") };
    Case {
        name: "a login that succeeds forgives",
        config: r#"
            [policies.login]
            quota = "100/minute"
            ban = { threshold = 3, window = "10m", duration = "10m", statuses = [401] }
        "#,
        steps: vec![
            sent("wrong").times(2, status(401)),
            sent("secret").is(status(200)),
            sent("wrong").times(2, status(401)),
            sent("secret").is(status(200)),
            sent("wrong").times(3, status(401)),
            sent("secret").is(banned(403, "login", 600)),
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
            // What looks like a preflight does not run free.
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

fn a_response_strikes_a_group_once() -> Case {
    Case {
        name: "a response strikes a group once",
        config: r#"
            [policies.door.ban]
            group = "front"
            threshold = 3
            window = "1h"
            duration = "1h"
            statuses = [401]
            [policies.login.ban]
            group = "front"
            threshold = 3
            window = "1h"
            duration = "1h"
            statuses = [401]
        "#,
        steps: vec![
            login("wrong").times(3, status(401)),
            login("secret").is(banned(403, "door", 3600)),
            get("/default").is(status(403)),
        ],
        ..Case::default()
    }
}
