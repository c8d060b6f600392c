//! Values as they were written: [`RawValue`].
//!
//! Variables of the environment are text, and figment may have made a number or
//! a truth value of it; a file has its own types.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A value as it was written.
#[derive(Clone, Debug)]
pub(super) enum RawValue {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<String>),
    Table,
}

impl RawValue {
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

    /// The error that says what to write instead.
    pub(super) fn wrong<E: de::Error>(&self, right: &str) -> E {
        E::custom(format!("{}; write {right}", self.shown()))
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<RawValue, E> {
        Ok(RawValue::Number(number.to_string()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<RawValue, E> {
        Ok(RawValue::Flag(flag))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawValue, A::Error> {
        let mut texts = Vec::new();
        while let Some(element) = list.next_element::<Self::Value>()? {
            let text = element.text();
            texts.push(text.ok_or_else(|| de::Error::custom("holds a list; write one list"))?);
        }
        Ok(RawValue::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<RawValue, A::Error> {
        while table.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(RawValue::Table)
    }
}

/// A table. Where there is something else, the message has an example.
pub(super) fn table<'de, D, T>(deserializer: D, example: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(TableVisitor { example, table: PhantomData })
}

struct TableVisitor<T> {
    example: &'static str,
    table: PhantomData<T>,
}

impl<T> TableVisitor<T> {
    fn wrong<E: de::Error>(&self, raw: &RawValue) -> E {
        raw.wrong(&format!("a table, such as {}", self.example))
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
        Err(self.wrong(&RawValue::Text(text.to_owned())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Err(self.wrong(&RawValue::Number(number.to_string())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Err(self.wrong(&RawValue::Number(number.to_string())))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        Err(self.wrong(&RawValue::Flag(flag)))
    }
}
