//! What stands for a missing number of a table.

use std::str::FromStr;

use crate::error::Error;

/// What stands for a missing number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// The mean of the column's others, in the table that the columns were learned from.
    Mean,
    /// 0.
    Zero,
    /// This one.
    Number(f32),
}

impl FromStr for Fill {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match (word, word.parse::<f32>()) {
            ("mean", _) => Ok(Fill::Mean),
            ("zero", _) => Ok(Fill::Zero),
            (_, Ok(number)) if number.is_finite() => Ok(Fill::Number(number)),
            _ => Err(Error::Option(format!("\"{word}\" is no fill: use mean, zero or a finite number"))),
        }
    }
}
