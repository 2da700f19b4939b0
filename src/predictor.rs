//! Predictions of a trained model, for programs that serve them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::activation::Activation;
use crate::data::{Dataset, Feature, ReadOptions};
use crate::error::Error;
use crate::gpu::{AdapterChoice, Gpu, Traffic};
use crate::host::block_on;
use crate::kernel::tiling::{Picks, Tiling};
use crate::loss::{Loss, Task};
use crate::model::Model;
use crate::options::TrainOptions;
use crate::plan::Role;
use crate::preprocessing::{Origin, Vocabulary, in_own_units};
use crate::run::activations::{LayerOutput, activations};
use crate::run::buffers::Buffers;
use crate::run::continuation::Continuation;
use crate::run::outputs::{Kind, Outputs};

/// A trained model that predicts. It holds the weights in device memory, and no buffers for training. Everything else comes from its file: the loss,
/// which says what the outputs mean, the scalings, a table's columns, the classes' names.
///
/// Its methods take `&self`, so any number of threads may call them at once: each concurrent call takes buffers of its own, which are kept for
/// later calls. The first prediction compiles the kernels; later ones compile nothing, for any number of rows. The result of a row has the same
/// bits whichever rows are predicted with it.
///
/// Features are given as they were before any scaling: `f32` or `f64` values, or bytes, which are mapped to `[0, 1]`; a model that was trained on
/// bytes takes other types in `[0, 1]`.
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
    /// Buffers that no call uses at the moment.
    idle: Mutex<Vec<Outputs>>,
    /// Sequences that no call goes on with at the moment.
    sequences: Mutex<Vec<Continuation>>,
}

/// The class that a model predicts for a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The class with the largest probability, the first of equals.
    pub index: usize,
    /// The class' name, or its index as text where it has no name.
    pub name: String,
    /// The probability of this class.
    pub probability: f32,
    /// The probabilities of all classes, in the order of their indices.
    pub probabilities: Vec<f32>,
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let network = self.model.network.shape();
        f.debug_struct("Predictor").field("gpu", &self.gpu).field("network", &network).finish_non_exhaustive()
    }
}

impl Predictor {
    /// Loads a model from a file, which may be a checkpoint, on the best adapter of this machine.
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

    /// As [`open`](Self::open) on a device that is already open, for a model that may use functions of the user's own: a file has only their names,
    /// so the functions must be passed here.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). A function that does not compile is an [`Error::Kernel`] of the first prediction.
    pub fn open_with(
        gpu: Arc<Gpu>,
        path: impl AsRef<Path>,
        activations: &[Activation],
        losses: &[Loss],
    ) -> Result<Self, Error> {
        Predictor::from_model(gpu, Model::read_with(path, activations, losses)?)
    }

    /// Takes a model that is in memory, on a device that is already open.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Data`] for weights that are not the network's.
    pub fn from_model(gpu: Arc<Gpu>, model: Model) -> Result<Self, Error> {
        model.network.check()?;
        model.network.check_outputs(&model.loss)?;
        model.network.check_weights(&model.weights)?;
        model.check_kept()?;
        let tiling =
            TrainOptions::default().tiled(gpu.adapter().tiling(), gpu.adapter().mesa_version(), &Picks::default());
        let mut weights = Buffers::new();
        for (layer, (parameter, values)) in
            model.network.named_parameters().iter().zip(&model.weights.layers).enumerate()
        {
            let name = format!("the weights of {}", parameter.location);
            weights.insert(Role::Weights(layer), block_on(gpu.upload(&name, &values.to_device(parameter)))?);
        }
        gpu.check()?;
        let origin = model.origin();
        let (idle, sequences) = (Mutex::default(), Mutex::default());
        Ok(Predictor { gpu, model, origin, tiling, weights, idle, sequences })
    }

    /// The class of one row. The model must be a classifier.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for another number of features than the model has, and for a non-finite feature; [`Error::Option`] where the model is
    /// no classifier; [`Error::NonFiniteResult`], [`Error::Device`]; [`Error::Kernel`] and [`Error::OutOfMemory`] where buffers are made.
    pub fn classify<X: Feature, F: AsRef<[X]> + ?Sized>(&self, features: &F) -> Result<Class, Error> {
        let mut classes = self.classify_rows([features])?;
        classes.pop().ok_or_else(|| Error::Data("there are no rows: at least one is needed".into()))
    }

    /// As [`classify`](Self::classify), for several rows at once, which cost little more than one.
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

    /// As [`classify`](Self::classify), for the rows of a table in text. Cells are separated by commas or tabs. Columns are in the order of the table
    /// that the model was trained on, or in any order below a header line with their names.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify); [`Error::Format`] naming the line and the column of a wrong cell.
    pub fn classify_csv(&self, text: &str) -> Result<Vec<Class>, Error> {
        self.classify_set(&self.table(text)?)
    }

