//! Sizes of memory, as people write them.

use std::str::FromStr;

use crate::error::Error;

/// Bytes, written as `500MB`, `2GiB` or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub u64);

impl FromStr for Size {
    type Err = Error;

    fn from_str(words: &str) -> Result<Self, Error> {
        let refused = || {
            Error::Option(format!("\"{words}\" is not a size: write a number of bytes, or 500MB, 512MiB, 2GB or 2GiB"))
        };
        let (number, unit) = words.split_at(words.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
        let number: f64 = number.trim().parse().map_err(|_| refused())?;
        let unit = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "kb" | "k" => 1e3,
            "mb" | "m" => 1e6,
            "gb" | "g" => 1e9,
            "kib" => 1024.0,
            "mib" => 1024.0 * 1024.0,
            "gib" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(refused()),
        };
        let bytes = number * unit;
        if (1.0..9e18).contains(&bytes) { Ok(Size(bytes as u64)) } else { Err(refused()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a budget that is a thousand times what was meant.
    #[test]
    fn sizes_are_what_they_say() {
        let bytes = |words: &str| words.parse::<Size>().map(|Size(bytes)| bytes).ok();
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("1.5GB"), Some(1_500_000_000));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("2 kib"), Some(2048));
        for wrong in ["", "MB", "0", "-1GB", "5 apples", "nan", "1e30GB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
