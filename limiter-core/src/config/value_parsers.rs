//! Values of the configuration, read in any form that figment has of them.
//!
//! Each is first read as [`RawValue`], and then as what it has to be, with a message
//! that says what to write.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

use super::raw_value::RawValue;
use crate::quota::parse_duration;

/// One text. Digits are text as well.
#[derive(Clone, Debug)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawValue::deserialize(deserializer)?;
        let kind = raw.shown();
        // Lists and tables are the only ones that are no text, and are not shown.
        raw.text().map(Self).ok_or_else(|| de::Error::custom(format!("{kind}; write one text")))
    }
}

/// A whole number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<N>(pub(super) N);

impl<'de, N: FromStr> Deserialize<'de> for Number<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawValue::deserialize(deserializer)?;
        let number = raw.clone().text().and_then(|text| text.trim().parse().ok());
        number.map(Self).ok_or_else(|| raw.wrong("a whole number that fits, such as 100"))
    }
}

/// True or false.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawValue::deserialize(deserializer)?;
        match raw.clone().text().as_deref() {
            Some("true") => Ok(Self(true)),
            Some("false") => Ok(Self(false)),
            _ => Err(raw.wrong("true or false")),
        }
    }
}

/// A list. One value alone is a list of one, and text may have commas between.
#[derive(Clone, Debug, Default)]
pub(super) struct List(pub(super) Vec<String>);

impl List {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match RawValue::deserialize(deserializer)? {
            RawValue::List(list) => Ok(Self(list)),
            RawValue::Text(text) | RawValue::Number(text) => Ok(Self(split(&text))),
            other => Err(other.wrong("a list of texts, such as [\"a\", \"b\"]")),
        }
    }
}

fn split(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Reads text by a type's own parser.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let Text(text) = Text::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

/// A length of time: `"90s"`, `"10m"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length(pub(super) Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawValue::deserialize(deserializer)?;
        let Some(text) = raw.clone().text() else {
            return Err(raw.wrong("a length of time such as \"90s\" or \"10m\""));
        };
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            return Err(de::Error::custom(format!(
                "is {text}, without a unit; write \"{text}s\" for seconds or \"{text}ms\" for \
                 milliseconds"
            )));
        }
        parse_duration(&text).map(Self).map_err(|reason| {
            de::Error::custom(format!(
                "{reason}; write a length of time such as \"90s\" or \"10m\""
            ))
        })
    }
}

/// A decimal number in thousandths, rounded down: 1.5 is 1500.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thousandths(pub(super) u32);

impl<'de> Deserialize<'de> for Thousandths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The shortest decimal that means a float is what was written: its digits
        // are cut, not its binary value, so that 1.001 is 1001.
        let raw = RawValue::deserialize(deserializer)?;
        let number = raw.clone().text().as_deref().and_then(thousandths);
        number.map(Self).ok_or_else(|| raw.wrong("a factor of 1 to 1000000, such as 2 or 1.5"))
    }
}

fn thousandths(decimal: &str) -> Option<u32> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1_000_000)?;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(whole * 1_000 + digits.parse::<u32>().ok()?)
}

/// The proxies to trust: networks, a number of hops, or everyone.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    Hops(u64),
    Networks(Vec<String>),
}

impl<'de> Deserialize<'de> for Trust {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawValue::deserialize(deserializer)?;
        match (&raw, raw.clone().text().and_then(|text| text.parse().ok())) {
            (_, Some(hops)) => Ok(Self::Hops(hops)),
            (RawValue::Text(text), None) => Ok(Self::Networks(split(text))),
            (RawValue::List(list), None) => Ok(Self::Networks(list.clone())),
            (_, None) => Err(raw.wrong("a list of networks, or a number of proxies")),
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::Networks(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::thousandths;

    #[test]
    fn decimals_are_cut_to_thousandths() {
        let table = [
            ("1", Some(1_000)),
            ("1.5", Some(1_500)),
            ("1.001", Some(1_001)),
            ("1.9999", Some(1_999)),
            ("2.25", Some(2_250)),
            ("1000000", Some(1_000_000_000)),
            ("1000001", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
        ];
        for (text, expected) in table {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
