//! Values that configuration writes as text, or as one of several forms.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

use crate::quota::parse_duration;

/// Reads text by a type's own parser.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

/// A length of time: `"90s"`, `"10m"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length(pub(super) Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
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
        // The shortest decimal that means this float is what was written: its
        // digits are cut, not its binary value, so that 1.001 is 1001.
        let number = f64::deserialize(deserializer)?;
        thousandths(&number.to_string())
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("the factor {number} is not 1 to 1000000")))
    }
}

fn thousandths(decimal: &str) -> Option<u32> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1_000_000)?;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(whole * 1_000 + digits.parse::<u32>().ok()?)
}

/// One value, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected text or a list of texts")]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let values = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        values.iter().map(String::as_str)
    }
}

/// Whom to trust: networks, a number of proxies, or everyone.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of networks, or a number of proxies")]
pub(super) enum Trust {
    Hops(u64),
    Word(String),
    Networks(Vec<String>),
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
