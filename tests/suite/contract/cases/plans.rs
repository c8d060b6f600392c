//! Quotas of a request's own: `GET /plan` goes by `50/hour` where the client pays, else by
//! the policy's `5/hour`.

use super::{super::Case, Expect, Request, get, limited, status};

pub(super) fn cases() -> Vec<Case> {
    vec![
        a_client_that_pays_has_what_is_left_of_its_plan(),
        a_client_that_pays_no_longer_waits(),
        plans_of_other_clients_are_apart(),
    ]
}

fn free() -> Request {
    get("/plan")
}

fn paying() -> Request {
    get("/plan").with("x-test-plan", "pro")
}

fn admitted(limit: u64, left: u64, reset: u64) -> Expect {
    status(200)
        .with("ratelimit-policy", format!("\"plan\";q={limit};w=3600"))
        .with("ratelimit", format!("\"plan\";r={left};t={reset}"))
}

fn a_client_that_pays_has_what_is_left_of_its_plan() -> Case {
    Case {
        name: "a client that pays has what is left of its plan",
        steps: vec![
            free().times(4, status(200)),
            free().is(admitted(5, 0, 720)),
            free().is(limited("plan", 720)),
            paying().is(admitted(50, 44, 3168)),
            paying().times(44, status(200)),
            paying().is(limited("plan", 72)),
        ],
        ..Case::default()
    }
}

/// Sixteen units have to be paid back, at the rate at which they were charged.
fn a_client_that_pays_no_longer_waits() -> Case {
    Case {
        name: "a client that pays no longer waits",
        steps: vec![
            paying().times(19, status(200)),
            paying().is(admitted(50, 30, 2160)),
            free().is(limited("plan", 1152)),
            paying().is(admitted(50, 29, 2088)),
        ],
        ..Case::default()
    }
}

fn plans_of_other_clients_are_apart() -> Case {
    Case {
        name: "plans of other clients are apart",
        steps: vec![
            paying().times(50, status(200)),
            paying().is(limited("plan", 72)),
            free().from("192.0.2.2").times(5, status(200)),
            free().from("192.0.2.2").is(limited("plan", 720)),
            paying().from("192.0.2.3").times(50, status(200)),
        ],
        ..Case::default()
    }
}
