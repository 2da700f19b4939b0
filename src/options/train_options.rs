//! Everything about a run besides the network and the data.

use std::path::PathBuf;
use std::time::Duration;

use super::checkpointing::{Checkpointing, Every};
use super::monitor::Monitor;
use super::non_finite::NonFinite;
use super::watch::{EarlyStopping, ReduceOnPlateau};
use crate::augmentation::Augmentation;
use crate::error::Error;
use crate::gpu::{AdapterSummary, Checks};
use crate::host::Host;
use crate::initializer::Initializer;
use crate::kernel::tile::Family;
use crate::kernel::tiling::{Picks, Tiling};
use crate::loss::Loss;
use crate::measure::Tuning;
use crate::measure::tuning;
use crate::network::{Form, Network};
use crate::optimizer::{Optimizer, ParameterGroup};
use crate::plan::Request;
use crate::run::order::Order;
use crate::run::rows::{SetShape, Visiting, WindowSizing};
use crate::run::state::State;
use crate::schedule::Schedule;
use crate::training::{Clip, Groups, Shards, Training};

/// Everything about a run besides the network and the data. The default is the program's own: softmax cross-entropy,
/// Adam as Keras sets it, Glorot uniform weights, 10 epochs of minibatches of 32.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// The loss, which is minimized.
    pub loss: Loss,
    /// The optimizer, by which weights follow their gradients.
    pub optimizer: Optimizer,
    /// Weights with a weight decay or a learning rate of their own, or that stay as they are: the first group that matches a weight counts.
    pub groups: Vec<ParameterGroup>,
    /// The decay of an exponential moving average of the weights, as 0.999: after every step it moves by the rest of the way to them. Evaluations, predictions
    /// and saved models use the average then, in place of the weights; checkpoints have both. From 0 to below 1; `None` for no average.
    pub ema: Option<f64>,
    /// How the learning rate changes from step to step.
    pub schedule: Schedule,
    /// Lowers the learning rate after epochs without improvement.
    pub reduce_on_plateau: Option<ReduceOnPlateau>,
    /// Ends training after epochs without improvement.
    pub early_stopping: Option<EarlyStopping>,
    /// Whether a `fit` ends with the weights of its best epoch, in place of the last one's.
    pub keep_best: bool,
    /// The metric that epochs are judged by, for the three options above.
    pub monitor: Monitor,
    /// The largest norm of the whole gradient; a longer one is scaled down to it: `torch.nn.utils.clip_grad_norm_`.
    pub clip_grad_norm: Option<f64>,
    /// The largest absolute value of a gradient: `torch.nn.utils.clip_grad_value_`. It cannot be combined with the norm.
    pub clip_grad_value: Option<f64>,
    /// How training treats a step whose numbers are not finite.
    pub non_finite: NonFinite,
    /// The factor of the learning rate under [`NonFinite::Lower`].
    pub lower_factor: f64,
    /// The number of times that the rate may be lowered.
    pub lower_times: u64,
    /// Random changes of the images that the network trains on, for a network of images; `None` for none.
    pub augmentation: Option<Augmentation>,
    /// The initializer of the weights.
    pub initializer: Initializer,
    /// The number of rows in a minibatch. The last one of an epoch has the rows that remain.
    pub batch_size: usize,
    /// The number of minibatches that make a step: their gradients are added up, and then update the weights once, as those of one minibatch as many times as
    /// large do. An epoch's last step has the minibatches that remain. A step's loss is the mean over all of their rows.
    pub accumulate: usize,
    /// The number of shards that a minibatch is cut into, a power of two; `None` where it is computed as a whole. Their gradients are added up in a fixed
    /// tree, so that a run has the same bits however many processes share them ([`Trainer::among`](crate::Trainer::among)). A process computes its own one after another, in memory for the activations of
    /// one, and keeps a sum of gradients for each level of its tree: four for eight shards. All shards have as many rows.
    pub shards: Option<usize>,
    /// The number of steps that each process makes with weights of its own, updated by its own shards alone, before the weights of all processes and their optimizers' values are averaged; they are averaged
    /// at the end of every epoch too. `None` where processes add up their gradients in every step. Averages seldom cross slow links, but are another result than sums of gradients, which follows from the number of processes. Local
    /// SGD: Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019.
    pub sync_every: Option<u64>,
    /// The number of passes over the set in one `fit`.
    pub epochs: u64,
    /// The number of steps in one `fit`, in place of `epochs`; it may end inside an epoch, and the next goes on from there.
    pub steps: Option<u64>,
    /// Whether every epoch visits the rows in a new order.
    pub shuffle: bool,
    /// Decides the initial weights, the order, dropout and augmentation: the same seed gives the same bits on the same adapter and driver.
    pub seed: u64,
    /// Steps handed to the device at once; sized by their measured time where it is `None`. Changes no result.
    pub steps_per_submission: Option<u64>,
    /// Where and when the run writes checkpoints, if it does. Changes no result.
    pub checkpoint: Option<Checkpointing>,
    /// Bytes of device memory that the set may take; a larger one is read in windows while the run trains on them, and shuffled inside each.
    /// There is no limit where it is `None`.
    pub memory_budget: Option<u64>,
    /// Whether the kernels check every index at run time.
    pub checks: Checks,
    /// How the kernels' tiles are chosen.
    pub tuning: Tuning,
    /// The file in which [`Tuning::Auto`] keeps its measurements; `None` for no file.
    pub tuning_cache: Option<PathBuf>,
    /// How long [`Tuning::Auto`] may measure before a run. The rest is measured by the next run.
    pub tuning_budget: Duration,
    /// The tiles to use, from another run ([`Trainer::picks`](crate::Trainer::picks)), so that both runs have the same bits.
    pub picks: Picks,
    /// The family of kernels; `None` for the adapter's own.
    pub family: Option<Family>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            loss: Loss::default(),
            optimizer: Optimizer::keras_adam(),
            groups: Vec::new(),
            ema: None,
            schedule: Schedule::default(),
            reduce_on_plateau: None,
            early_stopping: None,
            keep_best: false,
            monitor: Monitor::default(),
            clip_grad_norm: None,
            clip_grad_value: None,
            non_finite: NonFinite::default(),
            lower_factor: 0.5,
            lower_times: 5,
            augmentation: None,
            initializer: Initializer::default(),
            batch_size: 32,
            accumulate: 1,
            shards: None,
            sync_every: None,
            epochs: 10,
            steps: None,
            shuffle: true,
            seed: 0,
            steps_per_submission: None,
            checkpoint: None,
            memory_budget: None,
            checks: Checks::default(),
            tuning: Tuning::default(),
            tuning_cache: None,
            tuning_budget: Duration::from_millis(2200),
            picks: Picks::default(),
            family: None,
        }
    }
}

