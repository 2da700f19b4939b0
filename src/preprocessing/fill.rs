//! Replacements of missing numbers in a table.

use std::str::FromStr;

use crate::error::Error;

/// The replacement of a missing number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// The mean of the column's other numbers, in the table that the columns were learned from.
    Mean,
    /// The number 0.
    Zero,
    /// This number.
    Number(f32),
}

impl FromStr for Fill {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match (word, word.parse::<f32>()) {
            ("mean", _) => Ok(Fill::Mean),
            ("zero", _) => Ok(Fill::Zero),
            (_, Ok(number)) if number.is_finite() => Ok(Fill::Number(number)),
            _ => Err(Error::Option(format!("\"{word}\" is not a replacement: use mean, zero or a finite number"))),
        }
    }
}
