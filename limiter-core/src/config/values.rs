//! Values of the configuration, read in any form that figment has of them.
//!
//! Variables of the environment are text, and figment may have made a number or
//! a truth value of it; a file has its own types. So each value is first read as
//! [`Given`], and then as what it has to be, with a message that says what to
//! write.

use std::{fmt, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::quota::parse_duration;

/// A value as it was written.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<String>),
    Table,
}

impl Given {
    /// The value for a message; of a list or a table its kind alone.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("is {text:?}"),
            Self::Number(number) => format!("is {number}"),
            Self::Flag(flag) => format!("is {flag}"),
            Self::List(_) => "is a list".to_owned(),
            Self::Table => "is a table".to_owned(),
        }
    }

    /// The text of a single value.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::List(_) | Self::Table => None,
        }
    }

    fn wrong<E: de::Error>(&self, right: &str) -> E {
        E::custom(format!("{}; write {right}", self.shown()))
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Given, E> {
        Ok(Given::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Given, E> {
        Ok(Given::Number(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Given, E> {
        Ok(Given::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Given, E> {
        Ok(Given::Number(number.to_string()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Given, E> {
        Ok(Given::Flag(flag))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
        let mut texts = Vec::new();
        while let Some(element) = list.next_element::<Self::Value>()? {
            let text = element.text();
            texts.push(text.ok_or_else(|| de::Error::custom("holds a list; write one list"))?);
        }
        Ok(Given::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Given, A::Error> {
        while table.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Given::Table)
    }
}

/// One text. Digits are text as well.
#[derive(Clone, Debug)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(deserializer)?;
        let kind = given.shown();
        // Lists and tables are the only ones that are no text, and are not shown.
        given.text().map(Self).ok_or_else(|| de::Error::custom(format!("{kind}; write one text")))
    }
}

/// A whole number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<N>(pub(super) N);

impl<'de, N: FromStr> Deserialize<'de> for Number<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(deserializer)?;
        let number = given.clone().text().and_then(|text| text.trim().parse().ok());
        number.map(Self).ok_or_else(|| given.wrong("a whole number that fits, such as 100"))
    }
}

/// True or false.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(deserializer)?;
        match given.clone().text().as_deref() {
            Some("true") => Ok(Self(true)),
            Some("false") => Ok(Self(false)),
            _ => Err(given.wrong("true or false")),
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
        match Given::deserialize(deserializer)? {
            Given::List(list) => Ok(Self(list)),
            Given::Text(text) | Given::Number(text) => Ok(Self(split(&text))),
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
        let given = Given::deserialize(deserializer)?;
        let Some(text) = given.clone().text() else {
            return Err(given.wrong("a length of time such as \"90s\" or \"10m\""));
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
        let given = Given::deserialize(deserializer)?;
        let number = given.clone().text().as_deref().and_then(thousandths);
        number.map(Self).ok_or_else(|| given.wrong("a factor of 1 to 1000000, such as 2 or 1.5"))
    }
}

fn thousandths(decimal: &str) -> Option<u32> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1_000_000)?;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(whole * 1_000 + digits.parse::<u32>().ok()?)
}

/// Whom to trust: networks, a number of proxies, or everyone.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    Hops(u64),
    Networks(Vec<String>),
}

impl<'de> Deserialize<'de> for Trust {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(deserializer)?;
        match (&given, given.clone().text().and_then(|text| text.parse().ok())) {
            (_, Some(hops)) => Ok(Self::Hops(hops)),
            (Given::Text(text), None) => Ok(Self::Networks(split(text))),
            (Given::List(list), None) => Ok(Self::Networks(list.clone())),
            (_, None) => Err(given.wrong("a list of networks, or a number of proxies")),
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::Networks(Vec::new())
    }
}

/// A table. Where there is something else, the message has an example.
pub(super) fn table<'de, D, T>(deserializer: D, example: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(TableVisitor { example, table: std::marker::PhantomData })
}

struct TableVisitor<T> {
    example: &'static str,
    table: std::marker::PhantomData<T>,
}

impl<T> TableVisitor<T> {
    fn wrong<E: de::Error>(&self, given: &Given) -> E {
        given.wrong(&format!("a table, such as {}", self.example))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table, such as {}", self.example)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Err(self.wrong(&Given::Text(text.to_owned())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Err(self.wrong(&Given::Number(number.to_string())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Err(self.wrong(&Given::Number(number.to_string())))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        Err(self.wrong(&Given::Flag(flag)))
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