impl TrainOptions {
    /// Checks that the options can be used with any set.
    pub(crate) fn check(&self, network: &Network) -> Result<(), Error> {
        network.check()?;
        network.check_outputs(&self.loss)?;
        self.optimizer.check()?;
        network.treated(&self.groups, &self.optimizer)?;
        if let Some(ema) = self.ema.filter(|ema| !(0.0..=1.0 - 1e-7).contains(ema)) {
            return Err(Error::Option(format!("ema is {ema}: it must be from 0 to below 1, as 0.999")));
        }
        self.loss.check(network.outputs())?;
        self.monitor.check(&self.loss, network.outputs())?;
        self.schedule.check()?;
        self.reduce_on_plateau.map_or(Ok(()), |plateau| plateau.check())?;
        self.early_stopping.map_or(Ok(()), |early| early.check())?;
        for (name, most) in [("clip_grad_norm", self.clip_grad_norm), ("clip_grad_value", self.clip_grad_value)] {
            if let Some(most) = most.filter(|most| !(1e-30..=1e30).contains(most)) {
                return Err(Error::Option(format!("{name} is {most}: it must be finite and above 0")));
            }
        }
        if self.clip_grad_norm.is_some() && self.clip_grad_value.is_some() {
            return Err(Error::Option("both clip_grad_norm and clip_grad_value are set: set only one of them".into()));
        }
        if !(1e-30..=1.0 - 1e-7).contains(&self.lower_factor) {
            return Err(Error::Option(format!(
                "lower_factor is {}: it must be above 0 and below 1",
                self.lower_factor
            )));
        }
        let image = if let Form::Image(image) = network.input() { Some(image) } else { None };
        self.augmentation.map_or(Ok(()), |augmentation| augmentation.check(image))?;
        if self.batch_size == 0 {
            return Err(Error::Option("the batch size is 0: it must be at least 1".into()));
        }
        // A minibatch alone may be larger than the set.
        let most = (u32::MAX as usize / self.batch_size).max(1);
        if !(1..=most).contains(&self.accumulate) {
            return Err(Error::Option(format!(
                "accumulate is {} minibatches of {} rows: it must be from 1 to {most}",
                self.accumulate, self.batch_size
            )));
        }
        self.shards.map_or(Ok(()), |shards| self.check_shards(shards, network))?;
        self.sync_every.map_or(Ok(()), |every| self.check_sync(every))?;
        if self.steps_per_submission == Some(0) {
            return Err(Error::Option("steps per submission are 0: they must be at least 1".into()));
        }
        self.checkpoint.as_ref().map_or(Ok(()), Checkpointing::check)
    }

