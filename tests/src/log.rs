//! The output of a program, line by line.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// The most lines whose text is kept; all are counted.
const KEPT: usize = 100;

/// How the lines begin that Rocket prints about single requests. It prints a line in
/// parts, which those of other requests may come between.
const OF_ROCKET: [&str; 6] =
    [">> ", "GET /", "HEAD /", "POST /", "Request guard `", "Responding with registered"];

/// The lines that a program has printed: how many, and the first hundred.
///
/// Rocket's own lines of single requests are left out.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    count: usize,
    first: Vec<String>,
    /// The first lines that were left out.
    of_rocket: Vec<String>,
}

impl Log {
    /// How many lines there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lines().count
    }

    /// How many of the first hundred lines have that text.
    #[must_use]
    pub fn with(&self, text: &str) -> usize {
        self.lines().first.iter().filter(|line| line.contains(text)).count()
    }

    /// How many of the first hundred lines tell of an error: of the level ERROR,
    /// as `tracing_subscriber` and Rocket print it.
    #[must_use]
    pub fn errors(&self) -> usize {
        let is_error = |line: &&String| line.contains("ERROR") || line.contains("Error:");
        self.lines().first.iter().filter(is_error).count()
    }

    /// The first hundred lines that Rocket has printed about single requests.
    #[must_use]
    pub fn of_rocket(&self) -> Vec<String> {
        self.lines().of_rocket.clone()
    }

    /// Adds a line.
    pub(crate) fn push(&self, line: String) {
        let text = line.trim_start();
        let mut lines = self.lines();
        if text.is_empty() {
            return;
        }
        if OF_ROCKET.iter().any(|begin| text.starts_with(begin)) {
            if lines.of_rocket.len() < KEPT {
                lines.of_rocket.push(line);
            }
            return;
        }
        lines.count += 1;
        if lines.first.len() < KEPT {
            lines.first.push(line);
        }
    }

    /// Adds all lines of a stream, on a thread of its own, to its end.
    pub(crate) fn read(&self, stream: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                log.push(line);
            }
        });
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().first.join("\n"))
    }
}
