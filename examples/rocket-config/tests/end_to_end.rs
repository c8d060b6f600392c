//! Drives the program with its own configuration, and with wrong ones.

use limiter_tests::{ConfigExample, Server, config_example, refused_to_start, run_to_end};

const EXAMPLE: ConfigExample = ConfigExample {
    program: env!("CARGO_BIN_EXE_rocket-config"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/Rocket.toml"),
    file_variable: "ROCKET_CONFIG",
    port_variable: "ROCKET_PORT",
    prefix: "default.limiter.",
};

#[test]
fn the_file_that_comes_with_it_works() {
    let server = Server::start(
        EXAMPLE.program,
        EXAMPLE.port_variable,
        &[(EXAMPLE.file_variable, EXAMPLE.file)],
    );
    config_example::drive(&server);
}

#[test]
fn everything_is_changed_by_the_file_alone() {
    config_example::change_by_file(&EXAMPLE);
}

#[test]
fn a_wrong_configuration_stops_the_start() {
    config_example::refuse_wrong_ones(&EXAMPLE);
}

#[test]
fn a_variable_that_is_not_read_is_not_ignored_in_silence() {
    config_example::warn_of_unread(&EXAMPLE, "LIMITER_STORE", "ROCKET_LIMITER__STORE");
    let refused = |variable, value, parts: &[&str]| {
        let variables =
            [(EXAMPLE.file_variable, EXAMPLE.file), ("ROCKET_PORT", "0"), (variable, value)];
        let output = run_to_end(EXAMPLE.program, &variables);
        refused_to_start(&output, parts);
        format!("{output:?}")
    };
    refused(
        "ROCKET_LIMITER_STORE",
        "memory",
        &["ROCKET_LIMITER_STORE is not read; write ROCKET_LIMITER__STORE"],
    );
    // Only the variable that is wrong is named.
    let wrong = "ROCKET_LIMITER__POLICIES__API__QUOTA";
    let text = refused(wrong, "10", &["(in ROCKET_LIMITER__POLICIES__API__QUOTA)"]);
    assert!(!text.contains("ROCKET_PORT"), "{text}");
}