    fn check_sync(&self, every: u64) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::Option(format!("sync_every is {every}{reason}")));
        if every == 0 {
            return wrong(": it must be 1 step or more".into());
        }
        if self.shards.is_none() {
            return wrong(
                ", and minibatches come in no shards that processes could share: set shards too, as 8".into(),
            );
        }
        if self.non_finite == NonFinite::Skip {
            return wrong(
                ", and steps with a non-finite gradient are to be skipped: a process would skip its own alone, so choose stop or lower for non_finite".into(),
            );
        }
        match self.checkpoint.as_ref().map(|checkpoint| checkpoint.every) {
            Some(Every::Steps(steps)) if !steps.is_multiple_of(every) => wrong(format!(
                ", and checkpoints come every {steps} steps: weights are the same in all processes only every {every} steps, so choose a multiple"
            )),
            _ => Ok(()),
        }
    }

    fn check_shards(&self, shards: usize, network: &Network) -> Result<(), Error> {
        let (rows, wrong) = (self.batch_size, |reason: String| Err(Error::Option(reason)));
        if !shards.is_power_of_two() {
            return wrong(format!("shards is {shards}: it must be a power of two, as 8"));
        }
        if !rows.is_multiple_of(shards) {
            let (below, above) = (rows / shards * shards, rows.next_multiple_of(shards));
            let right = if below > 0 { format!("{below} or {above}") } else { above.to_string() };
            return wrong(format!(
                "a batch of {rows} rows does not come in {shards} shards of as many rows each: a batch size of {right} does"
            ));
        }
        if self.accumulate != 1 {
            return wrong(format!(
                "accumulate is {}, and shards is {shards}: a process computes its shards one after another already, so write a batch size of {} rows without accumulate",
                self.accumulate,
                self.step_rows()
            ));
        }
        match network.first_batch_norm().filter(|_| shards > 1) {
            Some(location) => wrong(format!(
                "{location} (batch_norm) takes its statistics over the whole minibatch, and shards of it are computed apart: choose a layer_norm or a group_norm, or train in one process without shards"
            )),
            None => Ok(()),
        }
    }

    /// An adapter's tiling with the family and the picks that these options ask for, or else with the measured picks, or with those shipped for it on this version of Mesa.
    pub(crate) fn tiled(&self, adapter: Tiling, mesa_version: Option<u32>, measured: &Picks) -> Tiling {
        let family = self.family.unwrap_or(adapter.family);
        let shipped = if self.tuning == Tuning::Off { Picks::default() } else { tuning::shipped(family, mesa_version) };
        Tiling { family, picks: self.picks.clone().or(measured).or(&shipped), ..adapter }
    }

    /// The picks that were measured on this adapter before, if these options use them and the host keeps them.
    pub(crate) fn measured_before(&self, adapter: &AdapterSummary, host: &dyn Host) -> Picks {
        let cache = self.tuning_cache.as_deref().filter(|_| self.tuning == Tuning::Auto);
        let family = self.family.unwrap_or(adapter.family());
        let file = cache.and_then(|path| host.cache(path));
        file.map_or(Picks::default(), |file| tuning::cached(&*file, adapter, family))
    }

    /// The request for a plan that trains on this set.
    pub(crate) fn training_request<'a>(
        &'a self,
        network: &'a Network,
        set: SetShape,
        tiling: &'a Tiling,
    ) -> Request<'a> {
        let training = Training {
            optimizer: &self.optimizer,
            schedule: &self.schedule,
            clip: self.clip_grad_norm.map(Clip::Norm).or(self.clip_grad_value.map(Clip::Value)),
            skips_non_finite: self.non_finite == NonFinite::Skip,
            augmentation: self.augmentation,
            accumulate: self.accumulate as u32,
            shards: self.shards.map(|shards| Shards::of_process(shards as u32, 0, 1)),
            average: self.ema,
            groups: Groups::new(&self.groups),
        };
        let batch = match self.shards {
            Some(_) => self.part_rows(),
            // If the set has fewer rows than a minibatch, all rows are one minibatch.
            None => self.batch_size.min(set.layout.rows as usize),
        };
        Request { training: Some(training), ..self.evaluation_request(network, set, batch, tiling) }
    }

    /// The request for a plan that evaluates on this set in minibatches of `batch`.
    pub(crate) fn evaluation_request<'a>(
        &'a self,
        network: &'a Network,
        set: SetShape,
        batch: usize,
        tiling: &'a Tiling,
    ) -> Request<'a> {
        Request {
            network,
            loss: &self.loss,
            targets: set.targets,
            training: None,
            batch: batch as u32,
            set: set.layout,
            tiling,
            metrics: false,
        }
    }

    /// How many values the optimizer keeps beside each weight of every parameter: none beside those that are frozen.
    pub(crate) fn slots_of(&self, network: &Network) -> Vec<u32> {
        let slots = |is_frozen| if is_frozen { 0 } else { self.optimizer.slots() };
        self.frozen(network).into_iter().map(slots).collect()
    }

    /// Of every parameter, whether there is a moving average of it: of none that is frozen.
    pub(crate) fn averaged(&self, network: &Network) -> Vec<bool> {
        self.frozen(network).into_iter().map(|is_frozen| self.ema.is_some() && !is_frozen).collect()
    }

    /// Of every parameter, whether it is frozen whole. Groups that do not fit the network have been refused.
    fn frozen(&self, network: &Network) -> Vec<bool> {
        let treated = network.treated(&self.groups, &self.optimizer).unwrap_or_default();
        let is_frozen = |number: usize| treated.get(number).is_some_and(|treated| treated.is_frozen());
        (0..network.named_parameters().len()).map(is_frozen).collect()
    }

    /// The rows of a step: those of all minibatches whose gradients it adds up.
    pub(crate) fn step_rows(&self) -> usize {
        self.batch_size.saturating_mul(self.accumulate)
    }

    /// The rows whose gradients are computed at once: those of a minibatch, or of one of its shards.
    fn part_rows(&self) -> usize {
        self.batch_size / self.shards.unwrap_or(1)
    }

    /// Whether a kernel of the training step computes the norm of the whole gradient.
    pub(crate) fn computes_gradient_norm(&self) -> bool {
        self.clip_grad_norm.is_some() || self.non_finite == NonFinite::Skip
    }

    /// The step that a `fit` ends with, which must be one that the device can count to. `first` is the step in which the
    /// order's first epoch began.
    pub(crate) fn last_step(&self, done: u64, first: u64, per_epoch: u64) -> Result<u64, Error> {
        let last = match self.steps {
            Some(steps) => done.checked_add(steps),
            None => ((done - first) / per_epoch)
                .checked_add(self.epochs)
                .and_then(|epochs| epochs.checked_mul(per_epoch))
                .and_then(|steps| steps.checked_add(first)),
        };
        last.filter(|&last| last <= u64::from(u32::MAX)).ok_or_else(|| {
            Error::Option(format!(
                "that is more steps than the step counter reaches: {} at most, over all epochs",
                u32::MAX
            ))
        })
    }

    /// The order in which rows are visited.
    pub(crate) fn visiting(&self, order: Order) -> Visiting {
        let (batch_size, part_rows) = (self.step_rows(), self.part_rows());
        Visiting { order, batch_size, part_rows, seed: self.seed, shuffles: self.shuffle }
    }

    /// The values by which the windows of a set are sized, for a network of `outputs` outputs, on a device that binds buffers of at most `most_bytes` bytes.
    pub(crate) fn window_sizing(&self, outputs: usize, most_bytes: u64) -> WindowSizing<'_> {
        let TrainOptions { loss, memory_budget, .. } = self;
        WindowSizing { loss, outputs, batch_size: self.step_rows(), memory_budget: *memory_budget, most_bytes }
    }

    /// The step state that a run to `last_step` begins with, over a set of `rows` rows in minibatches of `batch`. The steps that were done or
    /// skipped before are 0 in it.
    pub(crate) fn first_state(&self, order: Order, rows: usize, batch: u32, last_step: u64) -> State {
        let Order { first_step, epochs_before, .. } = order;
        let (schedule, lr) = (&self.schedule, self.optimizer.lr);
        let fresh = State::new(rows, batch);
        let end = if schedule.by_epoch {
            epochs_before + (last_step - first_step).div_ceil(fresh.steps_per_epoch.into())
        } else {
            last_step
        };
        State {
            seed: [self.seed as u32, (self.seed >> 32) as u32],
            shuffle: self.shuffle.into(),
            first_step: first_step as u32,
            epochs_before: epochs_before as u32,
            by_epoch: schedule.by_epoch.into(),
            base_rate: lr as f32,
            warmup: schedule.warmup,
            warmup_start: schedule.start_factor as f32,
            schedule: schedule.device_values(end, lr),
            ..fresh
        }
    }
}
