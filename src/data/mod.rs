//! Data sets, and the files they come from.

mod idx;
#[cfg(all(feature = "cli", mnist_embedded))]
mod mnist;
mod tensors;

use std::path::Path;

use crate::plan::Element;
use crate::{Error, Network};

/// Rows of features with a class index each, checked when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Features,
    width: usize,
    labels: Vec<u32>,
    classes: usize,
}

/// Features in the element type that they keep on the device.
#[derive(Clone, Debug, PartialEq)]
enum Features {
    U8(Vec<u8>),
    F32(Vec<f32>),
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

    /// Rows of f32 features, taken as they are. The rest as [`from_u8`](Self::from_u8).
    ///
    /// # Errors
    ///
    /// As [`from_u8`](Self::from_u8), and for a feature that is infinite or not a number.
    pub fn from_f32(features: Vec<f32>, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        if let Some(at) = features.iter().position(|value| !value.is_finite()) {
            return Err(Error::Data(format!(
                "feature {} of row {} is {}: every feature must be finite",
                at % width.max(1),
                at / width.max(1),
                features[at]
            )));
        }
        Dataset::new(Features::F32(features), width, labels)
    }

    fn new(features: Features, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        let data = |reason: String| Err(Error::Data(reason));
        let count = match &features {
            Features::U8(values) => values.len(),
            Features::F32(values) => values.len(),
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
        let classes = labels.iter().max().map_or(0, |&largest| largest as usize + 1);
        Ok(Dataset { features, width, labels, classes })
    }

    /// The training and test sets of a directory of MNIST-style IDX files, gzipped or not: MNIST itself, Fashion-MNIST,
    /// KMNIST, EMNIST. The second is `None` where the directory has no test files.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`] naming the file and what is wrong with it.
    pub fn from_idx_dir(directory: impl AsRef<Path>) -> Result<(Self, Option<Self>), Error> {
        idx::read_directory(directory.as_ref())
    }

    /// A safetensors file with `x` `[N, D]` f32 and `y` `[N]` i64 class indices.
    ///
    /// # Errors
    ///
    /// As [`from_idx_dir`](Self::from_idx_dir).
    pub fn from_safetensors(path: impl AsRef<Path>) -> Result<Self, Error> {
        tensors::read(path.as_ref())
    }

    /// The `x` of such a file alone, to predict on: every label is 0.
    ///
    /// # Errors
    ///
    /// As [`from_idx_dir`](Self::from_idx_dir).
    pub fn inputs_from_safetensors(path: impl AsRef<Path>) -> Result<Self, Error> {
        tensors::read_inputs(path.as_ref())
    }

    /// MNIST as it is inside the program: 60,000 rows to train on and 10,000 to test.
    ///
    /// # Errors
    ///
    /// None, unless the program was damaged.
    #[cfg(all(feature = "cli", mnist_embedded))]
    pub fn mnist() -> Result<(Self, Self), Error> {
        mnist::read()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Features of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One more than the largest label.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class index of every row.
    pub fn labels(&self) -> &[u32] {
        &self.labels
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
        let features = match &self.features {
            Features::U8(values) => Features::U8(gather(values, self.width, &rows)),
            Features::F32(values) => Features::F32(gather(values, self.width, &rows)),
        };
        let labels = rows.iter().map(|&row| self.labels[row]).collect();
        Ok(Dataset { classes: self.classes, ..Dataset::new(features, self.width, labels)? })
    }

    /// Two parts: the rows to train on, and a fraction of them, chosen by the seed, to validate on.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where a part would have no rows.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self), Error> {
        let held_out = (self.rows() as f64 * fraction).round();
        if !(held_out >= 1.0 && held_out < self.rows() as f64) {
            return Err(Error::Option(format!(
                "a fraction of {fraction} of {} rows: it must leave at least one row on both sides",
                self.rows()
            )));
        }
        let mut rows: Vec<usize> = (0..self.rows()).collect();
        rows.sort_by_key(|&row| crate::weights::hash(seed, row as u64));
        let (validation, train) = rows.split_at_mut(held_out as usize);
        train.sort_unstable();
        validation.sort_unstable();
        Ok((self.select(train.iter().copied())?, self.select(validation.iter().copied())?))
    }

    /// That the network takes rows of this width.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming both numbers.
    pub fn check_width(&self, network: &Network) -> Result<(), Error> {
        if self.width != network.inputs() {
            return Err(Error::Data(format!(
                "the rows have {} features, the network takes {}",
                self.width,
                network.inputs()
            )));
        }
        Ok(())
    }

    /// That the network takes these rows and has an output for every label.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the numbers that differ, and the first row whose label is out of range.
    pub fn check_for(&self, network: &Network) -> Result<(), Error> {
        self.check_width(network)?;
        match self.labels.iter().position(|&label| label as usize >= network.outputs()) {
            Some(row) => Err(Error::Data(format!(
                "the label of row {row} is {}: with {} outputs, labels go from 0 to {}",
                self.labels[row],
                network.outputs(),
                network.outputs() - 1
            ))),
            None => Ok(()),
        }
    }

    /// The element type on the device.
    pub(crate) fn element(&self) -> Element {
        match self.features {
            Features::U8(_) => Element::U8,
            Features::F32(_) => Element::F32,
        }
    }

    /// The features as the device keeps them, in bytes: after every row's last feature a 1, which the bias is
    /// multiplied by (255 in u8), then zeros up to `4 · quads` elements.
    pub(crate) fn with_device_rows<R>(&self, quads: usize, take: impl FnOnce(&[u8]) -> R) -> R {
        match &self.features {
            Features::U8(values) => take(&padded(values, self.width, 4 * quads, 255)),
            Features::F32(values) => take(bytemuck::cast_slice(&padded(values, self.width, 4 * quads, 1.0))),
        }
    }
}

fn gather<T: Copy>(values: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect()
}

fn padded<T: Copy + Default>(values: &[T], width: usize, stride: usize, one: T) -> Vec<T> {
    let mut rows = vec![T::default(); values.len() / width * stride];
    for (row, values) in rows.chunks_exact_mut(stride).zip(values.chunks_exact(width)) {
        row[..width].copy_from_slice(values);
        row[width] = one;
    }
    rows
}
