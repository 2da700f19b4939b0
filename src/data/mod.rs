//! Data sets, and the readers of the files that they come from.

mod arrays;
mod builders;
mod check;
mod device;
mod fingerprint;
mod format;
mod gzip;
mod idx;
mod images;
mod labels;
#[cfg(all(feature = "cli", mnist_embedded))]
mod mnist;
mod npy;
mod options;
mod own_rows;
#[cfg(feature = "parquet")]
mod parquet;
mod scaling;
mod sets;
mod source;
mod split;
mod stored;
mod table;
mod targets;
mod tensors;

use std::path::Path;

use check::check_finite;
pub(crate) use fingerprint::Fingerprint;
#[cfg(feature = "cli")]
pub(crate) use format::is_text_table;
#[doc(hidden)]
pub use format::{FORMATS, Format};
use half::f16;
pub use options::ReadOptions;
pub use own_rows::{Feature, Numbers};
pub use sets::Sets;
pub use source::{Generated, Source};
pub use stored::Stored;
pub use table::{ColumnRole, TableColumn};
#[cfg(feature = "cli")]
pub(crate) use table::{Line, Lines};

use crate::error::Error;
use crate::preprocessing::{Columns, ImageShape, Origin, Scaling};

/// The most bytes that a set's features may take: as many as 32-bit indices on the device can address.
const MOST_BYTES: u64 = 1 << 32;

/// A data set: rows of features with their targets, class indices or values, if it has any. It is checked when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Features,
    width: usize,
    rows: usize,
    /// The class index of each row; empty where the targets are values, and where there are no targets.
    labels: Vec<u32>,
    values: Option<Values>,
    sample_weights: Option<Vec<f32>>,
    origin: Origin,
    notes: Vec<String>,
    /// The role of each column of the table that the set was read from.
    table: Vec<TableColumn>,
}

/// Targets that are values: one for each output of every row.
#[derive(Clone, Debug, PartialEq)]
struct Values {
    outputs: usize,
    values: Vec<f32>,
}

/// Features, in the element type that they have on the device.
#[derive(Clone, Debug, PartialEq)]
enum Features {
    U8(Vec<u8>),
    F16(Vec<f16>),
    F32(Vec<f32>),
    /// Values as they were read, some of which f32 cannot represent exactly. They become f32 when they are scaled or uploaded.
    F64(Vec<f64>),
}

impl Features {
    /// Features of values: f32 if that represents every value exactly, else f64.
    fn of_f64(values: Vec<f64>) -> Self {
        match values.iter().all(|&value| f64::from(value as f32) == value) {
            true => Features::F32(values.into_iter().map(|value| value as f32).collect()),
            false => Features::F64(values),
        }
    }
}

impl Dataset {
    /// A set of rows of u8 features, which the network sees as `[0, 1]`. `features` is `[rows, width]`, row-major; a label is a
    /// class index, and the number of classes is the largest label plus 1.
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

    /// A set of rows of f32 features, which the network sees as they are. Shapes and labels are as in [`from_u8`](Self::from_u8).
    ///
    /// # Errors
    ///
    /// As [`from_u8`](Self::from_u8), and for a feature that is infinite or not a number.
    pub fn from_f32(features: Vec<f32>, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        check_finite(&features, width)?;
        Dataset::new(Features::F32(features), width, labels)
    }

    /// A set of rows of f16 features, which take half the memory of f32 on the device and become f32 in the kernels. Shapes and labels are as in
    /// [`from_f32`](Self::from_f32).
    ///
    /// # Errors
    ///
    /// As [`from_f32`](Self::from_f32).
    pub fn from_f16(features: Vec<f16>, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        check_finite(&features, width)?;
        Dataset::new(Features::F16(features), width, labels)
    }

