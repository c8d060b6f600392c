//! Bans: their keys, and the answers to banned clients.

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
        failures_of_one_key_ban_that_key(),
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

/// The address behind has as many times the strikes as it has times the quota.
fn failures_of_one_key_ban_that_key() -> Case {
    let send = |key: &str, body| {
        Request { body, ..request("POST", "/keyed-login") }.with("x-api-key", key)
    };
    Case {
        name: "failures of one key ban that key",
        config: r#"
            [policies.tenant]
            quota = "100/hour"
            key = "header:x-api-key"
            per_address = 2
            ban = { threshold = 3, window = "1h", duration = "1h", statuses = [401] }
        "#,
        steps: vec![
            send("expired", "wrong").times(3, status(401)),
            send("expired", "secret").times(5, banned(403, "tenant", 3600)),
            // The other keys behind the address go on, without a key as well.
            send("valid", "secret").times(5, status(200)),
            get("/tenant").is(status(200)),
            // A client that tries key after key is banned by its address.
            send("a", "wrong").times(2, status(401)),
            send("valid", "secret").is(status(200)),
            send("b", "wrong").is(status(401)),
            send("valid", "secret").is(banned(403, "tenant.address", 3600)),
            send("valid", "secret").from("192.0.2.2").is(status(200)),
        ],
        ..Case::default()
    }
}
