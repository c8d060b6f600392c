//! Drives the program as its README does.

use limiter_tests::{Server, header, run_to_end};

const PROGRAM: &str = env!("CARGO_BIN_EXE_actix-quickstart");

#[test]
fn ten_pass_ten_are_limited_and_then_it_bans() {
    let server = Server::start(PROGRAM, "PORT", &[]);
    limiter_tests::quickstart(&server, "/actix-endpoint", r#"{"message":"Hello from Actix!"}"#);
}

#[test]
fn head_counts_as_get() {
    let server = Server::start(PROGRAM, "PORT", &[]);
    let head = server.send("HEAD", "/actix-endpoint", &[], "");
    assert!(header(&head, "ratelimit").contains(";r=9;"));
    assert!(header(&server.get("/actix-endpoint"), "ratelimit").contains(";r=8;"));
}

#[test]
fn a_wrong_port_is_named() {
    let output = run_to_end(PROGRAM, &[("PORT", "eighty")]);
    limiter_tests::refused_to_start(&output, &["PORT", "eighty", "65535"]);
}
