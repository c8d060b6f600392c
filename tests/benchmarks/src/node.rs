//! `rate-limiter-flexible`, in a Node process that waits for what to measure.

use std::{
    cell::RefCell,
    env,
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::load::Load;

/// The process. It is ended when this is dropped.
pub(crate) struct Flexible {
    child: Child,
    pipes: RefCell<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

/// The work to measure.
pub(crate) struct Work {
    pub(crate) load: Load,
    pub(crate) time: Duration,
}

impl Flexible {
    /// Starts it from the folder that tests/benchmarks/run has installed it in, if
    /// there is Node.
    pub(crate) fn start() -> Option<Self> {
        let folder = env::var_os("BENCHMARK_NODE_MODULES")?;
        let script = Path::new(&folder).join("rate_limiter_flexible.mjs");
        let mut command = Command::new("node");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("tests/benchmarks/run has found Node");
        let input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        Some(Self { child, pipes: RefCell::new((input, BufReader::new(output).lines())) })
    }

    /// Checks a second, and the median of microseconds until an answer.
    pub(crate) fn measure(&self, url: &str, work: Work) -> (f64, f64) {
        let (input, output) = &mut *self.pipes.borrow_mut();
        let Work { load: Load { keys, in_flight }, time } = work;
        let milliseconds = u64::try_from(time.as_millis()).expect("it is short");
        let task = json!({
            "url": url, "keys": keys, "inFlight": in_flight, "milliseconds": milliseconds,
        });
        writeln!(input, "{task}").expect("Node runs");
        let line = output.next().expect("Node answers").expect("it is text");
        let told: Value = serde_json::from_str(&line).expect("it is JSON");
        let number = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("{told}"));
        (number("perSecond"), number("microseconds"))
    }
}

impl Drop for Flexible {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
