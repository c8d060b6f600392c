//! Drives the program as its README does.

use limiter_tests::{Server, header};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rocket-quickstart");

#[test]
fn ten_pass_ten_are_limited_and_then_it_bans() {
    let server = Server::start(PROGRAM, "ROCKET_PORT", &[]);
    limiter_tests::quickstart(&server, "/rocket-endpoint", r#"{"message":"Hello from Rocket!"}"#);
}

#[test]
fn head_counts_as_get() {
    let server = Server::start(PROGRAM, "ROCKET_PORT", &[]);
    let head = server.send("HEAD", "/rocket-endpoint", &[], "");
    assert!(header(&head, "ratelimit").contains(";r=9;"));
    assert!(header(&server.get("/rocket-endpoint"), "ratelimit").contains(";r=8;"));
}

#[test]
fn the_environment_overrides_the_file() {
    let limiter = ("ROCKET_LIMITER", r#"{policies={default={quota="3/hour"}}}"#);
    let server = Server::start(PROGRAM, "ROCKET_PORT", &[limiter]);
    let policy = header(&server.get("/rocket-endpoint"), "ratelimit-policy").to_owned();
    assert_eq!(policy, r#""default";q=3;w=3600"#);
}
