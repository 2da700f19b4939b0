//! The trainer's face for programs, which have a thread to wait on.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::Trainer;
use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::fit::TrainingSet;
use crate::gpu::{AdapterChoice, Gpu};
use crate::history::{Event, History};
use crate::host::{block_on, with_threads};
use crate::metric::{Evaluation, Metrics};
use crate::model::Model;
use crate::network::Network;
use crate::options::TrainOptions;
use crate::run::activations::LayerOutput;
use crate::weights::Weights;

impl Trainer {
    /// A trainer on the best adapter of this machine, with initial weights.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`], [`Error::Option`] for a network or option that cannot be used, [`Error::Wgsl`] for a function of
    /// the user's own whose derivative is not one, [`Error::Device`].
    pub fn new(network: Network, options: TrainOptions) -> Result<Self, Error> {
        options.check(&network)?;
        Trainer::on(Gpu::open(&AdapterChoice::Auto)?, network, options)
    }

    /// A trainer on a device that is already open.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn on(gpu: Arc<Gpu>, network: Network, options: TrainOptions) -> Result<Self, Error> {
        block_on(Trainer::on_async(gpu, network, options))
    }

    /// A trainer that goes on with a model in a file, on the best adapter of this machine: its network and its weights, and with the optimizer's
    /// values at 0. What the model keeps of its training set, the classes' names, the columns, the scalings, is kept, as far as the next
    /// training set brings no other. Its loss is the file's, unless the options name another than the default.
    ///
    /// To use a model without training it, [`Predictor::open`](crate::Predictor::open) takes less.
    ///
    /// # Errors
    ///
    /// As [`Model::read`] and [`new`](Self::new).
    pub fn open(path: impl AsRef<Path>, options: TrainOptions) -> Result<Self, Error> {
        Trainer::from_model(Gpu::open(&AdapterChoice::Auto)?, Model::read(path)?, options)
    }

    /// [`open`](Self::open) for a model that was read, with functions of the user's own by [`Model::read_with`], on a device that is open.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_model(gpu: Arc<Gpu>, model: Model, options: TrainOptions) -> Result<Self, Error> {
        block_on(Trainer::from_model_async(gpu, model, options))
    }

    /// A trainer that is where the checkpoint was: its next [`fit`](Self::fit), on the same sets, goes on in the same step and ends in the
    /// bits that the run would have ended in, on the same adapter and driver. Everything but the sets and functions of the user's own
    /// ([`Checkpoint::bringing`]) comes from the file. Checkpoints go on into its folder; see
    /// [`set_checkpointing`](Self::set_checkpointing).
    ///
    /// # Errors
    ///
    /// [`Error::Format`] for a file that is damaged or lacks functions of the user's own; else as [`on`](Self::on).
    pub fn resume(gpu: Arc<Gpu>, checkpoint: &Checkpoint) -> Result<Self, Error> {
        block_on(Trainer::resume_async(gpu, checkpoint))
    }

    /// Replaces the weights and begins anew: the optimizer's values at 0, no steps done.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the shapes are not the network's; [`Error::Device`].
    pub fn set_weights(&mut self, weights: &Weights) -> Result<(), Error> {
        block_on(self.set_weights_async(weights))
    }

    /// The weights as they are now, read from the device; under [`TrainOptions::ema`](crate::TrainOptions::ema) their moving averages.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn weights(&mut self) -> Result<Weights, Error> {
        block_on(self.weights_async())
    }

    /// Writes the weights, or under [`TrainOptions::ema`](crate::TrainOptions::ema) their moving averages, to a safetensors file that `torch.nn.Sequential.load_state_dict` takes, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Device`]; [`Error::NonFiniteResult`] where a weight is not finite.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        block_on(self.model_async())?.write(path)
    }

    /// Under [`Tuning::Auto`](crate::Tuning::Auto), measures what the plan for this set has no picks for yet: what the next [`fit`](Self::fit) would begin with.
    /// `observer` is called for every kind of product before it is measured.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan); [`Error::Kernel`], [`Error::Device`].
    pub fn tune(&mut self, train: &dyn Source, observer: impl FnMut(Event)) -> Result<(), Error> {
        block_on(self.tune_async(train, observer))
    }

    /// Trains, and evaluates on `validation` after every epoch. A second `fit` on as many rows goes on where the first
    /// ended, inside an epoch if need be; that epoch's rest then counts as one.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Option`] where a set, the network and the batch size do not fit together, before
    /// anything is trained; [`Error::NonFinite`] when numbers are no longer finite; [`Error::OutOfMemory`] where there is no device memory for what
    /// it begins with, [`Error::DeviceFailed`] when the device fails while it trains, more often than
    /// [`Checkpointing::device_retries`](crate::Checkpointing::device_retries) allows; [`Error::Device`]; [`Error::Io`] where a checkpoint cannot
    /// be written, [`Error::Data`] where a resumed run is given other sets than it had.
    ///
    /// After an error the trainer is where the device is, and can be used; where the device was lost, every call that needs it says so. Where numbers
    /// were not finite it has the best weights, if [`TrainOptions::keep_best`](crate::TrainOptions::keep_best) is on and an epoch was judged.
    pub fn fit(&mut self, train: &Dataset, validation: Option<&Dataset>) -> Result<History, Error> {
        self.fit_with(train, validation, |_| ControlFlow::Continue(()))
    }

    /// [`fit`](Self::fit), reporting how it goes. `observer` may break off: training ends with the chunk of steps that is on its
    /// way, and the history so far is returned.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &mut self,
        train: &Dataset,
        validation: Option<&Dataset>,
        mut observer: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        let train = TrainingSet::of_set(&self.session, train)?;
        with_threads(|threads| block_on(self.fit_on(&train, validation, Some(threads), &mut observer)))
    }

    /// Trains on rows that are read while it goes, in windows that fit the [memory budget](crate::TrainOptions::memory_budget) twice (64 MiB where
    /// there is none). An epoch visits the windows in an order of its own, and in each its rows: both follow from the seed. The rest as
    /// [`fit_with`](Self::fit_with).
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit); what is wrong with rows that were read, when they are.
    pub fn fit_from(
        &mut self,
        train: &dyn Source,
        validation: Option<&Dataset>,
        mut observer: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        let train = TrainingSet::of_source(&self.session, train)?;
        with_threads(|threads| block_on(self.fit_on(&train, validation, Some(threads), &mut observer)))
    }

    /// Mean loss and accuracy over a set. Rows that are not scaled, where the training set was, are scaled as that, and so are targets: the loss
    /// is the one that is trained, in the units that it is trained in.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the set does not fit the network, is scaled otherwise than the training set, or has inputs alone; [`Error::Device`].
    pub fn evaluate(&mut self, set: &Dataset) -> Result<Evaluation, Error> {
        block_on(self.evaluate_async(set))
    }

    /// Mean loss and accuracy over a set, and what else there is to say of the model there: see [`Metrics`].
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn metrics(&mut self, set: &Dataset) -> Result<Metrics, Error> {
        block_on(self.metrics_async(set))
    }

    /// The network's answer for every row: `[rows, outputs]`, row-major, or `[rows, places, outputs]` where it answers at each place. Class probabilities (the softmax of the logits), each
    /// output's probability (the sigmoid), or numbers in the units of the training set's targets, as the loss has it. Rows that are not scaled,
    /// where the training set was, are scaled as that.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the rows do not fit the network, with any labels, or are scaled otherwise than the training set;
    /// [`Error::Device`].
    pub fn predict(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        block_on(self.predict_async(set))
    }

    /// The network's outputs as they are, under any loss and scaling of targets: `[rows, outputs]`, row-major, or `[rows, places, outputs]`.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn logits(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        block_on(self.logits_async(set))
    }

    /// What each layer makes of a row of a set in an evaluation, behind its activation: a convolution's channels, say, as the report shows them. Layers are in
    /// the network's order, each before those within it, without those that pass on what comes in as it is: a flatten, a dropout.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict); [`Error::Data`] for a row that the set does not have; [`Error::Option`] where an output has no room in one buffer of the
    /// device.
    pub fn activations(&mut self, set: &Dataset, row: usize) -> Result<Vec<LayerOutput>, Error> {
        block_on(self.activations_async(set, row))
    }
}
