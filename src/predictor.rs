//! Answers of a trained model: what a program serves.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::data::{Dataset, Feature, ReadOptions};
use crate::error::Error;
use crate::gpu::{AdapterChoice, Gpu, Traffic};
use crate::kernel::tiling::{Picks, Tiling};
use crate::loss::{Loss, Task};
use crate::model::Model;
use crate::network::Activation;
use crate::options::TrainOptions;
use crate::plan::Role;
use crate::preprocessing::{Origin, in_own_units};
use crate::run::buffers::Buffers;
use crate::run::outputs::{Kind, Outputs};

/// A trained model that answers: its weights in device memory, and nothing that training takes. What it was trained with is in its file: the loss,
/// which says what the outputs mean, the scalings, a table's columns, the classes' names.
///
/// Questions are asked by `&self`, by any number of threads at once: each that asks at the same time takes buffers of its own, which are kept for
/// the next. The first answer compiles the kernels; after it no number of rows compiles anything, and a row's answer has the same bits whatever
/// rows are beside it.
///
/// Features are given as they were before any scaling: `f32` or `f64` values, or bytes, which are seen as `[0, 1]`; a model that was trained on bytes takes
/// other types in `[0, 1]`.
///
/// ```no_run
/// let model = wgrad::Predictor::open("model.safetensors")?;
/// let pixels = [0u8; 784];
/// let class = model.classify(&pixels)?;
/// println!("{} ({:.1} %)", class.name, 100.0 * class.probability);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Predictor {
    gpu: Arc<Gpu>,
    model: Model,
    origin: Origin,
    tiling: Tiling,
    weights: Buffers,
    /// Those that nobody asks with now.
    idle: Mutex<Vec<Outputs>>,
}

/// What a model takes a row for.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The class with the largest probability, the first of equals.
    pub index: usize,
    /// Its name; its index where it has none.
    pub name: String,
    /// Its probability.
    pub probability: f32,
    /// Of every class, in the order of their indices.
    pub probabilities: Vec<f32>,
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths: Vec<_> = self.model.network.widths().collect();
        f.debug_struct("Predictor").field("gpu", &self.gpu).field("widths", &widths).finish_non_exhaustive()
    }
}

