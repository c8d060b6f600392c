//! Drives the program with its own configuration, and with wrong ones.

use limiter_tests::{ConfigExample, Server, config_example};

const EXAMPLE: ConfigExample = ConfigExample {
    program: env!("CARGO_BIN_EXE_actix-config"),
    file: concat!(env!("CARGO_MANIFEST_DIR"), "/limiter.toml"),
    file_variable: "LIMITER_CONFIG",
    port_variable: "PORT",
    prefix: "",
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
fn a_variable_for_rocket_is_not_ignored_in_silence() {
    config_example::warn_of_unread(&EXAMPLE, "ROCKET_LIMITER__STORE", "LIMITER_STORE");
    config_example::warn_of_unread(&EXAMPLE, "limiter_store", "LIMITER_STORE");
}
