//! Answers while the store does not answer.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![a_failing_store_denies(), a_failing_store_allows(), a_failing_store_counts_locally()]
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
            // The breaker opens after the fifth: the answer is the same.
            get("/api").times(
                20,
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
        steps: vec![get("/api").times(20, status(200).without(&FIELDS))],
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
    }
}
