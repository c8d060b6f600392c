//! Measuring several things in turn.

use std::fmt;

/// Something that is measured: it returns a figure of one round.
pub(crate) type Contender<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// The figures of each contender, round by round.
pub(crate) struct Rounds(Vec<Vec<f64>>);

/// Measures all of them in each round. The first round warms up and does not
/// count; each begins with the next contender, so that none always follows the
/// same.
pub(crate) fn in_turn(rounds: usize, mut contenders: Vec<Contender<'_>>) -> Rounds {
    let count = contenders.len();
    let mut figures = vec![Vec::with_capacity(rounds); count];
    for round in 0..=rounds {
        for place in 0..count {
            let contender = (place + round) % count;
            let figure = contenders[contender]();
            if round > 0 {
                figures[contender].push(figure);
            }
        }
    }
    Rounds(figures)
}

/// Measures two things at once in each round: call by call in turn. The first round warms
/// up and does not count.
pub(crate) fn side_by_side(rounds: usize, mut both: impl FnMut() -> [f64; 2]) -> Rounds {
    let figures: Vec<_> = (0..=rounds).map(|_| both()).skip(1).collect();
    Rounds([0, 1].map(|n| figures.iter().map(|both| both[n]).collect()).into())
}

impl Rounds {
    pub(crate) fn median(&self, contender: usize) -> f64 {
        median(self.0[contender].clone())
    }

    /// Returns the contender whose median is highest.
    pub(crate) fn highest(&self, contenders: [usize; 2]) -> usize {
        let [one, other] = contenders;
        if self.median(other) > self.median(one) { other } else { one }
    }

    /// One contender's figure by another's.
    pub(crate) fn ratio(&self, contender: usize, other: usize) -> Ratio {
        let pairs = self.0[contender].iter().zip(&self.0[other]);
        let mut ratios: Vec<f64> = pairs.map(|(figure, other)| figure / other).collect();
        ratios.sort_by(f64::total_cmp);
        let part = |quarters: usize| ratios[ratios.len() * quarters / 4];
        Ratio { median: part(2), quartiles: Some((part(1), part(3))) }
    }
}

/// One figure by another.
#[derive(Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// The first and the third quartile of the rounds; none of what was measured once.
    quartiles: Option<(f64, f64)>,
}

impl From<f64> for Ratio {
    fn from(median: f64) -> Self {
        Self { median, quartiles: None }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.median)?;
        match self.quartiles {
            Some((first, third)) => write!(f, " ({first:.2} to {third:.2})"),
            None => Ok(()),
        }
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
