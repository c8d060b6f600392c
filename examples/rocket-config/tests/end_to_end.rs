//! Drives the program with its own configuration, and with wrong ones.

use limiter_tests::{ConfigExample, Server, config_example};

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
