//! Tests in processes of their own.

use std::{env, process::Command};

/// Runs a test in a process of its own, whose memory and log are that of no other test.
pub(crate) fn alone(name: &str, test: impl FnOnce()) {
    const IS_ALONE: &str = "LIMITER_TEST_ALONE";
    if env::var_os(IS_ALONE).is_some() {
        return test();
    }
    let program = env::current_exe().expect("the path of this program");
    let child = Command::new(program).args([name, "--exact"]).env(IS_ALONE, "1").output();
    let child = child.expect("this program starts again");
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}
