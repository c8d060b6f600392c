//! The outcome of a request: units given back by status, charged by the handler, strikes
//! reserved.

use std::time::Duration;

use super::{
    super::{Case, Expect, Request, Step},
    banned, get, limited, login, request, status,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        failures_of_the_server_cost_nothing(),
        a_hundred_failures_leave_a_bucket_full(),
        only_wrong_passwords_count(),
        the_error_of_a_handler_counts_by_its_status(),
        a_class_does_not_name_other_statuses(),
        an_inner_refusal_is_no_outcome_of_the_outer_limit(),
        the_handler_says_what_a_request_has_cost(),
        what_a_handler_charges_beyond_the_limit_is_waited_for(),
        reserved_strikes_ban_as_strikes_do(),
        statuses_of_a_ban_may_be_a_class(),
    ]
}

/// A request that is answered with the status that its body names.
fn answered(status: &'static str) -> Request {
    Request { body: status, ..request("POST", "/answer") }
}

/// A request that has cost as much as its body says.
fn charged(units: &'static str) -> Request {
    Request { body: units, ..request("POST", "/charge") }
}

fn left(code: u16, policy: &str, remaining: u64, window: u64) -> Expect {
    status(code).with("ratelimit", format!("\"{policy}\";r={remaining};t={window}"))
}

fn failures_of_the_server_cost_nothing() -> Case {
    Case {
        name: "failures of the server cost nothing",
        config: r#"
            [policies.default]
            quota = "5/hour"
            algorithm = "fixed_window"
            refund = ["5xx"]
        "#,
        steps: vec![
            answered("500").times(99, left(500, "default", 5, 3600)),
            answered("503").is(left(503, "default", 5, 3600)),
            answered("200").is(left(200, "default", 4, 3600)),
            answered("404").is(left(404, "default", 3, 3600)),
            answered("500").is(left(500, "default", 3, 3600)),
            answered("200").times(3, status(200)),
            answered("500").is(limited("default", 3600)),
        ],
        ..Case::default()
    }
}

fn a_hundred_failures_leave_a_bucket_full() -> Case {
    Case {
        name: "a hundred failures leave a bucket full",
        config: "[policies.default]\nquota = \"5/hour\"\nrefund = [\"5xx\"]",
        steps: vec![
            answered("500").times(100, left(500, "default", 5, 3600)),
            answered("200").times(5, status(200)),
            answered("200").is(limited("default", 720)),
            answered("500").is(limited("default", 720)),
        ],
        ..Case::default()
    }
}

fn only_wrong_passwords_count() -> Case {
    Case {
        name: "only wrong passwords count",
        config: r#"
            [policies.login]
            quota = "5/minute"
            algorithm = "fixed_window"
            count_only = [401, 403]
        "#,
        steps: vec![
            login("secret").times(20, left(200, "login", 5, 60)),
            login("wrong").times(5, status(401)),
            login("secret").is(limited("login", 60)),
            login("secret").from("192.0.2.2").is(status(200)),
        ],
        ..Case::default()
    }
}

fn the_error_of_a_handler_counts_by_its_status() -> Case {
    Case {
        name: "the error of a handler counts by its status",
        config: r#"
            [policies.login]
            quota = "2/minute"
            refund = [403]
        "#,
        steps: vec![
            get("/forbidden").times(9, status(403)),
            login("secret").times(2, status(200)),
            get("/forbidden").is(limited("login", 30)),
        ],
        ..Case::default()
    }
}

fn a_class_does_not_name_other_statuses() -> Case {
    Case {
        name: "a class does not name other statuses",
        config: r#"
            [policies.default]
            quota = "3/minute"
            refund = ["4xx", 503]
        "#,
        steps: vec![
            answered("404").times(9, status(404)),
            answered("503").times(9, status(503)),
            answered("500").times(2, status(500)),
            answered("200").is(status(200)),
            answered("404").is(limited("default", 20)),
        ],
        ..Case::default()
    }
}

fn an_inner_refusal_is_no_outcome_of_the_outer_limit() -> Case {
    Case {
        name: "an inner refusal is no outcome of the outer limit",
        config: r#"
            [policies.default]
            quota = "3/hour"
            refund = ["4xx"]
            [policies.api]
            quota = "1/hour"
        "#,
        steps: vec![
            get("/both").is(status(200)),
            get("/both").times(2, limited("api", 3600)),
            get("/default").is(limited("default", 1200)),
        ],
        ..Case::default()
    }
}

fn the_handler_says_what_a_request_has_cost() -> Case {
    Case {
        name: "the handler says what a request has cost",
        config: r#"
            [policies.default]
            quota = "10/hour"
            algorithm = "fixed_window"
        "#,
        steps: vec![
            charged("0").is(left(200, "default", 10, 3600)),
            charged("1").is(left(200, "default", 9, 3600)),
            charged("4").is(left(200, "default", 5, 3600)),
            charged("0").times(9, left(200, "default", 5, 3600)),
            charged("5").is(left(200, "default", 0, 3600)),
            charged("0").is(limited("default", 3600)),
        ],
        ..Case::default()
    }
}

fn what_a_handler_charges_beyond_the_limit_is_waited_for() -> Case {
    Case {
        name: "what a handler charges beyond the limit is waited for",
        config: "[policies.default]\nquota = \"10/minute\"",
        steps: vec![
            charged("1000").is(left(200, "default", 0, 65)),
            charged("1").is(limited("default", 65)),
            Step::Advance(Duration::from_secs(64)),
            charged("1").is(limited("default", 1)),
            Step::Advance(Duration::from_secs(1)),
            charged("1").is(status(200)),
        ],
        ..Case::default()
    }
}

fn reserved_strikes_ban_as_strikes_do() -> Case {
    Case {
        name: "reserved strikes ban as strikes do",
        config: r#"
            [policies.login]
            quota = "100/minute"
            ban = { threshold = 3, window = "10m", duration = "10m", statuses = [401], reserve = true }
        "#,
        steps: vec![
            login("secret").times(20, status(200).with("ratelimit-policy", "\"login\";q=100;w=60")),
            login("wrong").times(2, status(401)),
            login("secret").times(20, status(200)),
            login("wrong").is(status(401)),
            login("secret").is(banned(403, "login", 600)),
            login("secret").from("192.0.2.2").is(status(200)),
            Step::Advance(Duration::from_secs(1200)),
            login("secret").is(status(200)),
        ],
        ..Case::default()
    }
}

fn statuses_of_a_ban_may_be_a_class() -> Case {
    Case {
        name: "statuses of a ban may be a class",
        config: r#"
            [policies.default]
            quota = "100/minute"
            ban = { threshold = 3, window = "10m", duration = "10m", statuses = ["4xx"] }
        "#,
        steps: vec![
            answered("500").times(9, status(500)),
            answered("404").times(2, status(404)),
            answered("403").is(status(403)),
            answered("200").is(banned(403, "default", 600)),
        ],
        ..Case::default()
    }
}
