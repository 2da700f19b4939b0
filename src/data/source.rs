//! Rows that are read a stretch at a time.

use std::ops::Range;

use super::{Dataset, Features, Values};
use crate::error::Error;

/// Rows that are read a stretch at a time, while a run trains on earlier ones: more than a device or a machine holds, or made as they are
/// needed. [`Trainer::fit_from`](crate::Trainer::fit_from) trains on them; a [`Dataset`] is one too.
///
/// All stretches must be alike: the same width, element type and kind of targets.
pub trait Source: Send + Sync {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// Outputs that a network needs for the targets: one more than the largest label, or the values of a row.
    fn classes(&self) -> usize;

    /// Some of the rows, in the source's own order; the same rows whenever they are asked for. Called on other threads than the one that trains, and before training
    /// for a few rows.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with them; training ends with it.
    fn read(&self, rows: Range<usize>) -> Result<Dataset, Error>;

    /// All rows, where they are in memory.
    #[doc(hidden)]
    fn whole(&self) -> Option<&Dataset> {
        None
    }
}

impl Source for Dataset {
    fn rows(&self) -> usize {
        self.rows
    }

    fn classes(&self) -> usize {
        Dataset::classes(self)
    }

    fn whole(&self) -> Option<&Dataset> {
        Some(self)
    }

    fn read(&self, rows: Range<usize>) -> Result<Dataset, Error> {
        if rows.is_empty() || rows.end > self.rows {
            return Err(Error::Data(format!("rows {} to {} are not in a set of {}", rows.start, rows.end, self.rows)));
        }
        let of = |width: usize| rows.start * width..rows.end * width;
        let features = match &self.features {
            Features::U8(values) => Features::U8(values[of(self.width)].to_vec()),
            Features::F16(values) => Features::F16(values[of(self.width)].to_vec()),
            Features::F32(values) => Features::F32(values[of(self.width)].to_vec()),
            Features::F64(values) => Features::F64(values[of(self.width)].to_vec()),
        };
        let values = self.values.as_ref().map(|all| Values { values: all.values[of(all.outputs)].to_vec(), ..*all });
        let labels = if self.labels.is_empty() { Vec::new() } else { self.labels[rows.clone()].to_vec() };
        let sample_weights = self.sample_weights.as_ref().map(|weights| weights[rows.clone()].to_vec());
        let origin = self.origin.clone();
        let (notes, table) = (self.notes.clone(), self.table.clone());
        Ok(Dataset {
            features,
            width: self.width,
            rows: rows.len(),
            labels,
            values,
            sample_weights,
            origin,
            notes,
            table,
        })
    }
}

/// Rows that a function makes; see [`Generated::new`].
pub struct Generated<F> {
    rows: usize,
    classes: usize,
    make: F,
}

impl<F: Fn(Range<usize>) -> Result<Dataset, Error> + Send + Sync> Generated<F> {
    /// So many rows of so many classes, or target values: `make` is given the numbers of some of them, and makes the same rows whenever it is.
    ///
    /// ```
    /// use wgrad::{Dataset, Source};
    /// let counting = wgrad::Generated::new(1_000_000_000, 2, |rows: std::ops::Range<usize>| {
    ///     let features = rows.clone().map(|row| (row % 256) as u8).collect();
    ///     Dataset::from_u8(features, 1, rows.map(|row| u32::from(row % 256 > 127)).collect())
    /// });
    /// assert_eq!(counting.read(254..258)?.labels(), [1, 1, 0, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn new(rows: usize, classes: usize, make: F) -> Self {
        Generated { rows, classes, make }
    }
}

impl<F: Fn(Range<usize>) -> Result<Dataset, Error> + Send + Sync> Source for Generated<F> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn read(&self, rows: Range<usize>) -> Result<Dataset, Error> {
        (self.make)(rows)
    }
}
