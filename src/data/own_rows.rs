//! Sets of rows that a program has in memory: with class indices, with numbers to predict, or without targets.

use half::f16;

use super::{Dataset, Features, Values};
use crate::data::dataset::check_finite;
use crate::error::Error;
use crate::named::counted;
use crate::preprocessing::Origin;

/// A type of features: `u8`, which a network sees as `[0, 1]`, [`f16`](half::f16), `f32`, or `f64`, which becomes f32 after the
/// scaling, if there is one.
pub trait Feature: of_features::OfFeatures {}

impl Feature for u8 {}
impl Feature for f16 {}
impl Feature for f32 {}
impl Feature for f64 {}

/// The targets of a row of numbers to predict: one number, or several in an array, a slice or a vector.
pub trait Numbers {
    /// Appends the row's numbers to `numbers`.
    #[doc(hidden)]
    fn put(&self, numbers: &mut Vec<f32>);
}

impl Numbers for f32 {
    fn put(&self, numbers: &mut Vec<f32>) {
        numbers.push(*self);
    }
}

impl<const N: usize> Numbers for [f32; N] {
    fn put(&self, numbers: &mut Vec<f32>) {
        numbers.extend(self);
    }
}

impl Numbers for &[f32] {
    fn put(&self, numbers: &mut Vec<f32>) {
        numbers.extend(*self);
    }
}

impl Numbers for Vec<f32> {
    fn put(&self, numbers: &mut Vec<f32>) {
        numbers.extend(self);
    }
}

mod of_features {
    use crate::data::Dataset;
    use crate::error::Error;

    /// The sealed part of [`Feature`](super::Feature): how values become a set's features.
    pub trait OfFeatures: Copy {
        /// A set of rows of `width` values, with no targets.
        fn alone(values: Vec<Self>, width: usize) -> Result<Dataset, Error>;
    }
}

impl of_features::OfFeatures for u8 {
    fn alone(values: Vec<u8>, width: usize) -> Result<Dataset, Error> {
        Dataset::alone(values.len(), Features::U8(values), width)
    }
}

impl of_features::OfFeatures for f16 {
    fn alone(values: Vec<f16>, width: usize) -> Result<Dataset, Error> {
        check_finite(&values, width)?;
        Dataset::alone(values.len(), Features::F16(values), width)
    }
}

impl of_features::OfFeatures for f32 {
    fn alone(values: Vec<f32>, width: usize) -> Result<Dataset, Error> {
        check_finite(&values, width)?;
        Dataset::alone(values.len(), Features::F32(values), width)
    }
}

impl of_features::OfFeatures for f64 {
    fn alone(values: Vec<f64>, width: usize) -> Result<Dataset, Error> {
        check_finite(&values, width)?;
        Dataset::alone(values.len(), Features::of_f64(values), width)
    }
}

impl Dataset {
    /// A set of rows of f32 features with a label each, from any iterator. All rows must have the same number of features.
    ///
    /// ```
    /// let points = [([0.0, 0.5], 0), ([1.0, 0.25], 1)];
    /// let set = wgrad::Dataset::from_rows(points)?;
    /// assert_eq!((set.rows(), set.width(), set.labels()), (2, 2, &[0, 1][..]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_f32`](Self::from_f32), and for rows of different widths.
    pub fn from_rows<F: AsRef<[f32]>>(rows: impl IntoIterator<Item = (F, u32)>) -> Result<Self, Error> {
        let mut labels = Vec::new();
        let (features, width) = side_by_side(rows.into_iter().map(|(row, label)| {
            labels.push(label);
            row
        }))?;
        Dataset::from_f32(features, width, labels)
    }

