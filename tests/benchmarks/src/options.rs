//! Command line: the parts to measure, and how long.

use std::{ffi::OsString, time::Duration};

use lexopt::{Arg, Parser, ValueExt};

pub(crate) const USAGE: &str = "\
usage: tests/benchmarks/run [--quick] [--only memory,http,redis,settlement,sql,scaling]

  --quick  short rounds, to see that all of it works
  --only   these parts

A whole run writes its tables into tests/benchmarks/RESULTS.md and its plots
beside it; with either option it only prints the tables.";

pub(crate) struct Options {
    pub(crate) task: Task,
    pub(crate) pace: Pace,
    /// True if the report is written.
    pub(crate) writes: bool,
}

/// The task of this process. All but the first are started by
/// another of this program.
pub(crate) enum Task {
    Compare(Vec<Part>),
    /// Serve HTTP, as the named server does, with that Redis.
    Serve {
        name: String,
        redis: String,
    },
    /// Tell how much memory so many keys take of the named store.
    Grow {
        name: String,
        keys: usize,
    },
}

#[derive(Clone, Copy)]
pub(crate) enum Part {
    Memory,
    Http,
    Redis,
    Settlement,
    Sql,
    Scaling,
}

const PARTS: [(&str, Part); 6] = [
    ("memory", Part::Memory),
    ("http", Part::Http),
    ("redis", Part::Redis),
    ("settlement", Part::Settlement),
    ("sql", Part::Sql),
    ("scaling", Part::Scaling),
];

/// How long it is measured.
pub(crate) struct Pace {
    /// Rounds that count; one before them warms up.
    pub(crate) rounds: usize,
    /// Checks of a round in memory, of each thread.
    pub(crate) checks: usize,
    /// The length of a round of anything else.
    pub(crate) time: Duration,
    /// Requests whose instructions are counted.
    pub(crate) requests: usize,
    /// Where there are more keys, it is left out.
    pub(crate) most_keys: usize,
}

/// Many short rounds and not few long ones: a machine that others share changes its pace every few
/// seconds, and the median of a ratio is of rounds in which it has not, if most are.
const WHOLE: Pace = Pace {
    rounds: 7,
    checks: 500_000,
    time: Duration::from_secs(1),
    requests: 2_000,
    most_keys: 10_000_000,
};

const QUICK: Pace = Pace {
    rounds: 1,
    checks: 20_000,
    time: Duration::from_millis(300),
    requests: 100,
    most_keys: 100_000,
};

impl Options {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        let mut options = Self {
            task: Task::Compare(PARTS.map(|(_, part)| part).to_vec()),
            pace: WHOLE,
            writes: true,
        };
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("quick") => (options.pace, options.writes) = (QUICK, false),
                Arg::Long("only") => {
                    options.task = Task::Compare(parts(&parser.value()?.string()?)?);
                    options.writes = false;
                }
                Arg::Value(command) => options.task = task(&command, &mut parser)?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

fn parts(names: &str) -> Result<Vec<Part>, lexopt::Error> {
    let part = |name| {
        let known = PARTS.into_iter().find(|(known, _)| *known == name);
        known.map(|(_, part)| part).ok_or_else(|| format!("there is no part {name:?}").into())
    };
    names.split(',').map(part).collect()
}

fn task(command: &OsString, parser: &mut Parser) -> Result<Task, lexopt::Error> {
    match command.to_str() {
        Some("serve") => {
            Ok(Task::Serve { name: parser.value()?.string()?, redis: parser.value()?.string()? })
        }
        Some("grow") => {
            Ok(Task::Grow { name: parser.value()?.string()?, keys: parser.value()?.parse()? })
        }
        _ => Err(Arg::Value(command.clone()).unexpected()),
    }
}
