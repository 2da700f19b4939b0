//! A data set in memory: features, targets, and where both come from.

use std::ops::Range;
use std::path::Path;

use half::f16;

use super::table::TableColumn;
use super::token_rows::{Tokens, gathered};
use crate::error::Error;
use crate::preprocessing::{Columns, ImageShape, Origin, Scaling};

/// The most bytes that a set's features may take: 32-bit indices on the device reach no further.
pub(super) const MOST_BYTES: u64 = 1 << 32;

/// Rows of features with a class index each, checked when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    pub(super) features: Features,
    pub(super) width: usize,
    pub(super) rows: usize,
    /// Labels of a row: 1, or of rows of tokens one for each.
    pub(super) places: usize,
    /// The class index of each row, or of each of its places; empty where the targets are values, or there are none.
    pub(super) labels: Vec<u32>,
    pub(super) values: Option<Values>,
    pub(super) sample_weights: Option<Vec<f32>>,
    pub(super) origin: Origin,
    /// The number of classes that the set's format has, which rows need not have all; 0 where the rows tell.
    pub(super) fixed_classes: usize,
    pub(super) notes: Vec<String>,
    /// How each column of its table was used, if the columns were learned from one.
    pub(super) table: Vec<TableColumn>,
}

/// A value for each output of every row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    pub outputs: usize,
    pub values: Vec<f32>,
}

/// Features in the element type that they keep on the device.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Features {
    U8(Vec<u8>),
    F16(Vec<f16>),
    F32(Vec<f32>),
    /// Values of which f32 cannot represent all: they become f32 when they are scaled or uploaded.
    F64(Vec<f64>),
    /// Tokens, which are no features: an embedding looks them up.
    Tokens(Tokens),
}

impl Features {
    /// The values as f32 if it represents all of them exactly, or else as f64.
    pub fn of_f64(values: Vec<f64>) -> Self {
        match values.iter().all(|&value| f64::from(value as f32) == value) {
            true => Features::F32(values.into_iter().map(|value| value as f32).collect()),
            false => Features::F64(values),
        }
    }
}

impl Dataset {
    /// Rows of u8 features, which the network sees as `[0, 1]`. `features` is `[rows, width]`, row-major; a label is a
    /// class index, and there are as many classes as the largest label says.
    ///
    /// ```
    /// let set = wgrad::Dataset::from_u8(vec![0, 255, 255, 0], 2, vec![0, 1])?;
    /// assert_eq!((set.rows(), set.width(), set.classes()), (2, 2, 2));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for an empty set, a width of 0, or counts that disagree.
    pub fn from_u8(features: Vec<u8>, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        Dataset::new(Features::U8(features), width, labels)
    }

    /// Rows of f32 features, taken as they are. Everything else is as in [`from_u8`](Self::from_u8).
    ///
    /// # Errors
    ///
    /// As [`from_u8`](Self::from_u8), and for a feature that is infinite or not a number.
    pub fn from_f32(features: Vec<f32>, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        check_finite(&features, width)?;
        Dataset::new(Features::F32(features), width, labels)
    }

    /// Rows of f16 features, which take half the memory of f32 on the device and are widened as they are read. Everything else is as in
    /// [`from_f32`](Self::from_f32).
    ///
    /// # Errors
    ///
    /// As [`from_f32`](Self::from_f32).
    pub fn from_f16(features: Vec<f16>, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        check_finite(&features, width)?;
        Dataset::new(Features::F16(features), width, labels)
    }

    /// A set with features of any type.
    pub(super) fn of(features: Features, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        match features {
            Features::U8(features) => Dataset::from_u8(features, width, labels),
            Features::F16(features) => Dataset::from_f16(features, width, labels),
            Features::F32(features) => Dataset::from_f32(features, width, labels),
            Features::F64(features) => {
                check_finite(&features, width)?;
                Dataset::new(Features::F64(features), width, labels)
            }
            Features::Tokens(tokens) => Dataset::from_tokens(tokens.values, width, labels),
        }
    }

