//! Limits: units left, refusals, and their header fields.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        counts_down_and_refuses(),
        gcra_tells_an_effective_window(),
        a_strict_window_waits_for_a_segment(),
        head_counts_as_get(),
        guards_are_each_enforced(),
        policies_together_are_all_or_nothing(),
        a_policy_met_twice_counts_once(),
        the_highest_cost_is_charged(),
        the_highest_cost_is_charged_beside_others(),
        a_difference_that_does_not_fit_refuses(),
        a_shadow_policy_is_not_seen(),
        the_handler_sees_the_decision(),
    ]
}

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
            Step::Advance(Duration::from_micros(59_999_999)),
            get("/api").is(limited("api", 1)),
            Step::Advance(Duration::from_micros(1)),
            get("/api").is(told(status(200), 2)),
        ],
        ..Case::default()
    }
}

/// Segments of 5 s, on the marks of the clock: one counts until a minute after its end.
fn a_strict_window_waits_for_a_segment() -> Case {
    let left = |left: u64, seconds: u64| {
        let fields = format!(r#""api";r={left};t={seconds}"#);
        status(200).with("ratelimit-policy", r#""api";q=3;w=60"#).with("ratelimit", fields)
    };
    Case {
        name: "a strict window waits for a segment",
        config: r#"policies.api = { quota = "3/minute", algorithm = "strict_window" }"#,
        steps: vec![
            get("/api").is(left(2, 65)),
            Step::Advance(Duration::from_secs(30)),
            get("/api").times(1, left(1, 35)),
            get("/api").is(status(200)),
            get("/api").is(limited("api", 35)),
            // No more in any minute: not at the end of the one of the clock either.
            Step::Advance(Duration::from_micros(34_999_999)),
            get("/api").is(limited("api", 1)),
            Step::Advance(Duration::from_micros(1)),
            get("/api").is(status(200)),
            get("/api").is(limited("api", 30)),
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

fn the_highest_cost_is_charged() -> Case {
    Case {
        name: "the highest cost is charged",
        config: r#"policies.default = { quota = "100/hour", algorithm = "fixed_window" }"#,
        steps: vec![
            // Cost 1 outside, 10 inside: 10 in all, which the client is shown once.
            get("/dear").is(status(200)
                .with("ratelimit-policy", r#""default";q=100;w=3600"#)
                .with("ratelimit", r#""default";r=90;t=3600"#)),
            get("/default").is(status(200).with("ratelimit", r#""default";r=89;t=3600"#)),
            get("/dear").times(8, status(200)),
            get("/dear").is(limited("default", 3600)),
        ],
        ..Case::default()
    }
}

fn the_highest_cost_is_charged_beside_others() -> Case {
    Case {
        name: "the highest cost is charged beside others",
        config: r#"
            policies.default = { quota = "100/hour", algorithm = "fixed_window" }
            policies.api = { quota = "100/hour", algorithm = "fixed_window" }
        "#,
        steps: vec![
            // `default` at 1, then it and `api` together at 10.
            get("/dear-together").is(status(200)),
            get("/default").is(status(200).with("ratelimit", r#""default";r=89;t=3600"#)),
            get("/api").is(status(200).with("ratelimit", r#""api";r=89;t=3600"#)),
        ],
        ..Case::default()
    }
}

fn a_difference_that_does_not_fit_refuses() -> Case {
    Case {
        name: "a difference that does not fit refuses",
        config: r#"policies.default = { quota = "9/hour", algorithm = "fixed_window" }"#,
        steps: vec![
            // The difference of 9 does not fit beside the 1 of the outer limit.
            get("/dear").is(limited("default", 3600)),
            get("/default").is(status(200).with("ratelimit", r#""default";r=7;t=3600"#)),
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

fn the_handler_sees_the_decision() -> Case {
    Case {
        name: "the handler sees the decision",
        config: r#"policies.default.quota = "5/hour""#,
        steps: vec![get("/left").is(status(200).text("4")), get("/left").is(status(200).text("3"))],
        ..Case::default()
    }
}
