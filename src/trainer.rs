//! Fit, evaluate, predict.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::checkpoint::resume::Resumed;
use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::fit::memory;
use crate::gpu::{AdapterChoice, Buffer, Gpu};
use crate::history::{Event, TrainStats};
use crate::kernel::tile::Family;
use crate::kernel::tiling::{Picks, Tiling};
use crate::loss::Loss;
use crate::measure::{Tuning, tuner, tuning};
use crate::metric::{Evaluation, Metrics};
use crate::model::Model;
use crate::network::Network;
use crate::options::TrainOptions;
use crate::plan::{Plan, Request, Role};
use crate::preprocessing::{Origin, in_own_units};
use crate::run::evaluator::Evaluator;
use crate::run::outputs::Outputs;
use crate::run::probe;
use crate::run::rows::{self, Rows, SetShape};
use crate::run::runner::{Buffers, Runner, upload};
use crate::weights::{LayerWeights, Weights};

/// The most rows of a minibatch when nothing is trained: enough to make launches cheap, few enough for small adapters.
pub(crate) const EVALUATION_BATCH: usize = 512;

/// A network in device memory, with its optimizer and step counter.
#[derive(Debug)]
pub struct Trainer {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) tiling: Tiling,
    /// Of its picks, those that were pinned, or measured now or before.
    pub(crate) measured: Picks,
    pub(crate) network: Network,
    pub(crate) options: TrainOptions,
    /// Weights and optimizer slots of every layer, and the step state.
    pub(crate) model: Buffers,
    pub(crate) steps_done: u64,
    /// Those of them that changed nothing.
    pub(crate) skipped: u32,
    /// The set that the order goes over.
    pub(crate) order: Order,
    /// The fit that the next one goes on with, from a checkpoint.
    pub(crate) resumed: Option<Resumed>,
    pub(crate) stats: TrainStats,
    /// Of the set that it was trained on last, here or in the file that it comes from.
    pub(crate) origin: Origin,
    /// Whether that was here, so that rows which it says no scaling of had none.
    pub(crate) is_fitted: bool,
    /// Whether parameters are told.
    pub(crate) tells_parameters: bool,
}

/// Where in which order training is: another set, or another batch size, begins an order of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) rows: usize,
    /// The step in which its first epoch began, and the epochs before it.
    pub(crate) first_step: u64,
    pub(crate) epochs_before: u64,
}