impl Predictor {
    /// The model in a file, a checkpoint included, on the best adapter of this machine.
    ///
    /// # Errors
    ///
    /// As [`Model::read`]; [`Error::NoAdapter`]; [`Error::Option`] where a layer is larger than the device can bind, [`Error::OutOfMemory`],
    /// [`Error::Device`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        // What is wrong with the file is said before a driver is looked for.
        let model = Model::read(path)?;
        Predictor::from_model(Gpu::open(&AdapterChoice::Auto)?, model)
    }

    /// [`open`](Self::open) on a device that is open, for a model that may have been trained with functions of the user's own: a file has their names
    /// alone, so they have to be brought again.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Kernel`] at the first answer where a function does not compile.
    pub fn open_with(
        gpu: Arc<Gpu>,
        path: impl AsRef<Path>,
        activations: &[Activation],
        losses: &[Loss],
    ) -> Result<Self, Error> {
        Predictor::from_model(gpu, Model::read_with(path, activations, losses)?)
    }

    /// A model that is in memory, on a device that is open.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Data`] for weights that are not the network's.
    pub fn from_model(gpu: Arc<Gpu>, model: Model) -> Result<Self, Error> {
        model.network.check()?;
        model.network.check_weights(&model.weights)?;
        model.check_kept()?;
        let tiling = TrainOptions::default().tiled(gpu.adapter().tiling(), &Picks::default());
        let mut weights = Buffers::new();
        for (layer, values) in model.weights.layers.iter().enumerate() {
            let name = format!("the weights of layer {}", layer + 1);
            weights.insert(Role::Weights(layer), gpu.upload(&name, &values.to_device())?);
        }
        gpu.check()?;
        let origin = model.origin();
        Ok(Predictor { gpu, model, origin, tiling, weights, idle: Mutex::default() })
    }

    /// What a row is taken for, of a model that tells classes apart.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for another number of features than the model has, and one that is not finite; [`Error::Option`] where the model tells no
    /// classes apart; [`Error::NonFiniteResult`], [`Error::Device`]; [`Error::Kernel`] and [`Error::OutOfMemory`] where buffers are made.
    pub fn classify<X: Feature, F: AsRef<[X]> + ?Sized>(&self, features: &F) -> Result<Class, Error> {
        let mut classes = self.classify_rows([features])?;
        classes.pop().ok_or_else(|| Error::Data("there are no rows: at least one is needed".into()))
    }

    /// [`classify`](Self::classify) for several rows at once, which cost little more than one.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify), and for no rows.
    pub fn classify_rows<X: Feature, F: AsRef<[X]>>(
        &self,
        rows: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Class>, Error> {
        self.classify_set(&Dataset::inputs(rows)?)
    }

    /// [`classify`](Self::classify) for the rows of a table in text: commas, or tabs, between cells, which lie as in the table that the model was
    /// trained on or below a line of their columns' names.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify); [`Error::Format`] naming the line and the column that are wrong.
    pub fn classify_csv(&self, text: &str) -> Result<Vec<Class>, Error> {
        self.classify_set(&self.table(text)?)
    }

    /// [`classify`](Self::classify) for the rows of a set; see [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict), and where the model tells no classes apart.
    pub fn classify_set(&self, set: &Dataset) -> Result<Vec<Class>, Error> {
        let outputs = self.model.network.outputs();
        let classes = match self.model.loss.task() {
            Task::Classes => outputs,
            Task::EachOutput if outputs == 1 => 2,
            Task::EachOutput => {
                return Err(Error::Option(format!(
                    "the model says yes or no to each of {outputs} outputs, several of which may hold: predict_rows gives their probabilities"
                )));
            }
            Task::Numbers => {
                return Err(Error::Option(format!(
                    "the model was trained with {}, whose outputs are numbers and no classes: predict_rows gives them",
                    self.model.loss.name()
                )));
            }
        };
        let probabilities = self.predict(set)?;
        Ok(probabilities
            .chunks_exact(outputs)
            .map(|row| {
                // One output is the second class' probability.
                let probabilities = if outputs < classes { vec![1.0 - row[0], row[0]] } else { row.to_vec() };
                let larger = |best, at| if probabilities[at] > probabilities[best] { at } else { best };
                let index = (0..classes).fold(0, larger);
                let name = self.model.classes.get(index).cloned().unwrap_or_else(|| index.to_string());
                Class { index, name, probability: probabilities[index], probabilities }
            })
            .collect())
    }

    /// What the model says of rows: `[rows, outputs]`, row-major. Numbers in the units of the targets that it was trained on, the classes'
    /// probabilities, or each output's, as the loss has it.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify), but for any model; and for no rows.
    pub fn predict_rows<X: Feature, F: AsRef<[X]>>(
        &self,
        rows: impl IntoIterator<Item = F>,
    ) -> Result<Vec<f32>, Error> {
        self.predict(&Dataset::inputs(rows)?)
    }

    /// [`predict_rows`](Self::predict_rows) for the rows of a table in text, as [`classify_csv`](Self::classify_csv) takes them.
    ///
    /// # Errors
    ///
    /// As [`classify_csv`](Self::classify_csv), but for any model.
    pub fn predict_csv(&self, text: &str) -> Result<Vec<f32>, Error> {
        self.predict(&self.table(text)?)
    }

    /// [`predict_rows`](Self::predict_rows) for the rows of a set; its targets, if it has any, are not looked at.
    ///
    /// # Errors
    ///
    /// As [`predict_rows`](Self::predict_rows); [`Error::Data`] for a set that is scaled otherwise than the model's training set.
    pub fn predict(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let logits = self.logits(set)?;
        let rows = logits.chunks_exact(self.model.network.outputs());
        let mut results: Vec<f32> = rows.flat_map(|logits| self.model.loss.predict(logits)).collect();
        in_own_units(self.model.target_scaling.as_ref(), &mut results);
        Ok(results)
    }

    /// The network's outputs as they are, whatever the loss and the targets' scaling: `[rows, outputs]`, row-major.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn logits(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
        self.check_width(set)?;
        let set = &*set.seen_as(&self.origin, false)?;
        let kind = Kind::of(set);
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let own = idle.iter().position(|outputs| outputs.kind() == kind);
            own.map(|at| idle.swap_remove(at))
        };
        let (gpu, network) = (&self.gpu, &self.model.network);
        let mut outputs = match kept {
            Some(outputs) => outputs,
            None => {
                let made = Outputs::new(gpu, network, &self.tiling, &self.weights, set, Default::default())?;
                gpu.keep_pipelines();
                made
            }
        };
        let logits = outputs.of(gpu, set, &mut Traffic::default(), &mut 0);
        // After a device's failure their copy to read may still be on its way.
        if matches!(logits, Ok(_) | Err(Error::NonFiniteResult(_))) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(outputs);
        }
        logits
    }

    /// The rows of a file or a folder as the model takes them, its columns and its images' form known: for [`predict`](Self::predict) and
    /// [`classify_set`](Self::classify_set).
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset, Error> {
        Dataset::read(path, &self.reading()).map(|(set, _)| set)
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The device it is on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Device memory that it takes now, in bytes: the weights, and what as many threads as asked at once have asked with.
    pub fn device_bytes(&self) -> u64 {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let weights: u64 = self.weights.values().map(|buffer| buffer.size()).sum();
        weights + idle.iter().map(Outputs::bytes).sum::<u64>()
    }

    fn reading(&self) -> ReadOptions {
        ReadOptions { inputs_only: true, ..ReadOptions::of_model(&self.model) }
    }

    fn table(&self, text: &str) -> Result<Dataset, Error> {
        Dataset::from_csv(text, &self.reading())
    }

    fn check_width(&self, set: &Dataset) -> Result<(), Error> {
        set.check_width(&self.model.network).map_err(|error| match (error, &self.model.columns) {
            (Error::Data(reason), Some(_)) => Error::Data(format!(
                "{reason}: it was trained on a table, and predict_csv and classify_csv make its features of a row"
            )),
            (error, _) => error,
        })
    }
}