    /// As [`classify`](Self::classify), for the rows of a data set; see [`read`](Self::read). A network that answers at each place of its rows has a class for each, row
    /// after row.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict); [`Error::Option`] where the model is no classifier.
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
        // One output has a name for yes and one for no.
        let names = if outputs < classes { self.model.classes.clone() } else { self.model.output_names() };
        let probabilities = self.predict(set)?;
        Ok(probabilities
            .chunks_exact(outputs)
            .map(|row| {
                // One output is the second class' probability.
                let probabilities = if outputs < classes { vec![1.0 - row[0], row[0]] } else { row.to_vec() };
                let larger = |best, at| if probabilities[at] > probabilities[best] { at } else { best };
                let index = (0..classes).fold(0, larger);
                let name = names.get(index).cloned().unwrap_or_else(|| index.to_string());
                Class { index, name, probability: probabilities[index], probabilities }
            })
            .collect())
    }

    /// The model's predictions for rows: `[rows, outputs]`, row-major, or `[rows, places, outputs]` where it answers at each place. They are numbers in the units of the training targets, the classes'
    /// probabilities, or each output's own probability, depending on the loss.
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

    /// As [`predict_rows`](Self::predict_rows), for the rows of a table in text, as [`classify_csv`](Self::classify_csv) takes them.
    ///
    /// # Errors
    ///
    /// As [`classify_csv`](Self::classify_csv), but for any model.
    pub fn predict_csv(&self, text: &str) -> Result<Vec<f32>, Error> {
        self.predict(&self.table(text)?)
    }

    /// As [`predict_rows`](Self::predict_rows), for the rows of a data set; its targets, if it has any, are not used.
    ///
    /// # Errors
    ///
    /// As [`predict_rows`](Self::predict_rows); [`Error::Data`] for a set with another scaling than the model's training set.
    pub fn predict(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let logits = self.logits(set)?;
        let rows = logits.chunks_exact(self.model.network.outputs());
        let mut results: Vec<f32> = rows.flat_map(|logits| self.model.loss.predict(logits)).collect();
        in_own_units(self.model.target_scaling.as_ref(), &mut results);
        Ok(results)
    }

    /// The network's raw outputs, before the loss' softmax or sigmoid and in the scaled units of the targets: `[rows, outputs]`, row-major, or
    /// `[rows, places, outputs]`.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn logits(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
        self.check_form(set)?;
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
                let made = Outputs::new(gpu, network, &self.tiling, &self.weights, set, Default::default());
                let made = block_on(made)?;
                gpu.keep_pipelines();
                made
            }
        };
        let logits = block_on(outputs.of(gpu, set, &mut Traffic::default(), &mut 0));
        // After a device's failure, a copy to the host may still be pending in these buffers.
        if matches!(logits, Ok(_) | Err(Error::NonFiniteResult(_))) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(outputs);
        }
        logits
    }

    /// Calls `work` with a function that gives the logits of the token which follows some tokens: at least one, at most the `places` that the network takes, all of its
    /// vocabulary. Of tokens that begin as those of the call before, it computes only the others. `begun` are the first tokens that it will be asked for.
    ///
    /// # Errors
    ///
    /// Those of `work`; [`Error::Kernel`], [`Error::OutOfMemory`] and [`Error::Option`] where buffers are made. The function's: [`Error::NonFiniteResult`],
    /// [`Error::Device`].
    pub(crate) fn with_sequence<T>(
        &self,
        places: usize,
        begun: &[u32],
        work: impl FnOnce(&mut dyn FnMut(&[u32]) -> Result<Vec<f32>, Error>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let kept = {
            let mut idle = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
            // The one that has most of it.
            let at = (0..idle.len()).max_by_key(|&at| idle[at].known(begun));
            at.map(|at| idle.swap_remove(at))
        };
        let mut sequence = match kept {
            Some(sequence) => sequence,
            None => {
                let made = Continuation::new(&self.gpu, &self.model.network, places, &self.tiling, &self.weights);
                let made = block_on(made)?;
                self.gpu.keep_pipelines();
                made
            }
        };
        let done = work(&mut |tokens| block_on(sequence.logits(&self.gpu, tokens, &mut Traffic::default())))?;
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner).push(sequence);
        Ok(done)
    }

    /// What each layer makes of one row, behind its activation: a convolution's channels, say. Layers are in the network's order, each before those within it,
    /// without those that pass on what comes in as it is: a flatten, a dropout. Each call compiles the kernels that it needs.
    ///
    /// # Errors
    ///
    /// As [`predict_rows`](Self::predict_rows); [`Error::Option`] where an output has no room in one buffer of the device.
    pub fn activations<X: Feature, F: AsRef<[X]> + ?Sized>(&self, features: &F) -> Result<Vec<LayerOutput>, Error> {
        let set = Dataset::inputs([features])?;
        self.check_form(&set)?;
        let set = &*set.seen_as(&self.origin, false)?;
        block_on(activations(&self.gpu, &self.model.network, &self.tiling, &self.weights, set, Default::default()))
    }

    /// Reads the rows of a file or a folder as the model takes them, with its columns or its images' shape, for [`predict`](Self::predict) and
    /// [`classify_set`](Self::classify_set).
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset, Error> {
        Dataset::read(path, &self.reading()).map(|(set, _)| set)
    }

    /// The model that predicts.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tokens of the text that the model was trained on, if it was trained on one.
    pub fn vocabulary(&self) -> Option<&Vocabulary> {
        self.model.vocabulary.as_ref()
    }

    /// The device that the model is on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Device memory in use, in bytes: the weights, and the idle buffers of earlier calls.
    pub fn device_bytes(&self) -> u64 {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        let weights: u64 = self.weights.values().map(|buffer| buffer.size()).sum();
        let of_calls = idle.iter().map(Outputs::bytes).chain(sequences.iter().map(Continuation::bytes));
        weights + of_calls.sum::<u64>()
    }

    fn reading(&self) -> ReadOptions {
        ReadOptions { inputs_only: true, ..ReadOptions::of_model(&self.model) }
    }

    fn table(&self, text: &str) -> Result<Dataset, Error> {
        Dataset::from_csv(text, &self.reading())
    }

    fn check_form(&self, set: &Dataset) -> Result<(), Error> {
        set.check_form(&self.model.network).map_err(|error| match (error, &self.model.columns) {
            (Error::Data(reason), Some(_)) => Error::Data(format!(
                "{reason}: it was trained on a table, and predict_csv and classify_csv make its features of a row"
            )),
            (error, _) => error,
        })
    }
}