impl Order {
    /// The epoch of a step, both counted from 1.
    pub(crate) fn epoch_of(self, step: u64, batch_size: usize) -> u64 {
        let per_epoch = self.rows.div_ceil(batch_size).max(1) as u64;
        self.epochs_before + step.saturating_sub(self.first_step + 1) / per_epoch + 1
    }
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
        Trainer::with_weights(gpu, network, options, |network, options| {
            options.initializer.weights(network, options.seed)
        })
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
        let trainer = Trainer::with_weights(gpu, network, options, |_, _| weights)?;
        Ok(Trainer { origin, ..trainer })
    }

    /// A trainer that begins with these weights, which are made once it is known that they fit.
    pub(crate) fn with_weights(
        gpu: Arc<Gpu>,
        network: Network,
        options: TrainOptions,
        weights: impl FnOnce(&Network, &TrainOptions) -> Weights,
    ) -> Result<Self, Error> {
        let own = gpu.adapter().family();
        // With another number of lanes they would compute something else.
        if let Some(asked @ Family::Subgroups { .. }) = options.family
            && asked != own
        {
            return Err(Error::Option(format!(
                "{asked:?} is not the family of {}: that is {own:?}",
                gpu.adapter().name
            )));
        }
        let tiling = options.tiled(gpu.adapter().tiling(), &Picks::default());
        options.picks.check(tiling.family)?;
        memory::check_layers(&gpu, &network, &options)?;
        probe::check(&gpu, &network, &options)?;
        let weights = weights(&network, &options);
        let model = Buffers::new();
        let mut trainer = Trainer {
            gpu,
            tiling,
            measured: Picks::default(),
            network,
            options,
            model,
            steps_done: 0,
            skipped: 0,
            order: Order::default(),
            resumed: None,
            stats: TrainStats::default(),
            origin: Origin::default(),
            is_fitted: false,
            tells_parameters: false,
        };
        trainer.set_weights(&weights)?;
        Ok(trainer)
    }

    /// Replaces the weights and begins anew: the optimizer's values at 0, no steps done.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the shapes are not the network's; [`Error::Device`].
    pub fn set_weights(&mut self, weights: &Weights) -> Result<(), Error> {
        self.network.check_weights(weights)?;
        let mut model = Buffers::from([(Role::State, self.gpu.zeros("the step state", crate::plan::STATE_BYTES)?)]);
        for (layer, weights) in weights.layers.iter().enumerate() {
            let (name, content) = (format!("the weights of layer {}", layer + 1), weights.to_device());
            model.insert(Role::Weights(layer), self.gpu.upload(&name, &content)?);
            let slot_bytes = u64::from(self.options.optimizer.slots()) * size_of_val(content.as_slice()) as u64;
            if slot_bytes > 0 {
                let name = format!("the optimizer's values for layer {}", layer + 1);
                model.insert(Role::OptimizerSlots(layer), self.gpu.zeros(&name, slot_bytes)?);
            }
        }
        // A device that is lost takes whatever it is given.
        self.gpu.check()?;
        self.model = model;
        (self.steps_done, self.skipped) = (0, 0);
        (self.order, self.resumed) = (Order::default(), None);
        Ok(())
    }

    /// How far the next `fit` goes: so many steps, or [`TrainOptions::epochs`] where it is `None`.
    pub fn set_steps(&mut self, steps: Option<u64>) {
        self.options.steps = steps;
    }

    /// The learning rate of the next `fit`, before any schedule; the optimizer's values stay as they are. A fit that goes on from a checkpoint takes it
    /// as well. Muon's rate for AdamW's part follows in proportion, as it does a schedule.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for one that is not finite and at least 0.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        let optimizer = self.options.optimizer.at_rate(learning_rate);
        optimizer.check()?;
        self.options.optimizer = optimizer;
        if let Some(resumed) = &mut self.resumed {
            resumed.set_learning_rate(learning_rate);
        }
        Ok(())
    }

    /// Whether a `fit` tells the weights and their gradient after every epoch, as [`Event::Parameters`]. An epoch costs a step, a submission and a
    /// copy of the weights more then, and no read that is waited for; the device keeps a gradient. Changes no result.
    pub fn tell_parameters(&mut self, tells: bool) {
        self.tells_parameters = tells;
    }

    /// The weights as they are now, read from the device.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn weights(&mut self) -> Result<Weights, Error> {
        pollster::block_on(self.weights_of(&self.weight_buffers()))
    }

    pub(crate) fn weight_buffers(&self) -> Vec<Buffer> {
        (0..self.network.layers().len()).map(|layer| self.model[&Role::Weights(layer)].clone()).collect()
    }

    /// Weights read from these buffers, one a layer.
    pub(crate) async fn weights_of(&mut self, buffers: &[Buffer]) -> Result<Weights, Error> {
        let mut layers = Vec::new();
        for ((inputs, outputs), buffer) in self.network.widths().zip(buffers) {
            let values: Vec<f32> = self.gpu.fetch(buffer, buffer.size() as usize / 4, &mut self.stats.traffic).await?;
            layers.push(LayerWeights::from_device(inputs, outputs, &values));
        }
        Ok(Weights { layers })
    }

    /// Writes the weights to a safetensors file that `torch.nn.Sequential.load_state_dict` takes, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Device`]; [`Error::NonFiniteResult`] where a weight is not finite.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let model = Model::new(self.network.clone(), self.weights()?, self.options.loss.clone());
        let model = model.keeping(self.origin.clone());
        // The last update comes after the last loss, which is where bad numbers are seen otherwise.
        let bad = |error: Error| Error::NonFiniteResult(format!("the model is not saved: {error}"));
        model.network.check_weights(&model.weights).map_err(bad)?;
        model.write(path)
    }

    /// The device it runs on: another than it was made on, where that failed and a [`fit`](Self::fit) went on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// What is trained.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What the host had to do since the trainer was made.
    pub fn stats(&self) -> TrainStats {
        self.stats
    }

    /// The plan of a training step on this set: what [`fit`](Self::fit) would run.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Option`] where the set, the network and the batch size do not fit together.
    pub fn plan(&self, train: &dyn Source) -> Result<Plan, Error> {
        let first = self.first_of_windows(train)?;
        self.plan_over(self.rows_of(train, first.as_ref())?)
    }

    /// The first row of a set that is read in windows.
    pub(crate) fn first_of_windows(&self, train: &dyn Source) -> Result<Option<Dataset>, Error> {
        rows::first_of_windows(train, self.options.memory_budget)
    }

    /// All rows of a set, or windows of them.
    pub(crate) fn rows_of<'a>(&self, train: &'a dyn Source, first: Option<&'a Dataset>) -> Result<Rows<'a>, Error> {
        Rows::of(train, first, &self.options, self.network.outputs(), self.tiling.most_bytes)
    }

    pub(crate) fn plan_over(&self, train: Rows<'_>) -> Result<Plan, Error> {
        train.at_hand().check_for(&self.network, &self.options.loss)?;
        train.at_hand().check_classes(train.classes(), &self.network, &self.options.loss)?;
        let per_epoch = train.count().div_ceil(self.options.batch_size) as u64;
        let first_step = self.order_over(train.count()).first_step;
        self.options.last_step(self.fit_began().max(first_step), first_step, per_epoch)?;
        let shape = train.shape(self.tiling.most_bytes);
        let plan = self.fitting_plan(self.options.training_request(&self.network, shape, &self.tiling))?;
        // A pin that is not followed would give other bits than the run that it comes from.
        for (shape, tile) in plan.picks().iter() {
            if let Some(pinned) = self.options.picks.by_name(shape).filter(|&pinned| pinned != tile) {
                return Err(Error::Option(format!(
                    "{shape} is pinned to \"{pinned}\" and would take \"{tile}\": the updates of all layers are one dispatch, and their tiles \
                     must have the same kind and workgroup size as the largest layer's"
                )));
            }
        }
        Ok(plan)
    }

    /// The tile of every kind of product in the plan of a training step: what [`TrainOptions::picks`] of another run takes to have
    /// the same bits. Under [`Tuning::Auto`] they are known after the first [`fit`](Self::fit).
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub fn picks(&self, train: &dyn Source) -> Result<Picks, Error> {
        Ok(self.plan(train)?.picks())
    }

    /// Under [`Tuning::Auto`], measures what the plan for this set has no picks for yet: what the next [`fit`](Self::fit) would begin with.
    /// `told` hears of every kind of product before it is measured.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan); [`Error::Kernel`], [`Error::Device`].
    pub fn tune(&mut self, train: &dyn Source, mut told: impl FnMut(Event)) -> Result<(), Error> {
        let first = self.first_of_windows(train)?;
        let rows = self.rows_of(train, first.as_ref())?;
        self.tune_until(rows, &mut |event| {
            told(event);
            ControlFlow::Continue(())
        })
    }

    /// [`tune`](Self::tune), until `told` breaks off: what was not measured by then keeps its rule's tile.
    pub(crate) fn tune_until(
        &mut self,
        train: Rows<'_>,
        told: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        // Whatever is wrong is said before anything is measured.
        let asked = self.plan_over(train)?.picks();
        for (shape, tile) in self.options.picks.iter().filter(|(shape, _)| asked.by_name(shape).is_none()) {
            tracing::warn!(shape, tile, "a pinned tile is for a product that this run has not");
        }
        if self.options.tuning != Tuning::Auto {
            return Ok(());
        }
        let (adapter, family) = (self.gpu.adapter(), self.tiling.family);
        let cache = self.options.tuning_cache.as_deref();
        let known = self.options.picks.clone().or(&self.measured).or(&self.options.measured_before(adapter));
        let request = self.options.training_request(&self.network, train.shape(self.tiling.most_bytes), &self.tiling);
        let started = Instant::now();
        let found = tuner::tune(
            &self.gpu,
            request,
            self.options.checks,
            &known,
            self.options.tuning_budget,
            |shape, at, of| told(Event::Tuning { kernel: shape.kernel, at, of }),
        )?;
        let picks_of = |found: &mut dyn Iterator<Item = &tuner::Found>| -> Picks {
            found.map(|found| (found.shape.to_string(), found.tile.to_string())).collect()
        };
        if let Some(path) = cache.filter(|_| found.iter().any(|found| found.complete)) {
            let complete = picks_of(&mut found.iter().filter(|found| found.complete));
            tuning::keep(path, &tuning::key(adapter, family), &complete);
        }
        if !found.is_empty() {
            // What it says is nothing more to break off.
            let _ = told(Event::Tuned { kinds: found.len(), seconds: started.elapsed().as_secs_f64() });
        }
        let measured = picks_of(&mut found.iter());
        self.measured = known.or(&measured);
        self.tiling.picks = self.measured.clone().or(&self.tiling.picks);
        Ok(())
    }

    /// The rows of a set as the network sees them.
    fn seen<'a>(&self, set: &'a Dataset) -> Result<Cow<'a, Dataset>, Error> {
        set.seen_as(&self.origin, self.is_fitted)
    }

    /// Mean loss and accuracy over a set. Rows that are not scaled, where the training set was, are scaled as that, and so are targets: the loss
    /// is the one that is trained, in the units that it is trained in.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the set does not fit the network, is scaled otherwise than the training set, or has inputs alone; [`Error::Device`].
    pub fn evaluate(&mut self, set: &Dataset) -> Result<Evaluation, Error> {
        let set = &*self.seen(set)?;
        let mut evaluator = self.evaluator(set, false)?;
        evaluator.run(&self.gpu, &mut self.stats)?;
        pollster::block_on(evaluator.evaluation(&self.gpu, &mut self.stats))
    }

    /// Mean loss and accuracy over a set, and what else there is to say of the model there: see [`Metrics`].
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn metrics(&mut self, set: &Dataset) -> Result<Metrics, Error> {
        let set = &*self.seen(set)?;
        let mut evaluator = self.evaluator(set, true)?;
        evaluator.run(&self.gpu, &mut self.stats)?;
        pollster::block_on(async {
            let evaluation = evaluator.evaluation(&self.gpu, &mut self.stats).await?;
            let (loss, outputs) = (&self.options.loss, self.network.outputs());
            evaluator.metrics(&self.gpu, &mut self.stats, set, loss, outputs, evaluation).await
        })
    }

    /// What the network says of every row: `[rows, outputs]`, row-major. Class probabilities (the softmax of the logits), each
    /// output's probability (the sigmoid), or numbers in the units of the training set's targets, as the loss has it. Rows that are not scaled,
    /// where the training set was, are scaled as that.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the rows do not fit the network, whatever their labels, or are scaled otherwise than the training set;
    /// [`Error::Device`].
    pub fn predict(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let loss = self.options.loss.clone();
        let logits = self.logits(set)?;
        let mut results: Vec<f32> =
            logits.chunks_exact(self.network.outputs()).flat_map(|logits| loss.predict(logits)).collect();
        in_own_units(self.origin.target_scaling.as_ref(), &mut results);
        Ok(results)
    }

    /// The network's outputs as they are, whatever the loss and the targets' scaling: `[rows, outputs]`, row-major.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn logits(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let set = &*self.seen(set)?;
        let (gpu, stats) = (&self.gpu, &mut self.stats);
        let mut outputs = Outputs::new(gpu, &self.network, &self.tiling, &self.model, set, self.options.checks)?;
        outputs.of(gpu, set, &mut stats.traffic, &mut stats.dispatches)
    }

    /// The plan of an evaluation, once it is known that the set and every buffer fit.
    fn evaluation_plan(&self, set: &Dataset, metrics: bool) -> Result<Plan, Error> {
        set.check_for(&self.network, &self.options.loss)?;
        self.fitting_plan(self.evaluation_request(set, metrics))
    }

    /// The plan of the validation after an epoch, where there is a set for it, once it is known that it has the figure that epochs are judged by.
    pub(crate) fn validation_plan(&self, validation: Option<&Dataset>) -> Result<Option<Plan>, Error> {
        let monitor = self.options.monitor;
        let plan = validation.map(|set| self.evaluation_plan(set, monitor.is_measured())).transpose()?;
        monitor.check_rows(validation, &self.options.loss)?;
        Ok(plan)
    }

    fn evaluation_request(&self, set: &Dataset, metrics: bool) -> Request<'_> {
        // Of a few sizes, so that other numbers of rows take the same kernels.
        let batch = set.rows().min(EVALUATION_BATCH).next_power_of_two();
        let shape = SetShape::of(set, self.tiling.most_bytes);
        Request { metrics, ..self.options.evaluation_request(&self.network, shape, batch, &self.tiling) }
    }

    fn evaluator(&self, set: &Dataset, metrics: bool) -> Result<Evaluator, Error> {
        let plan = self.evaluation_plan(set, metrics)?;
        let rows = upload(&self.gpu, set, &self.options.loss, self.network.outputs())?;
        self.evaluator_over(set.rows(), rows, &plan)
    }

    /// An evaluator over rows that are on the device.
    pub(crate) fn evaluator_over(&self, count: usize, rows: Buffers, plan: &Plan) -> Result<Evaluator, Error> {
        // A state of its own: training goes on where it was.
        let state = Buffers::from([(Role::State, self.gpu.zeros("the step state", crate::plan::STATE_BYTES)?)]);
        let runner = Runner::new(&self.gpu, plan, &[&state, &self.model, &rows], self.options.checks, None)?;
        Evaluator::new(&self.gpu, runner, count)
    }
}
