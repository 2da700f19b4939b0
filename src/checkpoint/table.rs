//! Tables of JSON in which a checkpoint keeps what it says of a run.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::error::Error;

/// One table of JSON, whose values are asked for by their type.
pub(crate) struct Table<'a> {
    name: &'a str,
    entries: &'a Map<String, Value>,
}

impl<'a> Table<'a> {
    pub fn of(name: &'a str, value: &'a Value) -> Result<Self, Error> {
        let entries = value.as_object().ok_or_else(|| Error::Option(format!("it has no table {name}")))?;
        Ok(Table { name, entries })
    }

    pub fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A value that may be missing.
    pub fn optional(&self, key: &str) -> Option<&'a Value> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    fn typed<T>(&self, key: &str, what: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<T, Error> {
        let value = self.entries.get(key).unwrap_or(&Value::Null);
        read(value).ok_or_else(|| Error::Option(format!("{key} of {} is {value}: it must be {what}", self.name)))
    }

    pub fn number(&self, key: &str) -> Result<f64, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub fn count(&self, key: &str) -> Result<u64, Error> {
        self.typed(key, "a whole number", Value::as_u64)
    }

    pub fn count_32(&self, key: &str) -> Result<u32, Error> {
        self.typed(key, "a whole number of at most 32 bits", |value| value.as_u64()?.try_into().ok())
    }

    pub fn switch(&self, key: &str) -> Result<bool, Error> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub fn text(&self, key: &str) -> Result<&'a str, Error> {
        self.typed(key, "a word", Value::as_str)
    }

    pub fn word<T: FromStr<Err = Error>>(&self, key: &str) -> Result<T, Error> {
        self.text(key)?.parse()
    }
}