    pub(super) fn new(features: Features, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        let data = |reason: String| Err(Error::Data(reason));
        let count = match &features {
            Features::U8(values) => values.len(),
            Features::F16(values) => values.len(),
            Features::F32(values) => values.len(),
            Features::F64(values) => values.len(),
            Features::Tokens(tokens) => tokens.values.len(),
        };
        if width == 0 {
            return data("the rows have a width of 0: at least one feature is needed".into());
        }
        if labels.is_empty() && count == 0 {
            return data("the set is empty: at least one row is needed".into());
        }
        if Some(count) != labels.len().checked_mul(width) {
            return data(format!(
                "{count} features are not {} rows of {width}: there must be width × labels of them",
                labels.len()
            ));
        }
        let rows = labels.len();
        let origin = Origin { bytes: matches!(features, Features::U8(_)), ..Origin::default() };
        Ok(Dataset {
            features,
            width,
            rows,
            places: 1,
            labels,
            values: None,
            sample_weights: None,
            origin,
            fixed_classes: 0,
            notes: Vec::new(),
            table: Vec::new(),
        })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of features in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of outputs that a network needs for these targets: the number of class names, or one more than the largest label (of CIFAR's files all
    /// classes that they may have), or the number of target values in a row.
    pub fn classes(&self) -> usize {
        let largest = self.labels.iter().filter(|&&label| label <= i32::MAX as u32).max();
        let labels = largest
            .map_or(0, |&largest| largest as usize + 1)
            .max(self.origin.class_names.len())
            .max(self.fixed_classes);
        self.values.as_ref().map_or(labels, |values| values.outputs)
    }

    /// Whether the set's format says how many classes there are, so that its labels need not show it.
    #[cfg(feature = "cli")]
    pub(crate) fn has_fixed_classes(&self) -> bool {
        self.fixed_classes > 0
    }

    /// The names of the classes, in the order of their indices; empty where they have none.
    pub fn class_names(&self) -> &[String] {
        &self.origin.class_names
    }

    /// How the features were made from a table's columns; `None` for other sets.
    pub fn columns(&self) -> Option<&Columns> {
        self.origin.columns.as_ref()
    }

    /// The scaling that is applied to the features before a network sees them, if there is one.
    pub fn scaling(&self) -> Option<&Scaling> {
        self.origin.scaling.as_ref()
    }

    /// The shape of the images, if the rows are images: a row's features are then `[height, width, channels]`, row-major. Sets from IDX files,
    /// CIFAR's files, images, and arrays with 3 or 4 axes have it, and sets that were given it ([`with_image_shape`](Self::with_image_shape)).
    /// Rows that are selected, split or scaled keep it.
    pub fn image_shape(&self) -> Option<ImageShape> {
        self.origin.image
    }

    /// Notes from reading the file, a sentence each: what was decided where the file is ambiguous, and what looks wrong in it. They are also
    /// emitted as [`tracing`] warnings while the file is read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How each column was used, if the columns were learned from a table; empty for all other sets.
    pub fn table(&self) -> &[TableColumn] {
        &self.table
    }

    /// The same set with more notes about the file that it comes from.
    pub(crate) fn noted_all(self, path: &Path, notes: impl IntoIterator<Item = String>) -> Self {
        notes.into_iter().fold(self, |set, note| set.noted(path, note))
    }

    /// The same set with one more note about the file that it comes from.
    pub(crate) fn noted(mut self, path: &Path, note: String) -> Self {
        tracing::warn!("{}: {note}", path.display());
        self.notes.push(note);
        self
    }

    /// What a model stores about the set it is trained on.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A row's features, as they were before any scaling: f32 values, or bytes as `[0, 1]`.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for a row that the set does not have.
    pub fn row(&self, row: usize) -> Result<Vec<f32>, Error> {
        let mut features = Vec::new();
        self.select([row])?.each_row(|row| features.extend(row.map(|value| value as f32)));
        // Only f32 features have been scaled already.
        if let (Features::F32(_), Some(scaling)) = (&self.features, &self.origin.scaling) {
            features.iter_mut().enumerate().for_each(|(at, x)| *x = scaling.undo(at, *x) as f32);
        }
        Ok(features)
    }

    /// Passes each row's features to `take`: the values, or the bytes as `[0, 1]`.
    pub(crate) fn each_row(&self, mut take: impl FnMut(&mut dyn Iterator<Item = f64>)) {
        match &self.features {
            Features::U8(values) => {
                values
                    .chunks_exact(self.width)
                    .for_each(|row| take(&mut row.iter().map(|&byte| f64::from(f32::from(byte) / 255.0))));
            }
            Features::F16(values) => {
                values.chunks_exact(self.width).for_each(|row| take(&mut row.iter().map(|value| value.to_f64())));
            }
            Features::F32(values) => {
                values.chunks_exact(self.width).for_each(|row| take(&mut row.iter().map(|&value| value.into())));
            }
            Features::F64(values) => values.chunks_exact(self.width).for_each(|row| take(&mut row.iter().copied())),
            Features::Tokens(tokens) => {
                let rows = (0..self.rows).map(|row| row * self.token_stride());
                rows.for_each(|first| {
                    take(&mut tokens.values[first..][..self.width].iter().map(|&token| token.into()))
                });
            }
        }
    }

    /// The class index of every row, or of rows of tokens with a label each, of every token, `[rows, width]`; empty where the targets are values, or there are none.
    /// Of a [text](Self::of_text), whose rows overlap, each place's label is there once. A negative index, which only a loss
    /// with that `ignore_index` accepts, is its two's complement.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The values that are targets, `[rows, outputs]`, if there are any. They are in their own units, also where they are
    /// [scaled](Self::with_target_scaling).
    pub fn values(&self) -> Option<&[f32]> {
        self.values.as_ref().map(|values| values.values.as_slice())
    }

    /// Some of the rows, in the order of their numbers here.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for no rows, or a row that the set does not have.
    pub fn select(&self, rows: impl IntoIterator<Item = usize>) -> Result<Self, Error> {
        let rows: Vec<usize> = rows.into_iter().collect();
        if rows.is_empty() {
            return Err(Error::Data("no rows were selected: at least one is needed".into()));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            return Err(Error::Data(format!("row {row} is not in the set, whose last is {}", self.rows() - 1)));
        }
        let ranges: Vec<Range<usize>> = rows.into_iter().map(|row| row..row + 1).collect();
        Ok(self.of_rows(&ranges))
    }

    /// The rows of these ranges, which lie in the set, one range after the other.
    pub(super) fn of_rows(&self, ranges: &[Range<usize>]) -> Self {
        let features = match &self.features {
            Features::U8(values) => Features::U8(gather(values, self.width, ranges)),
            Features::F16(values) => Features::F16(gather(values, self.width, ranges)),
            Features::F32(values) => Features::F32(gather(values, self.width, ranges)),
            Features::F64(values) => Features::F64(gather(values, self.width, ranges)),
            Features::Tokens(tokens) => Features::Tokens(Tokens {
                values: gathered(&tokens.values, self.token_stride(), self.width, ranges),
                overlaps: tokens.overlaps && ranges.len() == 1,
                vocabulary: tokens.vocabulary,
            }),
        };
        let values = self.values.as_ref();
        Dataset {
            features,
            width: self.width,
            rows: ranges.iter().map(ExactSizeIterator::len).sum(),
            places: self.places,
            labels: match self.labels.is_empty() {
                true => Vec::new(),
                false => gathered(&self.labels, self.label_stride(), self.places, ranges),
            },
            values: values.map(|all| Values { values: gather(&all.values, all.outputs, ranges), ..*all }),
            sample_weights: self.sample_weights.as_ref().map(|weights| gather(weights, 1, ranges)),
            origin: self.origin.clone(),
            fixed_classes: self.fixed_classes,
            notes: self.notes.clone(),
            table: self.table.clone(),
        }
    }
}

fn gather<T: Copy>(values: &[T], width: usize, ranges: &[Range<usize>]) -> Vec<T> {
    ranges.iter().map(|rows| &values[rows.start * width..rows.end * width]).collect::<Vec<_>>().concat()
}

/// Checks that every feature is finite as an f32, which the device uses.
pub(super) fn check_finite<T: Copy + Into<f64>>(features: &[T], width: usize) -> Result<(), Error> {
    match features.iter().position(|&value| !(value.into() as f32).is_finite()) {
        Some(at) => Err(Error::Data(format!(
            "feature {} of row {} is {}: every feature must be finite",
            at % width.max(1),
            at / width.max(1),
            features[at].into()
        ))),
        None => Ok(()),
    }
}
