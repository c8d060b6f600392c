//! A server of this program, or `actix-governor`'s beside it, in a process of its own that
//! ends with its standard input.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader, Lines, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

/// A running server. It is ended when this is dropped.
pub(super) struct HttpServer {
    child: Child,
    /// Kept, since a server that prints to a closed pipe panics.
    _output: Lines<BufReader<ChildStdout>>,
    pub(super) url: String,
}

impl HttpServer {
    pub(super) fn start(name: &str, redis: &str) -> Self {
        Self::start_by(&[], name, redis)
    }

    /// Starts it by another program that takes it as its argument.
    pub(super) fn start_by(words: &[&str], name: &str, redis: &str) -> Self {
        let program = env::current_exe().expect("this program is a file");
        let command = match name.strip_prefix("actix-governor-") {
            Some(name) => vec![program.with_file_name("actix-governor-server").into(), name.into()],
            None => vec![program.into_os_string(), "serve".into(), name.into(), redis.into()],
        };
        let command: Vec<OsString> = words.iter().map(OsString::from).chain(command).collect();
        let mut process = Command::new(&command[0]);
        process.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = process.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // Rocket logs to standard output as well.
        let url = output.by_ref().map_while(Result::ok).find(|line| line.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("{command:?} has ended"));
        Self { child, _output: output, url }
    }

    /// The process's.
    pub(super) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends so many requests, and checks that the last one is answered with that status.
    pub(super) fn ask(&self, times: usize, status: u16) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        for n in 1..=times {
            let answer = agent.get(&self.url).call().expect("the server answers");
            let answered = answer.status().as_u16();
            let read = answer.into_body().into_reader().read_to_string(&mut String::new());
            assert!(read.is_ok() && (n < times || answered == status), "{answered}: {read:?}");
        }
    }

    /// Lets it end, and waits until it has.
    pub(super) fn stop(mut self) {
        // Which closes its standard input first.
        self.child.wait().expect("its end can be waited for");
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
