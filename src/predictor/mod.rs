//! Predictions of a trained model, for programs that serve them. What is awaited is here, and what blocks, for programs, in `blocking`.

#[cfg(not(target_family = "wasm"))]
mod blocking;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::data::{Dataset, ReadOptions};
use crate::error::Error;
use crate::gpu::{Gpu, Traffic};
use crate::kernel::tiling::{Picks, Tiling};
use crate::loss::Task;
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
/// What waits for the device blocks the thread. Its name with `_async` is of a form that is awaited, which a browser needs, where nothing may block. Elsewhere, polling it
/// blocks the thread.
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
    /// As [`from_model`](Self::from_model), awaited.
    ///
    /// # Errors
    ///
    /// As [`from_model`](Self::from_model).
    pub async fn from_model_async(gpu: Arc<Gpu>, model: Model) -> Result<Self, Error> {
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
            weights.insert(Role::Weights(layer), gpu.upload(&name, &values.to_device(parameter)).await?);
        }
        gpu.check()?;
        let origin = model.origin();
        let (idle, sequences) = (Mutex::default(), Mutex::default());
        Ok(Predictor { gpu, model, origin, tiling, weights, idle, sequences })
    }

    /// As [`classify_set`](Self::classify_set), awaited.
    ///
    /// # Errors
    ///
    /// As [`classify_set`](Self::classify_set).
    pub async fn classify_set_async(&self, set: &Dataset) -> Result<Vec<Class>, Error> {
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
        let probabilities = self.predict_async(set).await?;
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

    /// As [`predict`](Self::predict), awaited.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub async fn predict_async(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let logits = self.logits_async(set).await?;
        let rows = logits.chunks_exact(self.model.network.outputs());
        let mut results: Vec<f32> = rows.flat_map(|logits| self.model.loss.predict(logits)).collect();
        in_own_units(self.model.target_scaling.as_ref(), &mut results);
        Ok(results)
    }

    /// As [`logits`](Self::logits), awaited.
    ///
    /// # Errors
    ///
    /// As [`logits`](Self::logits).
    pub async fn logits_async(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
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
                let made = made.await?;
                gpu.keep_pipelines();
                made
            }
        };
        let logits = outputs.of(gpu, set, &mut Traffic::default(), &mut 0).await;
        // After a device's failure, a copy to the host may still be pending in these buffers.
        if matches!(logits, Ok(_) | Err(Error::NonFiniteResult(_))) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(outputs);
        }
        logits
    }

    /// As [`activations`](Self::activations), of a set's only row; awaited.
    ///
    /// # Errors
    ///
    /// As [`activations`](Self::activations).
    pub async fn activations_async(&self, set: &Dataset) -> Result<Vec<LayerOutput>, Error> {
        self.check_form(set)?;
        let set = &*set.seen_as(&self.origin, false)?;
        activations(&self.gpu, &self.model.network, &self.tiling, &self.weights, set, Default::default()).await
    }

    /// A sequence that no other call goes on with: of those that are kept, the one that has most of the tokens that it `begins` with. It takes as many `places` as the network.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`], [`Error::OutOfMemory`] and [`Error::Option`] where buffers are made.
    pub(crate) async fn sequence(&self, places: usize, begins: &[u32]) -> Result<Sequence<'_>, Error> {
        let kept = {
            let mut idle = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (0..idle.len()).max_by_key(|&at| idle[at].known(begins));
            at.map(|at| idle.swap_remove(at))
        };
        let own = match kept {
            Some(own) => own,
            None => {
                let made =
                    Continuation::new(&self.gpu, &self.model.network, places, &self.tiling, &self.weights).await?;
                self.gpu.keep_pipelines();
                made
            }
        };
        Ok(Sequence { predictor: self, own })
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

    /// The rows of a table in text as the model takes them: see [`classify_csv`](Self::classify_csv).
    ///
    /// # Errors
    ///
    /// As [`Dataset::from_csv`].
    pub fn read_csv(&self, text: &str) -> Result<Dataset, Error> {
        Dataset::from_csv(text, &self.reading())
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

    fn check_form(&self, set: &Dataset) -> Result<(), Error> {
        set.check_form(&self.model.network).map_err(|error| match (error, &self.model.columns) {
            (Error::Data(reason), Some(_)) => Error::Data(format!(
                "{reason}: it was trained on a table, and predict_csv and classify_csv make its features of a row"
            )),
            (error, _) => error,
        })
    }
}

/// A sequence that is continued, of a predictor.
pub(crate) struct Sequence<'a> {
    predictor: &'a Predictor,
    own: Continuation,
}

impl Sequence<'_> {
    /// The logits of the token which follows some tokens: at least one, at most the places that the network takes, all of its vocabulary. Of tokens that begin as
    /// those of the call before, it computes only the others.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteResult`], [`Error::Device`].
    pub async fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        self.own.logits(&self.predictor.gpu, tokens, &mut Traffic::default()).await
    }

    /// Leaves it to later calls. One whose device failed is dropped instead.
    pub fn keep(self) {
        self.predictor.sequences.lock().unwrap_or_else(PoisonError::into_inner).push(self.own);
    }
}
