//! Quotas as text: `10/minute`, `100/5m`, `10/s burst 20; 1000/day from midnight UTC`.
//!
//! ```text
//! quotas = quota *( ";" quota )
//! quota  = limit "/" window [ "burst" units ] [ "from" start ]   see `window_start`
//! window = unit | length
//! length = 1*( number unit )          as in 5m, 1h 30m
//! ```
//! The whole text must match: half a match is how `10/month` becomes ten a
//! minute elsewhere.

use std::{fmt, str::FromStr, time::Duration};

use super::{Quota, QuotaError, Quotas, window_start};

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let fail = |reason: String| QuotaError::Notation { text: text.to_owned(), reason };
        let (limit, rest) = text
            .split_once('/')
            .ok_or_else(|| fail("there is no \"/\" between limit and window".to_owned()))?;
        let (rest, start) = match rest.split_once(" from ") {
            Some((rest, start)) => (rest, Some(start)),
            None => (rest, None),
        };
        let (window, burst) = match rest.split_once("burst") {
            Some((window, burst)) => (window, Some(burst)),
            None => (rest, None),
        };
        let limit = parse_units("limit", limit).map_err(fail)?;
        let window = parse_window(window.trim()).map_err(fail)?;
        let quota = Self::new(limit, window).map_err(|error| fail(error.to_string()))?;
        let quota = match burst {
            None => quota,
            Some(burst) => {
                let burst = parse_units("burst", burst).map_err(fail)?;
                quota.with_burst(burst).map_err(|error| fail(error.to_string()))?
            }
        };
        let Some(start) = start else { return Ok(quota) };
        window_start::check_window(&quota).map_err(|error| fail(error.to_string()))?;
        let start = window_start::parse(start, quota.window / 1_000_000).map_err(fail)?;
        let start = Duration::from_secs(start);
        quota.with_window_start(start).map_err(|error| fail(error.to_string()))
    }
}

impl FromStr for Quotas {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        if text.trim().is_empty() {
            return Err(QuotaError::Empty);
        }
        if let Some((before, behind)) = text.split_once(',') {
            let reason = reason_of_comma(text, before, behind);
            return Err(QuotaError::Notation { text: text.to_owned(), reason });
        }
        let quotas: Result<Vec<_>, _> = text.split(';').map(|part| part.trim().parse()).collect();
        Self::new(quotas?)
    }
}

/// Says what to write instead of a comma.
fn reason_of_comma(text: &str, before: &str, behind: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    if before.ends_with(is_digit) && behind.starts_with(is_digit) {
        return "numbers have no separators, as in \"1000/hour\"".to_owned();
    }
    if behind.trim_start().starts_with("burst") {
        return format!("a burst follows without a comma, as in {:?}", text.replace(',', ""));
    }
    format!("quotas have \";\" between them, as in {:?}", text.replace(',', ";"))
}

fn parse_units(name: &str, text: &str) -> Result<u64, String> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("the {name} {digits:?} is not a whole number"));
    }
    digits.parse().map_err(|_| format!("the {name} {digits} does not fit"))
}

fn parse_window(text: &str) -> Result<Duration, String> {
    match text.chars().next() {
        None => Err("there is no window behind the \"/\"".to_owned()),
        Some(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("the window {text} has no unit, as in \"{text}s\" for seconds"))
        }
        Some(_) if text.chars().all(char::is_alphabetic) => parse_duration(&format!("1{text}")),
        Some(_) => parse_duration(text),
    }
}

/// A length of time such as `90s`, `10m` or `1h 30m`.
///
/// Months and years are refused, since they have no fixed length, and `M`,
/// since everybody reads it as minutes.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const VAGUE: [&str; 6] = ["M", "month", "months", "y", "year", "years"];
    let mut units = text.split(|c: char| !c.is_alphabetic());
    if let Some(unit) = units.find(|unit| VAGUE.contains(unit)) {
        return Err(format!("{unit:?} has no fixed length, write days, such as 30d"));
    }
    humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::UnknownUnit { unit, .. } => {
            format!("there is no unit {unit:?}, only s, m, h, d and such")
        }
        other => format!("the length of time {text:?}: {other}"),
    })
}

/// Writes the text of `Display`.
impl serde::Serialize for Quota {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.limit, Length(self.window))?;
        if self.burst != self.limit {
            write!(f, " burst {}", self.burst)?;
        }
        match self.window_start() {
            Some(start) => {
                let window = self.window / 1_000_000;
                window_start::Start { window, start: start.as_secs() }.fmt(f)
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, quota) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            quota.fmt(f)?;
        }
        Ok(())
    }
}

