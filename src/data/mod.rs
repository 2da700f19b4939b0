//! Data sets, and the files they come from.

mod device;
mod fingerprint;
mod idx;
#[cfg(all(feature = "cli", mnist_embedded))]
mod mnist;
mod source;
mod tensors;

use std::path::Path;

pub(crate) use fingerprint::Fingerprint;
use half::f16;
pub use source::{Generated, Source};

use crate::kernel::TargetKind;
use crate::{Error, Loss, Network, Scaling};

/// Rows of features with a class index each, checked when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Features,
    width: usize,
    rows: usize,
    /// Empty where there are values.
    labels: Vec<u32>,
    values: Option<Values>,
    sample_weights: Option<Vec<f32>>,
    /// What the device does to features as a minibatch is gathered.
    scaling: Option<Scaling>,
}

/// A value for each output of every row.
#[derive(Clone, Debug, PartialEq)]
struct Values {
    outputs: usize,
    values: Vec<f32>,
}

/// Features in the element type that they keep on the device.
#[derive(Clone, Debug, PartialEq)]
enum Features {
    U8(Vec<u8>),
    F16(Vec<f16>),
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
        check_finite(&features, width)?;
        Dataset::new(Features::F32(features), width, labels)
    }

    /// Rows of f16 features, which take half the memory of f32 on the device and are widened as they are read. The rest as
    /// [`from_f32`](Self::from_f32).
    ///
    /// # Errors
    ///
    /// As [`from_f32`](Self::from_f32).
    pub fn from_f16(features: Vec<f16>, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        check_finite(&features, width)?;
        Dataset::new(Features::F16(features), width, labels)
    }

    fn new(features: Features, width: usize, labels: Vec<u32>) -> Result<Self, Error> {
        let data = |reason: String| Err(Error::Data(reason));
        let count = match &features {
            Features::U8(values) => values.len(),
            Features::F16(values) => values.len(),
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
        Ok(Dataset { features, width, rows: labels.len(), labels, values: None, sample_weights: None, scaling: None })
    }

    /// The same rows with values for targets, `[rows, outputs]`, row-major: distributions over classes, labels of 0 and 1 for
    /// each output, or numbers to predict.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for counts that disagree, and for a value that is infinite or not a number.
    pub fn with_targets(self, values: Vec<f32>, outputs: usize) -> Result<Self, Error> {
        if outputs == 0 || Some(values.len()) != self.rows.checked_mul(outputs) {
            return Err(Error::Data(format!(
                "{} targets are not {} rows of {outputs}: there must be rows × outputs of them",
                values.len(),
                self.rows
            )));
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Data(format!(
                "target {} of row {} is {}: every target must be finite",
                at % outputs,
                at / outputs,
                values[at]
            )));
        }
        Ok(Dataset { labels: Vec::new(), values: Some(Values { outputs, values }), ..self })
    }

    /// The same rows with a weight each, in the losses' means: a row's loss counts so often. Accuracies count rows, whatever
    /// their weights.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for another number of weights than rows, and for one that is negative or not finite.
    pub fn with_sample_weights(self, weights: Vec<f32>) -> Result<Self, Error> {
        if weights.len() != self.rows {
            return Err(Error::Data(format!(
                "{} sample weights for {} rows: there must be one a row",
                weights.len(),
                self.rows
            )));
        }
        if let Some(row) = weights.iter().position(|weight| !(0.0..=1e30).contains(weight)) {
            return Err(Error::Data(format!(
                "the sample weight of row {row} is {}: it must be finite and at least 0",
                weights[row]
            )));
        }
        Ok(Dataset { sample_weights: Some(weights), ..self })
    }

    /// The same rows as the network will see them: `(x − shift) · scale`, feature by feature. f32 features are scaled here and now; u8 and f16
    /// stay as they are, and the device scales each minibatch as it gathers its rows.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for another number of features, a value that is not finite, or a set that is scaled already.
    pub fn with_scaling(mut self, scaling: Scaling) -> Result<Self, Error> {
        scaling.check(self.width)?;
        if self.scaling.is_some() {
            return Err(Error::Data("the set has a scaling already: scale the one it was made from".into()));
        }
        match &mut self.features {
            Features::F32(values) => {
                for row in values.chunks_exact_mut(self.width) {
                    let each = row.iter_mut().zip(&scaling.shift).zip(&scaling.scale);
                    each.for_each(|((x, shift), scale)| *x = (*x - shift) * scale);
                }
                check_finite(values, self.width)?;
            }
            Features::U8(_) | Features::F16(_) => self.scaling = Some(scaling),
        }
        Ok(self)
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

    /// A safetensors file with `x` `[N, D]` f32, and `y` `[N]` i64 class indices or `t` `[N, C]` f32 values; where there is a
    /// `w` `[N]` f32, it holds the sample weights.
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
        self.rows
    }

    /// Features of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Outputs that a network needs for these targets: one more than the largest label, or the values of a row.
    pub fn classes(&self) -> usize {
        let largest = self.labels.iter().filter(|&&label| label <= i32::MAX as u32).max();
        self.values.as_ref().map_or(largest.map_or(0, |&largest| largest as usize + 1), |values| values.outputs)
    }

    /// The class index of every row; empty where the targets are values. A negative one, which only a loss' `ignore_index`
    /// can stand for, is its two's complement.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The values that are targets, `[rows, outputs]`, where there are any.
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
        let features = match &self.features {
            Features::U8(values) => Features::U8(gather(values, self.width, &rows)),
            Features::F16(values) => Features::F16(gather(values, self.width, &rows)),
            Features::F32(values) => Features::F32(gather(values, self.width, &rows)),
        };
        let labels = if self.labels.is_empty() { Vec::new() } else { gather(&self.labels, 1, &rows) };
        let values = self.values.as_ref().map(|all| Values { values: gather(&all.values, all.outputs, &rows), ..*all });
        let sample_weights = self.sample_weights.as_ref().map(|weights| gather(weights, 1, &rows));
        Ok(Dataset {
            features,
            width: self.width,
            rows: rows.len(),
            labels,
            values,
            sample_weights,
            scaling: self.scaling.clone(),
        })
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
    /// [`Error::Data`] naming the numbers that differ, and the first row whose target the loss cannot take.
    pub fn check_for(&self, network: &Network, loss: &Loss) -> Result<(), Error> {
        self.check_width(network)?;
        match &self.values {
            Some(all) => check_values(all, network, loss),
            None => self.check_labels(network, loss),
        }
    }

    fn check_labels(&self, network: &Network, loss: &Loss) -> Result<(), Error> {
        let ignored = match loss {
            Loss::SoftmaxCrossEntropy { ignore_index, .. } => ignore_index.map(|index| index as u32),
            Loss::KlDivergence => {
                return Err(Error::Data(
                    "kl-divergence needs a distribution for every row (t), and the set has class indices (y)".into(),
                ));
            }
            _ => None,
        };
        // One output takes a label of 0 or 1.
        let labels = if loss.targets(self.targets()).kind == TargetKind::Values {
            network.outputs().max(2)
        } else {
            network.outputs()
        };
        match self.labels.iter().position(|&label| label as usize >= labels && Some(label) != ignored) {
            Some(row) => Err(Error::Data(format!(
                "the label of row {row} is {}: with {} outputs, labels go from 0 to {}",
                self.labels[row] as i32,
                network.outputs(),
                labels - 1
            ))),
            None => Ok(()),
        }
    }
}