    /// A set of rows of features of any element type.
    fn of(features: Features, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        match features {
            Features::U8(features) => Dataset::from_u8(features, width, labels),
            Features::F16(features) => Dataset::from_f16(features, width, labels),
            Features::F32(features) => Dataset::from_f32(features, width, labels),
            Features::F64(features) => {
                check_finite(&features, width)?;
                Dataset::new(Features::F64(features), width, labels)
            }
        }
    }

    fn new(features: Features, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        let data = |reason: String| Err(Error::Data(reason));
        let count = match &features {
            Features::U8(values) => values.len(),
            Features::F16(values) => values.len(),
            Features::F32(values) => values.len(),
            Features::F64(values) => values.len(),
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
        let (rows, origin) = (labels.len(), Origin::default());
        Ok(Dataset {
            features,
            width,
            rows,
            labels,
            values: None,
            sample_weights: None,
            origin,
            notes: Vec::new(),
            table: Vec::new(),
        })
    }

    /// Reads a set from a file or a folder, and a validation set if there is one. It reads folders of MNIST-style IDX files, folders with one
    /// folder of images for each class, folders with `x.npy` and `y.npy`, and files: CSV and TSV, gzipped or not, `.npy`, `.npz`, safetensors,
    /// Parquet, images. The reader is chosen by the file's first bytes, or by its extension. The second set is the validation rows or, if there
    /// are none, the test rows; [`Sets::read`] returns all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`] naming the file and what is wrong with it; also for a format that this build cannot read.
    pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<(Self, Option<Self>), Error> {
        Sets::read(&path, options).map(|sets| sets.to_train_on(path))
    }

    /// As [`read`](Self::read), for the bytes of a file in memory. The reader is chosen by the first bytes; text is read as CSV.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_bytes(bytes: &[u8], options: &ReadOptions) -> Result<Self, Error> {
        let path = Path::new("-");
        format::read_bytes(path, bytes, options).map(|sets| sets.train)
    }

