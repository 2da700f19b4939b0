//! Fit, evaluate, predict.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::fit::{self, Session, TrainingSet};
use crate::gpu::{AdapterChoice, Gpu};
use crate::history::{Event, History, TrainStats};
use crate::host::{block_on, with_threads};
use crate::kernel::tiling::Picks;
use crate::loss::Loss;
use crate::metric::{Evaluation, Metrics};
use crate::model::Model;
use crate::network::Network;
use crate::options::{Checkpointing, TrainOptions};
use crate::plan::Plan;
use crate::preprocessing::in_own_units;
use crate::run::activations::LayerOutput;
use crate::run::evaluator::Evaluator;
use crate::weights::Weights;

/// A network in device memory, with its optimizer and step counter.
#[derive(Debug)]
pub struct Trainer {
    session: Session,
}

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
        options.check(&network)?;
        let initial = |network: &Network, options: &TrainOptions| options.initializer.weights(network, options.seed);
        Ok(Trainer { session: block_on(Session::new(gpu, network, options, initial))? })
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
        model.check_kept()?;
        let origin = model.origin();
        let Model { network, weights, loss, .. } = model;
        let options = if options.loss == Loss::default() { TrainOptions { loss, ..options } } else { options };
        options.check(&network)?;
        network.check_weights(&weights)?;
        let session = block_on(Session::new(gpu, network, options, |_, _| weights))?;
        Ok(Trainer { session: Session { origin, ..session } })
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
        Ok(Trainer { session: block_on(Session::resume(gpu, checkpoint))? })
    }

    /// Replaces the weights and begins anew: the optimizer's values at 0, no steps done.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the shapes are not the network's; [`Error::Device`].
    pub fn set_weights(&mut self, weights: &Weights) -> Result<(), Error> {
        block_on(self.session.set_weights(weights))
    }

    /// How far the next `fit` goes: this many steps, or [`TrainOptions::epochs`] where it is `None`.
    pub fn set_steps(&mut self, steps: Option<u64>) {
        self.session.options.steps = steps;
    }

    /// How far the next `fit` goes, where no [steps](Self::set_steps) are set: this many epochs, and for a resumed one this many in all.
    pub fn set_epochs(&mut self, epochs: u64) {
        self.session.options.epochs = epochs;
    }

    /// Where the next `fit` leaves checkpoints, if anywhere.
    pub fn set_checkpointing(&mut self, checkpointing: Option<Checkpointing>) {
        self.session.options.checkpoint = checkpointing;
    }

    /// The learning rate of the next `fit`, before any schedule; the optimizer's values stay as they are. A fit that goes on from a checkpoint takes it
    /// as well. Muon's rate for AdamW's part follows in proportion, as it does a schedule.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for one that is not finite and at least 0.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        let optimizer = self.session.options.optimizer.at_rate(learning_rate);
        optimizer.check()?;
        self.session.options.optimizer = optimizer;
        if let Some(resumed) = &mut self.session.resumed {
            resumed.set_learning_rate(learning_rate);
        }
        Ok(())
    }

    /// Whether a `fit` reports the weights and their gradient after every epoch, as [`Event::Parameters`]. An epoch costs a step, a submission and a
    /// copy of the weights more then, and no read that is waited for; the device keeps a gradient. Changes no result.
    pub fn report_parameters(&mut self, reports: bool) {
        self.session.reports_parameters = reports;
    }

    /// The weights as they are now, read from the device; under [`TrainOptions::ema`](crate::TrainOptions::ema) their moving averages.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn weights(&mut self) -> Result<Weights, Error> {
        block_on(self.session.model.weights())
    }

    /// Writes the weights, or under [`TrainOptions::ema`](crate::TrainOptions::ema) their moving averages, to a safetensors file that `torch.nn.Sequential.load_state_dict` takes, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Device`]; [`Error::NonFiniteResult`] where a weight is not finite.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let Session { model, options, origin, .. } = &mut self.session;
        let weights = block_on(model.weights())?;
        let model = Model::new(model.network.clone(), weights, options.loss.clone()).keeping(origin.clone());
        // The last update comes after the last loss, which is where numbers that are not finite are seen otherwise.
        let refused = |error: Error| Error::NonFiniteResult(format!("the model is not saved: {error}"));
        model.network.check_weights(&model.weights).map_err(refused)?;
        model.write(path)
    }

    /// The device it runs on: another than it was made on, where that failed and a [`fit`](Self::fit) went on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.session.model.gpu
    }

    /// What is trained.
    pub fn network(&self) -> &Network {
        &self.session.model.network
    }

    /// Everything about the run besides the network and the sets.
    pub fn options(&self) -> &TrainOptions {
        &self.session.options
    }

    /// The steps that were done since the weights were new.
    pub fn steps_done(&self) -> u64 {
        self.session.position.steps_done
    }

    /// What the host had to do since the trainer was made.
    pub fn stats(&self) -> TrainStats {
        self.session.model.stats
    }

    /// The plan of a training step on this set: what [`fit`](Self::fit) would run.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Option`] where the set, the network and the batch size do not fit together.
    pub fn plan(&self, train: &dyn Source) -> Result<Plan, Error> {
        let first = self.session.first_of_windows(train)?;
        fit::training_plan(&self.session, self.session.rows_of(train, first.as_ref())?)
    }

    /// The tile of every kind of product in the plan of a training step: what [`TrainOptions::picks`] of another run takes to have
    /// the same bits. Under [`Tuning::Auto`](crate::Tuning::Auto) they are known after the first [`fit`](Self::fit).
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), but not for a minibatch that the next fit cannot train on.
    pub fn picks(&self, train: &dyn Source) -> Result<Picks, Error> {
        let first = self.session.first_of_windows(train)?;
        Ok(fit::step_plan(&self.session, self.session.rows_of(train, first.as_ref())?)?.picks())
    }

    /// Device memory that [`fit`](Self::fit) takes: the weights, the optimizer's values, what is in between, both sets, the best weights where they
    /// are kept, what parameters are reported by, and what is read back; and, where checkpoints are made, the copies of one.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), for either set.
    pub fn device_bytes(&self, train: &dyn Source, validation: Option<&Dataset>) -> Result<u64, Error> {
        let first = self.session.first_of_windows(train)?;
        fit::bytes_of_fit(&self.session, self.session.rows_of(train, first.as_ref())?, validation)
    }

    /// Under [`Tuning::Auto`](crate::Tuning::Auto), measures what the plan for this set has no picks for yet: what the next [`fit`](Self::fit) would begin with.
    /// `observer` is called for every kind of product before it is measured.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan); [`Error::Kernel`], [`Error::Device`].
    pub fn tune(&mut self, train: &dyn Source, mut observer: impl FnMut(Event)) -> Result<(), Error> {
        let first = self.session.first_of_windows(train)?;
        let rows = self.session.rows_of(train, first.as_ref())?;
        block_on(fit::tune(&mut self.session, rows, &mut |event| {
            observer(event);
            ControlFlow::Continue(())
        }))
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
        self.fit_on(&train, validation, &mut observer)
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
        self.fit_on(&train, validation, &mut observer)
    }

    fn fit_on(
        &mut self,
        train: &TrainingSet<'_>,
        validation: Option<&Dataset>,
        observer: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        with_threads(|threads| block_on(fit::fit(&mut self.session, train, validation, Some(threads), observer)))
    }

    /// Mean loss and accuracy over a set. Rows that are not scaled, where the training set was, are scaled as that, and so are targets: the loss
    /// is the one that is trained, in the units that it is trained in.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the set does not fit the network, is scaled otherwise than the training set, or has inputs alone; [`Error::Device`].
    pub fn evaluate(&mut self, set: &Dataset) -> Result<Evaluation, Error> {
        let set = &*self.session.seen(set)?;
        let mut evaluator = self.evaluated(set, false)?;
        let model = &mut self.session.model;
        block_on(evaluator.evaluation(&model.gpu, &mut model.stats))
    }

    /// Mean loss and accuracy over a set, and what else there is to say of the model there: see [`Metrics`].
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn metrics(&mut self, set: &Dataset) -> Result<Metrics, Error> {
        let set = &*self.session.seen(set)?;
        let mut evaluator = self.evaluated(set, true)?;
        let Session { model, options, .. } = &mut self.session;
        block_on(async {
            let evaluation = evaluator.evaluation(&model.gpu, &mut model.stats).await?;
            let outputs = model.network.outputs();
            evaluator.metrics(&model.gpu, &mut model.stats, set, &options.loss, outputs, evaluation).await
        })
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
        let logits = self.logits(set)?;
        let Session { model, options, origin, .. } = &self.session;
        let rows = logits.chunks_exact(model.network.outputs());
        let mut results: Vec<f32> = rows.flat_map(|logits| options.loss.predict(logits)).collect();
        in_own_units(origin.target_scaling.as_ref(), &mut results);
        Ok(results)
    }

    /// The network's outputs as they are, under any loss and scaling of targets: `[rows, outputs]`, row-major, or `[rows, places, outputs]`.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn logits(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let set = &*self.session.seen(set)?;
        block_on(self.session.model.outputs(set))
    }

    /// What each layer makes of a row of a set in an evaluation, behind its activation: a convolution's channels, say, as the report shows them. Layers are in
    /// the network's order, each before those within it, without those that pass on what comes in as it is: a flatten, a dropout.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict); [`Error::Data`] for a row that the set does not have; [`Error::Option`] where an output has no room in one buffer of the
    /// device.
    pub fn activations(&mut self, set: &Dataset, row: usize) -> Result<Vec<LayerOutput>, Error> {
        let one = set.select([row])?;
        let one = &*self.session.seen(&one)?;
        block_on(self.session.model.activations(one))
    }

    /// An evaluator that has passed over the set.
    fn evaluated(&mut self, set: &Dataset, metrics: bool) -> Result<Evaluator, Error> {
        let plan = fit::evaluation_plan(&self.session, set, metrics)?;
        let Session { model, options, .. } = &mut self.session;
        block_on(async {
            let rows = model.upload_set(set, &options.loss).await?;
            let mut evaluator = model.evaluator(set.rows(), rows, &plan).await?;
            evaluator.run(&model.gpu, &mut model.stats).await?;
            Ok(evaluator)
        })
    }
}
