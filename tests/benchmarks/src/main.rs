//! limiter beside its peers, on this machine, in one run: `tests/benchmarks/run`.
//!
//! Whatever is compared is asked in turn, round by round, so that a machine
//! whose speed drifts drifts for all; figures are medians of the rounds, ratios
//! the medians of each round's own. A whole run writes its tables into
//! `RESULTS.md` and its plots beside it.

mod chart;
mod http;
mod load;
mod machine;
mod memory;
mod node;
mod options;
mod report;
mod rounds;
mod scaling;
mod stores;
/// The servers of the tests, and what `cargo bench -p limiter-core` asks.
#[path = "../../suite"]
mod suite {
    #[allow(dead_code, unused_imports, reason = "the tests need more of it")]
    pub(crate) mod servers;
}
#[path = "../../../limiter-core/benches/memory/cases.rs"]
mod cases;
#[path = "../../../limiter-core/benches/memory/work.rs"]
mod work;

use std::process::ExitCode;

use options::{Options, Part, Task};
use report::{Report, Section};

fn main() -> ExitCode {
    match Options::parse() {
        Ok(options) => match &options.task {
            Task::Compare(parts) => compare(&options, parts),
            Task::Serve { name, redis } => http::serve(name, redis),
            Task::Grow { name, keys } => memory::grow(name, *keys),
        },
        Err(error) => {
            eprintln!("tests/benchmarks/run: {error}\n{}", options::USAGE);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn compare(options: &Options, parts: &[Part]) {
    let mut report = Report::begin();
    for part in parts {
        let pace = &options.pace;
        let sections: Vec<Section> = match part {
            Part::Memory => memory::measure(pace),
            Part::Http => http::measure(pace),
            Part::Redis => stores::redis::measure(pace),
            Part::Settlement => stores::settlement::measure(pace),
            Part::Sql => stores::sql::measure(pace),
            Part::Scaling => scaling::measure(pace),
        };
        sections.into_iter().for_each(|section| report.add(section));
    }
    if options.writes {
        report.write();
    }
}
