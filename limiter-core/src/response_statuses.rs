//! Response statuses that a rule names: single ones and classes.

use std::{fmt, str::FromStr};

use crate::error::ConfigError;

/// The status of a request whose client hung up, as in nginx's log.
const HUNG_UP: u16 = 499;

/// A response status, such as `401`, or a class of them, such as `5xx`.
///
/// The class `4xx` has no 499, which stands for a client that hung up: such a request is
/// none of the statuses that the application answers with. It has to be named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusPattern(Pattern);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pattern {
    One(u16),
    /// The first digit.
    Class(u16),
}

impl StatusPattern {
    /// Returns true if it names that status.
    #[must_use]
    pub const fn names(&self, status: u16) -> bool {
        match self.0 {
            Pattern::One(own) => own == status,
            Pattern::Class(class) => status / 100 == class && status != HUNG_UP,
        }
    }
}

/// The notation of a [`StatusPattern`]: a number, or a text such as `"401"` or `"5xx"`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no response status",
    note = "write numbers, [401, 403], or texts, [\"5xx\", \"404\"]; a list of both as texts"
)]
pub trait IntoStatusPattern {
    /// Returns the pattern.
    ///
    /// # Errors
    /// If it is no HTTP status (100 to 599) and no class of them.
    fn into_status_pattern(self) -> Result<StatusPattern, ConfigError>;
}

impl IntoStatusPattern for StatusPattern {
    fn into_status_pattern(self) -> Result<StatusPattern, ConfigError> {
        Ok(self)
    }
}

impl IntoStatusPattern for u16 {
    fn into_status_pattern(self) -> Result<StatusPattern, ConfigError> {
        match self {
            100..=599 => Ok(StatusPattern(Pattern::One(self))),
            _ => Err(ConfigError::new(format!(
                "holds {self}, which is no HTTP status; write 100 to 599"
            ))),
        }
    }
}

impl IntoStatusPattern for &str {
    fn into_status_pattern(self) -> Result<StatusPattern, ConfigError> {
        self.parse()
    }
}

impl FromStr for StatusPattern {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if let Ok(status) = text.parse::<u16>() {
            return status.into_status_pattern();
        }
        let class = text.strip_suffix("xx");
        match class.map(str::as_bytes) {
            Some([digit @ b'1'..=b'5']) => Ok(Self(Pattern::Class(u16::from(*digit - b'0')))),
            _ => Err(ConfigError::new(format!(
                "holds {text:?}, which is no HTTP status and no class of them; write [401, 403] \
                 or [\"5xx\"]"
            ))),
        }
    }
}

impl fmt::Display for StatusPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Pattern::One(status) => write!(f, "{status}"),
            Pattern::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// Several patterns.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Statuses(Vec<StatusPattern>);

impl Statuses {
    /// Reads patterns for the option of that name.
    pub(crate) fn read<S: IntoStatusPattern>(
        name: &str,
        patterns: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        let patterns = patterns.into_iter().map(IntoStatusPattern::into_status_pattern);
        let patterns: Result<_, _> = patterns.collect();
        patterns.map(Self).map_err(|error| error.within(name))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn name(&self, status: u16) -> bool {
        self.0.iter().any(|pattern| pattern.names(status))
    }
}

/// Which responses a policy counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum CountedStatuses {
    #[default]
    All,
    /// All but these.
    AllBut(Statuses),
    /// These, and clients that hung up.
    Only(Statuses),
}

impl CountedStatuses {
    /// Returns true if a response of that status is counted.
    ///
    /// A client that hung up is, unless it is named to be given back: else hanging up
    /// would make requests free.
    pub(crate) fn count(&self, status: u16) -> bool {
        match self {
            Self::All => true,
            Self::AllBut(statuses) => !statuses.name(status),
            Self::Only(statuses) => status == HUNG_UP || statuses.name(status),
        }
    }

    /// Returns true if a response of that status is one of the few that are counted.
    pub(crate) fn count_for_good(&self, status: u16) -> bool {
        matches!(self, Self::Only(statuses) if statuses.name(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(patterns: &[&str]) -> Statuses {
        Statuses::read("refund", patterns.iter().copied()).unwrap()
    }

    #[test]
    fn a_class_names_all_but_a_client_that_hung_up() {
        let patterns = statuses(&["4xx", "503"]);
        let named: Vec<_> =
            [399, 400, 401, 498, 499, 500, 503, 504].map(|status| patterns.name(status)).into();
        assert_eq!(named, [false, true, true, true, false, false, true, false]);
        assert!(statuses(&["4xx", "499"]).name(499));
    }

    #[test]
    fn hanging_up_is_counted_unless_it_is_given_back() {
        assert!(CountedStatuses::AllBut(statuses(&["4xx", "5xx"])).count(499));
        assert!(!CountedStatuses::AllBut(statuses(&["499"])).count(499));
        let only = CountedStatuses::Only(statuses(&["401"]));
        assert_eq!(
            [200, 401, 403, 499, 500].map(|s| only.count(s)),
            [false, true, false, true, false]
        );
    }

    #[test]
    fn what_is_no_status_is_said() {
        for text in ["99", "600", "0xx", "6xx", "44x", "xx", "5xxx", "", "-4xx", "+5xx", "ok"] {
            let error = text.parse::<StatusPattern>();
            assert!(error.is_err(), "{text}");
        }
        assert_eq!("5xx".parse::<StatusPattern>().unwrap().to_string(), "5xx");
    }
}
