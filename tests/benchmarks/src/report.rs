//! The tables, as they are printed and as `RESULTS.md` has them.

use std::{fmt::Write as _, fs};

use crate::{chart::Chart, machine, rounds::Ratio};

/// The head of the file, before the machine and the tables.
const HEAD: &str = "\
# How fast

Written by `./tests/benchmarks/run`: limiter beside its peers, in one run on one machine, each asked in turn, round by
round, so that a machine that becomes slower does so for all of them. A ratio is the median of the rounds, with its
quartiles behind it: where 1 is between these, neither is ahead. Where a target is missed, the table says so.
";

/// All that was measured.
pub(crate) struct Report {
    head: String,
    sections: Vec<Section>,
}

/// A table, and the plots below it.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// Explains how to read the table.
    pub(crate) note: String,
    pub(crate) rows: Vec<Row>,
    /// Says what limits the rows that miss their targets.
    pub(crate) limits: &'static str,
    pub(crate) charts: Vec<Chart>,
}

pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) ours: String,
    /// The peers' figures.
    pub(crate) beside: String,
    /// Ours by theirs; none where nothing is beside it.
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) target: Option<Target>,
}

/// The bound that the ratios have to meet.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    pub(crate) fn begin() -> Self {
        let head = format!(
            "Measured at {} on {}; its load before was {}. Beside {}.",
            machine::commit(),
            machine::machine(),
            machine::load(),
            machine::peers(),
        );
        println!("{head}");
        Self { head, sections: Vec::new() }
    }

    pub(crate) fn add(&mut self, section: Section) {
        println!("\n{}", section.text());
        self.sections.push(section);
    }

    /// Writes the tables into `RESULTS.md`, and the plots beside it.
    pub(crate) fn write(&self) {
        let mut text = format!("{HEAD}\n{}\n\n", self.head);
        for section in &self.sections {
            text += &section.text();
            text.push('\n');
            for chart in &section.charts {
                chart.draw();
                let _ = writeln!(text, "![{}]({})\n", chart.title, chart.path());
            }
        }
        let file = format!("{}/tests/benchmarks/RESULTS.md", machine::root());
        fs::write(file, text).expect("the report can be written");
    }
}

impl Section {
    fn text(&self) -> String {
        let mut text = format!("**{}.** {}\n\n", self.title, self.note);
        text += "| | ours | beside it | ratio | target | met |\n|---|---|---|---|---|---|\n";
        for row in &self.rows {
            let Row { work, ours, beside, .. } = row;
            let (ratio, target, met) = (row.ratio(), row.target(), row.met());
            let _ = writeln!(text, "| {work} | {ours} | {beside} | {ratio} | {target} | {met} |");
        }
        if self.rows.iter().any(|row| row.excess() > 1.0) {
            let _ = writeln!(text, "\n*What the rows that say no are limited by:* {}", self.limits);
        }
        text
    }
}

impl Row {
    /// Without anything beside it.
    pub(crate) fn alone(work: String, ours: String) -> Self {
        Self { work, ours, beside: String::new(), ratios: Vec::new(), target: None }
    }

    /// Where there is no Node to run the peer.
    pub(crate) fn without_node(work: String, ours: String) -> Self {
        let beside = "rate-limiter-flexible was not measured: there is no Node".to_owned();
        Self { beside, ..Self::alone(work, ours) }
    }

    fn ratio(&self) -> String {
        let ratios: Vec<_> = self.ratios.iter().map(Ratio::to_string).collect();
        ratios.join(", ")
    }

    fn target(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("≤ {most}"),
            Some(Target::AtLeast(least)) => format!("≥ {least}"),
        }
    }

    /// Says if the target is met, and if not, by what factor it is missed.
    fn met(&self) -> String {
        match (self.target, self.ratios.as_slice()) {
            (None, _) | (_, []) => String::new(),
            _ if self.excess() <= 1.0 => "yes".to_owned(),
            _ => format!("**no**, by {:.2}", self.excess()),
        }
    }

    /// Returns the factor by which the worst ratio misses the target; at most 1 if none does.
    fn excess(&self) -> f64 {
        let excess = |ratio: &Ratio| match self.target {
            Some(Target::AtMost(most)) => ratio.median / most,
            Some(Target::AtLeast(least)) => least / ratio.median,
            None => 0.0,
        };
        self.ratios.iter().map(excess).fold(0.0, f64::max)
    }
}

/// A figure to three digits.
pub(crate) fn figure(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub(crate) fn nanoseconds(value: f64) -> String {
    format!("{} ns", figure(value))
}

pub(crate) fn microseconds(value: f64) -> String {
    format!("{} µs", figure(value))
}

pub(crate) fn a_second(value: f64) -> String {
    match value {
        _ if value < 1e3 => format!("{value:.0} /s"),
        _ if value < 1e6 => format!("{} k/s", figure(value / 1e3)),
        _ => format!("{} M/s", figure(value / 1e6)),
    }
}

/// A number of keys, as short as it can be read.
pub(crate) fn keys(keys: usize) -> String {
    match keys {
        1_000_000.. => format!("{} M keys", keys / 1_000_000),
        1_000.. => format!("{} k keys", keys / 1_000),
        1 => "one key".to_owned(),
        _ => format!("{keys} keys"),
    }
}