    /// A set of rows of features with numbers to predict, one or several a row, for regression losses ([`Loss::MeanSquaredError`](crate::Loss) and
    /// others). If the numbers are far from the order of 1, as prices are, [`with_target_scaling`](Self::with_target_scaling) makes them learnable.
    ///
    /// ```
    /// let houses = [([120.0, 3.0], 310_000.0), ([65.0, 2.0], 190_000.0)];
    /// let set = wgrad::Dataset::regression(houses)?;
    /// assert_eq!((set.rows(), set.width(), set.values()), (2, 2, Some(&[310_000.0, 190_000.0][..])));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for an empty set, a width of 0, rows that differ in their numbers of features or targets, and for a value that is infinite or
    /// not a number.
    pub fn regression<X: Feature, F: AsRef<[X]>, T: Numbers>(
        rows: impl IntoIterator<Item = (F, T)>,
    ) -> Result<Self, Error> {
        let (mut values, mut outputs, mut ragged) = (Vec::new(), None, None);
        let set = Dataset::inputs(rows.into_iter().enumerate().map(|(at, (row, numbers))| {
            let before = values.len();
            numbers.put(&mut values);
            let own = values.len() - before;
            if *outputs.get_or_insert(own) != own {
                ragged.get_or_insert((at, own));
            }
            row
        }))?;
        let outputs = outputs.unwrap_or(0);
        if let Some((row, own)) = ragged {
            return Err(Error::Data(format!(
                "row {row} has {}, and those before it {outputs}: all must have the same number",
                counted(own, "target")
            )));
        }
        set.with_targets(values, outputs)
    }

    /// A set of rows of features without targets, to predict on. Training or evaluating on it is an error.
    ///
    /// ```
    /// let set = wgrad::Dataset::inputs([[0.5, 1.0], [0.25, 0.0]])?;
    /// assert_eq!((set.rows(), set.width(), set.has_targets()), (2, 2, false));
    /// let pixels: Vec<Vec<u8>> = vec![vec![0, 128, 255]];
    /// assert_eq!(wgrad::Dataset::inputs(&pixels)?.width(), 3);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for no rows, a width of 0, rows of different widths, and for a feature that is infinite or not a number.
    pub fn inputs<X: Feature, F: AsRef<[X]>>(rows: impl IntoIterator<Item = F>) -> Result<Self, Error> {
        let (features, width) = side_by_side(rows.into_iter())?;
        X::alone(features, width)
    }

    /// A set without targets, of features that keep more digits than f32 until they are scaled.
    #[cfg(feature = "cli")]
    pub(crate) fn of_numbers(features: Vec<f64>, width: usize) -> Result<Self, Error> {
        let rows = features.len() / width.max(1);
        Ok(Dataset::of(Features::of_f64(features), width, vec![0; rows])?.without_targets())
    }

    /// Whether rows have targets, class indices or values. A set that was read or made as inputs only has none.
    pub fn has_targets(&self) -> bool {
        !self.labels.is_empty() || self.values.is_some()
    }

    /// The same rows without targets and sample weights.
    pub(super) fn without_targets(self) -> Self {
        Dataset { labels: Vec::new(), values: None::<Values>, sample_weights: None, ..self }
    }

    fn alone(count: usize, features: Features, width: usize) -> Result<Self, Error> {
        if width == 0 {
            return Err(Error::Data("the rows have a width of 0: at least one feature is needed".into()));
        }
        let rows = count / width;
        let origin = Origin { bytes: matches!(features, Features::U8(_)), ..Origin::default() };
        let (labels, notes, table) = (Vec::new(), Vec::new(), Vec::new());
        let (values, sample_weights, places, fixed_classes) = (None, None, 1, 0);
        Ok(Dataset {
            features,
            width,
            rows,
            places,
            labels,
            values,
            sample_weights,
            origin,
            fixed_classes,
            notes,
            table,
        })
    }
}

/// The features of all rows, row after row, and the number of features in each.
fn side_by_side<X: Copy, F: AsRef<[X]>>(rows: impl Iterator<Item = F>) -> Result<(Vec<X>, usize), Error> {
    let (mut features, mut width) = (Vec::new(), None);
    for (at, row) in rows.enumerate() {
        let row = row.as_ref();
        let width = *width.get_or_insert(row.len());
        if row.len() != width {
            return Err(Error::Data(format!(
                "row {at} has {}, and those before it {width}: all must have the same number",
                counted(row.len(), "feature")
            )));
        }
        features.extend_from_slice(row);
    }
    let width = width.ok_or_else(|| Error::Data("the set is empty: at least one row is needed".into()))?;
    Ok((features, width))
}