fn check_values(all: &Values, network: &Network, loss: &Loss) -> Result<(), Error> {
    if all.outputs != network.outputs() {
        return Err(Error::Data(format!(
            "a row has {} targets, the network {} outputs: they must agree",
            all.outputs,
            network.outputs()
        )));
    }
    let range = match loss {
        Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence => 0.0..=f32::MAX,
        Loss::SigmoidCrossEntropy { .. } => 0.0..=1.0,
        _ => f32::MIN..=f32::MAX,
    };
    match all.values.iter().position(|value| !range.contains(value)) {
        Some(at) => Err(Error::Data(format!(
            "target {} of row {} is {}: {} takes targets {}",
            at % all.outputs,
            at / all.outputs,
            all.values[at],
            loss.name(),
            if *range.end() == 1.0 { "from 0 to 1" } else { "of at least 0" },
        ))),
        None => Ok(()),
    }
}

fn gather<T: Copy>(values: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect()
}

fn check_finite<T: Copy + Into<f32>>(features: &[T], width: usize) -> Result<(), Error> {
    match features.iter().position(|&value| !value.into().is_finite()) {
        Some(at) => Err(Error::Data(format!(
            "feature {} of row {} is {}: every feature must be finite",
            at % width.max(1),
            at / width.max(1),
            features[at].into()
        ))),
        None => Ok(()),
    }
}
