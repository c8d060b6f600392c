//! Header fields: their styles, one or several at once.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        older_drafts(),
        several_quotas_have_names(),
        other_header_styles(),
        a_draft_beside_the_old_fields(),
    ]
}

fn older_drafts() -> Case {
    Case {
        name: "older drafts",
        config: r#"
            policies.default = { quota = "3/minute; 100/hour", algorithm = "fixed_window", headers = "draft-7" }
            policies.api = { quota = "1/minute", algorithm = "fixed_window", headers = "draft-6" }
        "#,
        steps: vec![
            get("/default").is(status(200)
                .without(&["ratelimit-limit"])
                .with("ratelimit-policy", "3;w=60, 100;w=3600")
                .with("ratelimit", "limit=3, remaining=2, reset=60")),
            // Limits apart write one dictionary.
            get("/twice").is(status(200).with("ratelimit", "limit=3, remaining=1, reset=60")),
            get("/api").is(status(200)
                .without(&["ratelimit"])
                .with("ratelimit-policy", "1;w=60")
                .with("ratelimit-limit", 1)
                .with("ratelimit-remaining", 0)
                .with("ratelimit-reset", 60)),
            get("/api").is(limited("api", 60).with("ratelimit-reset", 60)),
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

fn a_draft_beside_the_old_fields() -> Case {
    Case {
        name: "a draft beside the old fields",
        config: r#"
            policies.api = { quota = "2/minute", algorithm = "fixed_window", headers = ["draft-11", "x-ratelimit"] }
            policies.default = { quota = "2/minute", algorithm = "fixed_window", headers = "x-ratelimit, draft-6" }
        "#,
        steps: vec![
            get("/api").is(status(200)
                .with("ratelimit-policy", r#""api";q=2;w=60"#)
                .with("ratelimit", r#""api";r=1;t=60"#)
                .with("x-ratelimit-limit", 2)
                .with("x-ratelimit-remaining", 1)
                .with("x-ratelimit-reset", 1_700_000_060)),
            get("/default").is(status(200)
                .with("ratelimit-policy", "2;w=60")
                .with("ratelimit-remaining", 1)
                .with("x-ratelimit-remaining", 1)
                .without(&["ratelimit"])),
        ],
        ..Case::default()
    }
}