/// Microseconds in the largest unit that divides them: `5m`, `90s`, `1d`.
pub(crate) struct Length(pub(crate) u64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 5] = [
            (86_400_000_000, "d"),
            (3_600_000_000, "h"),
            (60_000_000, "m"),
            (1_000_000, "s"),
            (1_000, "ms"),
        ];
        let (size, unit) =
            UNITS.into_iter().find(|(size, _)| self.0.is_multiple_of(*size)).unwrap_or((1, "us"));
        write!(f, "{}{unit}", self.0 / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_is_read_in_full() {
        let table = [
            ("10/minute", 10, 60_000_000, 10),
            ("100/5m", 100, 300_000_000, 100),
            ("10/s burst 20", 10, 1_000_000, 20),
            (" 7 / 1h 30m burst 3 ", 7, 5_400_000_000, 3),
            ("3/10ms", 3, 10_000, 3),
            ("1/us", 1, 1, 1),
            ("999999999999999/day", 999_999_999_999_999, 86_400_000_000, 999_999_999_999_999),
        ];
        for (text, limit, window, burst) in table {
            let quota: Quota = text.parse().unwrap();
            assert_eq!((quota.limit, quota.window, quota.burst), (limit, window, burst), "{text}");
            assert_eq!(quota.to_string().parse::<Quota>().unwrap(), quota, "{text}");
        }
    }

    #[test]
    fn windows_begin_at_a_set_time() {
        let table = [
            ("9/day from midnight UTC", 0, "9/1d from 00:00 UTC"),
            ("9/day from midnight +02:00", 22 * 3_600, "9/1d from 22:00 UTC"),
            ("9/24h from 04:30 -03:00", 27_000, "9/1d from 07:30 UTC"),
            ("9/hour from 00:30 utc", 1_800, "9/1h from 00:30 UTC"),
            ("9/week from Monday UTC", 4 * 86_400, "9/7d from monday 00:00 UTC"),
            (
                "9/7d from sunday 06:00 +10:00",
                3 * 86_400 - 4 * 3_600,
                "9/7d from saturday 20:00 UTC",
            ),
        ];
        for (text, start, shown) in table {
            let quota: Quota = text.parse().unwrap();
            assert_eq!(quota.algorithm(), crate::Algorithm::FixedWindow, "{text}");
            assert_eq!(quota.window_start(), Some(Duration::from_secs(start)), "{text}");
            assert_eq!(quota.to_string(), shown);
            assert_eq!(shown.parse::<Quota>().unwrap(), quota);
        }
        assert_eq!(size_of::<Quota>(), 32);
    }

    #[test]
    fn what_is_not_a_quota_is_named() {
        let table = [
            ("", "no \"/\""),
            ("10", "no \"/\""),
            ("/minute", "the limit \"\" is not a whole number"),
            ("-1/minute", "\"-1\" is not a whole number"),
            ("1.5/minute", "\"1.5\" is not a whole number"),
            ("10/", "no window"),
            ("10/minute 5s", "length of time"),
            ("10/60", "the window 60 has no unit, as in \"60s\""),
            ("10/fortnight", "fortnight"),
            ("10/month", "\"month\" has no fixed length"),
            ("10/5M", "\"M\" has no fixed length"),
            ("10/minutely", "minutely"),
            ("10/minute!", "minute!"),
            ("10/minute/hour", "minute/hour"),
            ("10/1ns", "whole number of microseconds"),
            ("10/0s", "longer than zero"),
            ("10/4000d", "at most 3660 days"),
            ("0/minute", "the limit is 0; it must be 1 to 999999999999999"),
            ("1000000000000000/s", "must be 1 to 999999999999999"),
            ("18446744073709551615/s", "must be 1 to"),
            ("18446744073709551616/s", "does not fit"),
            ("10/s burst", "the burst \"\" is not a whole number"),
            ("10/s burst 0", "the burst is 0"),
            ("1/3660d burst 1000", "hundred years"),
        ];
        for (text, part) in table {
            let error = text.parse::<Quota>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_start_that_is_none_is_named() {
        let table = [
            (
                "9/day from midnight",
                "\"midnight\" is no time and zone; write \"from midnight UTC\"",
            ),
            ("9/day from midnight Europe/Berlin", "is no zone of fixed distance; write UTC"),
            ("9/day from 24:00 UTC", "\"24:00\" is no time of a day"),
            ("9/day from monday UTC", "a week begins on a day"),
            ("9/week from midnight UTC", "as in \"1000/7d from monday UTC\""),
            ("9/7h from midnight UTC", "must divide a day"),
            ("9/30d from midnight UTC", "must divide a day"),
            ("9/day burst 20 from midnight UTC", "fixed_window has no burst"),
        ];
        for (text, part) in table {
            let error = text.parse::<Quota>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_has_one_order_and_no_doubles() {
        let one: Quotas = "1000/hour; 10/second".parse().unwrap();
        assert_eq!(one, "10/s;1000/60m".parse().unwrap());
        let twice = "10/s; 10/1000ms".parse::<Quotas>().unwrap_err();
        assert_eq!(twice, QuotaError::Twice("10/1s".to_owned()));
        assert_eq!(" ".parse::<Quotas>().unwrap_err(), QuotaError::Empty);
        assert!("10/s;".parse::<Quotas>().is_err());
        assert!(";;".parse::<Quotas>().is_err());
        let comma = "100/hour, 10/minute".parse::<Quotas>().unwrap_err().to_string();
        assert!(comma.contains("as in \"100/hour; 10/minute\""), "{comma}");
        let many: Vec<_> = (1..=1_000).map(|limit| format!("{limit}/s")).collect();
        assert_eq!(many.join(";").parse::<Quotas>().unwrap_err(), QuotaError::TooMany(1_000));
    }

    #[test]
    fn a_window_has_no_burst() {
        use crate::Algorithm::{FixedWindow, SlidingWindow};
        let bursty: Quota = "10/s burst 20".parse().unwrap();
        assert_eq!(
            bursty.with_algorithm(FixedWindow).unwrap_err(),
            QuotaError::BurstWithWindow("fixed_window")
        );
        let window = Quota::per_second(10).unwrap().with_algorithm(SlidingWindow).unwrap();
        assert!(window.with_burst(20).is_err());
    }
}