    /// As [`read`](Self::read), for the text of a CSV or TSV table, even if its first bytes look like another format's.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_csv(text: &str, options: &ReadOptions) -> Result<Self, Error> {
        table::text::read(Path::new("the text"), text.as_bytes(), options).map(|set| options.inputs_of(set))
    }

    /// Reads the training and test sets of a directory of MNIST-style IDX files, gzipped or not: MNIST itself, Fashion-MNIST,
    /// KMNIST, EMNIST. The second is `None` where the directory has no test files.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`] naming the file and what is wrong with it.
    pub fn from_idx_dir(directory: impl AsRef<Path>) -> Result<(Self, Option<Self>), Error> {
        idx::read_directory(directory.as_ref()).map(|sets| sets.to_train_on(directory))
    }

    /// Reads a set from the bytes of an IDX file of images and one of labels.
    #[doc(hidden)]
    pub fn from_idx_bytes(images: &[u8], labels: &[u8]) -> Result<Self, Error> {
        idx::pair_from(Path::new("images"), images, Path::new("labels"), labels)
    }

    /// Reads a safetensors file with `x` `[N, D]` (or images `[N, H, W]`, `[N, H, W, C]`), and `y` `[N]` class indices or `t` `[N, C]` values; where
    /// there is a `w` `[N]`, it holds the sample weights. Features of u8 and f16 keep their type; all others become f32.
    ///
    /// # Errors
    ///
    /// As [`from_idx_dir`](Self::from_idx_dir).
    pub fn from_safetensors(path: impl AsRef<Path>) -> Result<Self, Error> {
        Dataset::in_tensors(path.as_ref(), &ReadOptions::default())
    }

    /// Reads only the `x` of a file as [`from_safetensors`](Self::from_safetensors) takes it, to predict on: the set has no targets.
    ///
    /// # Errors
    ///
    /// As [`from_idx_dir`](Self::from_idx_dir).
    pub fn inputs_from_safetensors(path: impl AsRef<Path>) -> Result<Self, Error> {
        Dataset::in_tensors(path.as_ref(), &ReadOptions::inputs())
    }

    fn in_tensors(path: &Path, options: &ReadOptions) -> Result<Self, Error> {
        tensors::read(path, &crate::files::read_whole(path)?, options).map(|sets| options.inputs_of(sets.train))
    }

    /// The MNIST set that is embedded in the program: 60,000 rows to train on and 10,000 to test on.
    ///
    /// # Errors
    ///
    /// [`Error::Format`], only if the program's own file is damaged.
    #[cfg(all(feature = "cli", mnist_embedded))]
    pub fn mnist() -> Result<(Self, Self), Error> {
        mnist::read()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of features in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of outputs that a network needs for these targets: the values in a row's targets, or else the number of class names, or the
    /// largest label plus 1 where that is more.
    pub fn classes(&self) -> usize {
        let largest = self.labels.iter().filter(|&&label| label <= i32::MAX as u32).max();
        let labels = largest.map_or(0, |&largest| largest as usize + 1).max(self.origin.class_names.len());
        self.values.as_ref().map_or(labels, |values| values.outputs)
    }

    /// The names of the classes, in the order of their indices; empty where they have none.
    pub fn class_names(&self) -> &[String] {
        &self.origin.class_names
    }

    /// How the features were made from a table's columns, if they were.
    pub fn columns(&self) -> Option<&Columns> {
        self.origin.columns.as_ref()
    }

    /// The scaling of the features, if any, with which a network sees them.
    pub fn scaling(&self) -> Option<&Scaling> {
        self.origin.scaling.as_ref()
    }

    /// The shape of the images, if the rows are images.
    pub fn image_shape(&self) -> Option<ImageShape> {
        self.origin.image
    }

    /// Decisions that the reader made where the file leaves them open, and things that look wrong in it, a sentence each. They are also
    /// [`tracing`] warnings during reading.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The role of each column of the table that the set was read from; empty for all other sets.
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

    /// The facts about this set that a model keeps: class names, columns, scalings, image shape.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The features of one row, before any scaling: f32 values, with bytes mapped to `[0, 1]`.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for an index that is not in the set.
    pub fn row(&self, row: usize) -> Result<Vec<f32>, Error> {
        let mut features = Vec::new();
        self.select([row])?.each_row(|row| features.extend(row.map(|value| value as f32)));
        // Only f32 features have their scaling applied in memory.
        if let (Features::F32(_), Some(scaling)) = (&self.features, &self.origin.scaling) {
            features.iter_mut().enumerate().for_each(|(at, x)| *x = scaling.undo(at, *x) as f32);
        }
        Ok(features)
    }

    /// Passes each row's features to `take`: values as they are, with bytes mapped to `[0, 1]`.
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
        }
    }

    /// The class index of every row; empty where the targets are values, and where there are no targets. A negative label, which only an
    /// `ignore_index` can match, is in two's complement.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The targets `[rows, outputs]`, row-major, if they are values. They are in their own units, even if they are
    /// [scaled](Self::with_target_scaling).
    pub fn values(&self) -> Option<&[f32]> {
        self.values.as_ref().map(|values| values.values.as_slice())
    }

    /// A set of some of the rows, given by their indices, in the given order.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for no rows, and for an index that is not in the set.
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
            Features::F16(values) => Features::F16(gather(values, self.width, &rows)),
            Features::F32(values) => Features::F32(gather(values, self.width, &rows)),
            Features::F64(values) => Features::F64(gather(values, self.width, &rows)),
        };
        let labels = if self.labels.is_empty() { Vec::new() } else { gather(&self.labels, 1, &rows) };
        let values = self.values.as_ref().map(|all| Values { values: gather(&all.values, all.outputs, &rows), ..*all });
        let sample_weights = self.sample_weights.as_ref().map(|weights| gather(weights, 1, &rows));
        let (origin, notes, table) = (self.origin.clone(), self.notes.clone(), self.table.clone());
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

fn gather<T: Copy>(values: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect()
}
