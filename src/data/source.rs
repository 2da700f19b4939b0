//! Sources of rows that are read a range at a time.

use std::ops::Range;

use super::Dataset;
use crate::error::Error;

/// A source of rows, which are read a range at a time while a run trains on earlier ones. There may be more rows than fit in memory, or they
/// may be made when they are needed. [`Trainer::fit_from`](crate::Trainer::fit_from) trains on a source; a [`Dataset`] is one too.
///
/// All ranges must have the same width, element type and kind of targets.
pub trait Source: Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// The number of outputs that a network needs for the targets: the largest label plus 1, or the number of values in a row's targets.
    fn classes(&self) -> usize;

    /// Reads a range of rows, in the source's own order. The same range must always give the same rows. This is called on other threads than the
    /// one that trains, and before training for a few rows.
    ///
    /// # Errors
    ///
    /// Any error of reading the rows; training ends with it.
    fn read(&self, rows: Range<usize>) -> Result<Dataset, Error>;

    /// The whole set, if it is in memory.
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
        Ok(self.of_rows(&[rows]))
    }
}

/// A source of rows that a function makes; see [`Generated::new`].
pub struct Generated<F> {
    rows: usize,
    classes: usize,
    make: F,
}

impl<F: Fn(Range<usize>) -> Result<Dataset, Error> + Send + Sync> Generated<F> {
    /// A source of `rows` rows with `classes` classes, or `classes` target values each. `make` returns the rows of a range of indices, always
    /// the same rows for the same range.
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
