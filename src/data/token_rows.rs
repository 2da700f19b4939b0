//! The tokens of a set, in rows that may overlap.

use std::ops::Range;

use crate::error::Error;
use crate::layout::TokenLayout;

/// The most tokens of a vocabulary.
const MOST_TOKENS: usize = 1 << 24;

/// Tokens of rows, which may overlap.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tokens {
    pub values: Vec<u32>,
    /// Whether a row begins at every place; otherwise the next row begins where one ends.
    pub overlaps: bool,
    /// One more than the largest token of the set that they are of.
    pub vocabulary: usize,
}

impl Tokens {
    pub fn of(values: Vec<u32>, overlaps: bool) -> Result<Self, Error> {
        let vocabulary = values.iter().max().map_or(0, |&largest| largest as usize + 1);
        if vocabulary > MOST_TOKENS {
            let at = values.iter().position(|&token| token as usize >= MOST_TOKENS).unwrap_or_default();
            return Err(Error::Data(format!(
                "token {at} is {}: tokens count from 0, and the largest may be {}",
                values[at],
                MOST_TOKENS - 1
            )));
        }
        Ok(Tokens { values, overlaps, vocabulary })
    }

    /// How they lie on the device: in as few bytes as the largest needs.
    pub fn layout(&self) -> TokenLayout {
        let bytes = match self.vocabulary {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        TokenLayout { bytes, overlaps: self.overlaps }
    }

    /// Their bytes on the device.
    pub fn to_device(&self, tokens: Range<usize>) -> Vec<u8> {
        let values = &self.values[tokens];
        match self.layout().bytes {
            1 => values.iter().map(|&token| token as u8).collect(),
            2 => values.iter().flat_map(|&token| (token as u16).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|token| token.to_le_bytes()).collect(),
        }
    }
}

/// Where the values of some rows are, of which each has `width` and begins `stride` after the one before.
pub(super) fn values_of(rows: Range<usize>, stride: usize, width: usize) -> Range<usize> {
    match rows.is_empty() {
        true => 0..0,
        false => rows.start * stride..(rows.end - 1) * stride + width,
    }
}

/// The values of the rows of these ranges. One range keeps its stride, and the rows of several do not overlap.
pub(super) fn gathered<T: Copy>(values: &[T], stride: usize, width: usize, ranges: &[Range<usize>]) -> Vec<T> {
    match ranges {
        [one] => values[values_of(one.clone(), stride, width)].to_vec(),
        several => {
            let rows = several.iter().flat_map(Clone::clone);
            rows.flat_map(|row| values[row * stride..][..width].iter().copied()).collect()
        }
    }
}
