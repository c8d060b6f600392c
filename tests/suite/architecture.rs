//! The core knows no web framework.

use std::process::Command;

#[test]
fn the_core_depends_on_no_framework() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let tree = Command::new(cargo)
        .args(["tree", "--package", "limiter-core", "--edges", "normal", "--all-features"])
        .args(["--prefix", "none", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(tree.stdout).expect("package names are text");
    assert!(tree.starts_with("limiter-core") && tree.contains("\nmoka"), "{tree}");
    for package in tree.lines() {
        let framework = ["actix", "rocket", "hyper", "axum", "http "];
        assert!(!framework.iter().any(|name| package.starts_with(name)), "{package}");
    }
}
