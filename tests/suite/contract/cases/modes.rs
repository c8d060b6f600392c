//! `mode`: enforce, shadow and off, at the root and of a policy.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        everything_is_off(),
        everything_is_in_the_shadow(),
        a_policy_is_off(),
        a_policy_in_the_shadow_neither_strikes_nor_bans(),
        the_more_lenient_mode_holds(),
    ]
}

/// No list, ban or address is asked for.
fn everything_is_off() -> Case {
    Case {
        name: "everything is off",
        config: r#"
            mode = "off"
            block = ["192.0.2.1"]
            [policies.api]
            quota = "1/hour"
            [policies.door]
            quota = "1/hour"
            [policies.login]
            quota = "1/hour"
            ban = { threshold = 1, window = "1m", duration = "1h", statuses = [401] }
        "#,
        steps: vec![
            get("/api").times(5, status(200).without(&FIELDS)),
            get("/both").times(5, status(200).without(&FIELDS)),
            login("wrong").times(5, status(401)),
            login("secret").is(status(200)),
            get("/nothing").times(5, status(404)),
            Request { peer: None, ..get("/api") }.times(3, status(200)),
        ],
        ..Case::default()
    }
}

/// Lists hold; no policy refuses, and none is seen.
fn everything_is_in_the_shadow() -> Case {
    Case {
        name: "everything is in the shadow",
        config: r#"
            mode = "shadow"
            block = ["203.0.113.0/24"]
            [policies.door]
            quota = "1/hour"
            [policies.api]
            quota = "1/hour"
            ban = { threshold = 1, window = "1m", duration = "1h" }
            [policies.login]
            quota = "1/hour"
            ban = { threshold = 1, window = "1m", duration = "1h", statuses = [401] }
        "#,
        steps: vec![
            get("/api").times(5, status(200).without(&FIELDS).without(&["retry-after"])),
            login("wrong").times(5, status(401)),
            login("secret").is(status(200)),
            get("/nothing").times(5, status(404)),
            get("/api").from("203.0.113.1").is(status(403)),
        ],
        ..Case::default()
    }
}

fn a_policy_is_off() -> Case {
    Case {
        name: "a policy is off",
        config: r#"
            policies.api = { quota = "1/hour", mode = "off" }
            policies.default.quota = "2/hour"
        "#,
        steps: vec![
            get("/api").times(5, status(200).without(&FIELDS)),
            get("/both").is(status(200).with("ratelimit", r#""default";r=1;t=1800"#)),
            get("/together").is(status(200).with("ratelimit", r#""default";r=0;t=1800"#)),
            get("/both").is(limited("default", 1800)),
            get("/api").is(status(200)),
        ],
        ..Case::default()
    }
}

fn a_policy_in_the_shadow_neither_strikes_nor_bans() -> Case {
    Case {
        name: "a policy in the shadow neither strikes nor bans",
        config: r#"
            [policies.api]
            quota = "1/hour"
            mode = "shadow"
            ban = { threshold = 1, window = "1m", duration = "1h" }
            [policies.login]
            quota = "1/hour"
            mode = "shadow"
            ban = { threshold = 1, window = "1m", duration = "1h", statuses = [401] }
            [policies.default]
            quota = "1/hour"
        "#,
        steps: vec![
            get("/api").times(5, status(200)),
            login("wrong").times(5, status(401)),
            login("secret").is(status(200)),
            // The policy beside it is enforced, alone.
            get("/both").is(status(200)),
            get("/both").times(3, limited("default", 3600)),
            get("/together").is(limited("default", 3600)),
        ],
        ..Case::default()
    }
}

fn the_more_lenient_mode_holds() -> Case {
    Case {
        name: "the more lenient mode holds",
        config: r#"
            mode = "shadow"
            policies.api = { quota = "1/hour", mode = "enforce" }
            policies.default = { quota = "1/hour", mode = "off" }
        "#,
        steps: vec![
            get("/api").times(3, status(200).without(&FIELDS)),
            get("/default").times(3, status(200).without(&FIELDS)),
        ],
        ..Case::default()
    }
}
