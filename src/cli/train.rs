//! `wgrad train`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::config::Run;
use super::fit_together::{check, check_sets, network};
use super::interrupt::Interrupt;
use super::observers::Observer;
use super::opening::{check_ending, open_one_of};
use super::options::{Screen, Train};
use super::out::Out;
use super::output::{Output, figures, grouped, grouped_of};
use super::processes::{Joined, SHARDS};
use super::reading::Validation;
use super::report::Chosen;
use super::screen::{self, Course, length};
use super::source;
use super::tensorboard::TensorBoard;
use super::training_set::TrainingSet;
use super::{init, report, resume};
use crate::checkpoint::Checkpoint;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::history::{Event, History};
use crate::loss::Loss;
use crate::model::Model;
use crate::named::counted;
use crate::trainer::Trainer;
use crate::weights::LayerWeights;

/// Trains, and returns the exit code: 0, or that of the signal that interrupted it.
pub(super) fn run(flags: &Train) -> Result<u8, Error> {
    // This has to run before the first other thread, on which the adapter is opened.
    crate::gpu::quiet_drivers();
    let interrupt = Interrupt::watch()?;
    let joined = Joined::join()?;
    let mut is_trained = false;
    let result = run_joined(flags, joined.as_ref(), &interrupt, &mut is_trained);
    let Some(joined) = joined else { return result };
    match result {
        // Of the same step in all processes: the first says so, once it has saved what it can.
        Err(error @ (Error::NonFinite { .. } | Error::NonFiniteResult(_))) => {
            if joined.speaks() {
                Err(error)
            } else {
                Ok(error.exit_code())
            }
        }
        // The others wait for this one until the last step.
        Err(error) if !is_trained => {
            joined.end_all(&error, &interrupt);
            Err(error)
        }
        result => result,
    }
}

/// The same, as one of several processes where there are others.
fn run_joined(
    flags: &Train,
    joined: Option<&Joined>,
    interrupt: &Interrupt,
    is_trained: &mut bool,
) -> Result<u8, Error> {
    let mut ready = Ready::new(flags, joined)?;
    // Other processes may have heard of it later, and would wait for this one: among them it ends the first step.
    if let Some(code) = interrupt.exit_code().filter(|_| joined.is_none()) {
        ready.output.text("Interrupted before the first step: nothing is written")?;
        return Ok(code);
    }
    ready.introduce()?;
    match ready.train(flags.screen, interrupt, joined) {
        Ok(trained) => {
            *is_trained = true;
            ready.conclude(trained)
        }
        Err(error) => {
            let is_at_beginning = ready.trainer.steps_done() == ready.began();
            if let Some(out) = &mut ready.out {
                out.failed(&error, is_at_beginning)?;
            }
            Err(error)
        }
    }
}

/// A run before its first step.
struct Ready {
    output: Output,
    run: Run,
    checkpoint: Option<Checkpoint>,
    out: Option<Out>,
    set: TrainingSet,
    validation: Option<Dataset>,
    trainer: Trainer,
    /// The image that the report shows.
    chosen: Chosen,
    /// Whether this process writes files and prints.
    speaks: bool,
}

/// A run after its last step.
struct Trained {
    history: History,
    seconds: f64,
    /// The first error of an observer, which ended the run.
    observed: Result<(), Error>,
    /// The exit code of the signal that ended it.
    interrupted: Option<u8>,
}

impl Ready {
    /// Reads the sets and the models, opens the adapter, and checks all of them.
    fn new(flags: &Train, joined: Option<&Joined>) -> Result<Self, Error> {
        let speaks = joined.is_none_or(Joined::speaks);
        let output = Output::of(flags.common.json);
        let output = if speaks { output } else { output.silent() };
        let (mut run, checkpoint) = resume::run_of(flags)?;
        if joined.is_some() {
            run.options.shards.get_or_insert(SHARDS);
        }
        if !speaks {
            (run.out, run.tensorboard) = (None, None);
        }
        let out = run.out.as_deref().map(|folder| Out::take(folder, &run, checkpoint.is_some())).transpose()?;
        if speaks {
            check_save(&run)?;
        }
        // Opening a driver and unpacking a set take a tenth of a second each.
        let number = joined.map_or(0, |joined| joined.local);
        let (gpu, sets) = std::thread::scope(|scope| {
            let opening = scope.spawn(|| open_one_of(&run.adapter, number));
            // A run that goes on has its scalings in its checkpoint.
            // The file may be of a run with the same functions of the user's own.
            let (activations, losses) = (run.layers.own_activations(), std::slice::from_ref(&run.options.loss));
            let read = |path: &PathBuf| Model::read_with(path, &activations, losses);
            let init = run.init.as_ref().filter(|_| checkpoint.is_none()).map(read).transpose();
            let sets = init.and_then(|init| Ok((source::of_run(&run, init.as_ref())?, init)));
            let crashed = || Error::Device("the driver crashed while it was opened".into());
            (opening.join().unwrap_or_else(|_| Err(crashed())), sets)
        });
        let ((set, validation), init) = sets?;
        run.settle(&set)?;
        let mut trainer = match &checkpoint {
            Some(checkpoint) => {
                let trainer = resumed(gpu, flags, &run, checkpoint)?;
                check_sets(&run, set.at_hand(), validation.as_ref(), trainer.network())?;
                trainer
            }
            None => begun(gpu, &mut run, init, &set, validation.as_ref())?,
        };
        if let Some(joined) = joined {
            trainer.among(Arc::clone(&joined.processes))?;
        }
        let chosen = Chosen::of(&run, trainer.network(), &set, validation.as_ref())?;
        Ok(Ready { output, run, checkpoint, out, set, validation, trainer, chosen, speaks })
    }

    /// The steps that were done before this call.
    fn began(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, Checkpoint::step)
    }

    /// The steps of the whole run.
    fn steps(&self) -> u64 {
        length(self.trainer.options(), &self.set).1
    }

    /// Whether all steps were done before. The last epoch is judged again then, and the model and the report are written: a run may have been killed
    /// between them and its last checkpoint.
    fn is_finished(&self) -> bool {
        self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.step() == self.steps())
    }

    /// Checks that a run that goes on is to end where it is, or later.
    fn check_length(&self) -> Result<(), Error> {
        match &self.checkpoint {
            Some(checkpoint) if checkpoint.step() > self.steps() => {
                let flag = if self.trainer.options().steps.is_some() { "--steps" } else { "--epochs" };
                Err(Error::Option(format!(
                    "{} is at step {}: a run of {} has ended before it; ask for more with {flag}, or leave it out",
                    checkpoint.path().display(),
                    checkpoint.step(),
                    grouped_of(self.steps(), "step")
                )))
            }
            _ => Ok(()),
        }
    }

    /// Prints what is about to run.
    fn introduce(&self) -> Result<(), Error> {
        self.check_length()?;
        let Ready { output, checkpoint, trainer, .. } = self;
        let options = trainer.options();
        let rows = self.set.source().rows();
        let dispatches = trainer.plan(self.set.source())?.calls();
        let adapter = trainer.gpu().adapter();
        let parameters = trainer.network().parameters();
        let sets = [Some(self.set.at_hand()), self.validation.as_ref()].into_iter().flatten();
        let notes: Vec<&String> = sets.flat_map(Dataset::notes).chain(&self.run.notes).collect();
        output.event(json!({
            "event": "start", "adapter": adapter.name, "backend": adapter.backend, "driver": adapter.driver,
            "kind": adapter.kind.to_string(), "dispatches_per_step": dispatches, "parameters": parameters,
            "rows": rows, "batch_size": options.batch_size, "accumulate": options.accumulate, "shards": options.shards, "sync_every": options.sync_every, "seed": options.seed,
            "notes": notes, "resumed": checkpoint.as_ref().map(Checkpoint::step),
        }))?;
        output.text(format_args!("{} ({}, {}, {})", adapter.name, adapter.kind, adapter.backend, adapter.driver))?;
        let accumulated = match (options.accumulate, options.shards) {
            (_, Some(shards)) => {
                let averaged = options
                    .sync_every
                    .map(|every| format!(", weights averaged after every {}", counted(every as usize, "step")));
                let own = trainer.plan(self.set.source())?.parts();
                format!(" in {}, {own} of them here{}", counted(shards, "shard"), averaged.unwrap_or_default())
            }
            (1, None) => String::new(),
            (count, None) => format!(", {count} of them"),
        };
        output.text(format_args!(
            "{}: {} parameters, {}, batches of {}{accumulated}, {} a step",
            trainer.network().shape(),
            grouped(parameters as u64),
            grouped_of(rows as u64, "row"),
            options.batch_size,
            counted(dispatches, "dispatch"),
        ))?;
        if let Some(checkpoint) = checkpoint.as_ref().filter(|_| !self.is_finished()) {
            output.text(format_args!(
                "on from step {}: {}",
                grouped(checkpoint.step()),
                checkpoint.path().display()
            ))?;
        }
        Ok(())
    }

    /// Trains, with all observers, and saves the model.
    fn train(
        &mut self,
        screen: Option<Screen>,
        interrupt: &Interrupt,
        joined: Option<&Joined>,
    ) -> Result<Trained, Error> {
        let is_finished = self.is_finished();
        let Ready { output, run, checkpoint, out, set, validation, trainer, speaks, .. } = self;
        let validation = validation.as_ref();
        let started = Instant::now();
        trainer.report_parameters(run.tensorboard.is_some());
        let course = Course::of(trainer, set, validation)?;
        let mut observers: Vec<Box<dyn Observer + '_>> = Vec::new();
        if !is_finished && *speaks {
            observers.extend(screen::observer(screen, output, course));
        }
        if let Some(out) = out {
            out.begin(run, trainer, set, validation)?;
            observers.push(Box::new(out.metrics()?));
        }
        if let Some(folder) = &run.tensorboard {
            observers.push(Box::new(TensorBoard::create(folder, trainer, set.at_hand(), checkpoint.is_some())?));
        }
        let began = trainer.steps_done();
        let mut observed = Ok(());
        let mut interrupted = None;
        let mut observe = |event: Event<'_>| {
            for observer in &mut observers {
                // All observers receive the event, even if one fails; the first error is kept.
                let answer = observer.observe(&event);
                observed = std::mem::replace(&mut observed, Ok(())).and(answer);
            }
            interrupted = interrupt.exit_code();
            if observed.is_ok() && interrupted.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let history = match set {
            TrainingSet::Whole(set) => trainer.fit_with(set, validation, &mut observe),
            TrainingSet::Stored(stored, _) => trainer.fit_from(stored, validation, &mut observe),
        };
        // The screen releases the terminal for what is printed now.
        drop(observers);
        let history = match history {
            Err(error) if *speaks => return Err(saved_before(error, output, run, trainer, began)),
            history => history?,
        };
        // A signal may have reached another process alone.
        let interrupted = joined.map_or(Ok(interrupted), |joined| joined.exit_code(interrupted))?;
        // The model is saved even if the output is no longer read, but not if nothing was trained.
        if !history.epochs.is_empty() && *speaks {
            trainer.save(&run.save)?;
        }
        Ok(Trained { history, seconds: started.elapsed().as_secs_f64(), observed, interrupted })
    }

    /// Prints and writes how the run went.
    fn conclude(mut self, trained: Trained) -> Result<u8, Error> {
        let Trained { history, seconds, observed, interrupted } = trained;
        let steps_done = self.trainer.steps_done();
        if let Some(out) = &mut self.out {
            let state = match &observed {
                Ok(()) if interrupted.is_none() => "finished",
                Ok(()) | Err(Error::Output(_)) => "interrupted",
                Err(error) => {
                    out.failed(error, false)?;
                    "failed"
                }
            };
            out.end(state, Some(steps_done))?;
        }
        let said = observed.and_then(|()| self.say_the_end(&history, seconds, interrupted));
        // Everything is printed even if the report cannot be written.
        let reported = match self.out.take().filter(|_| !history.epochs.is_empty()) {
            Some(out) => {
                let Ready { trainer, set, validation, chosen, .. } = &mut self;
                report::write(&out, trainer, &history, set, validation.as_ref(), *chosen)
                    .and_then(|()| self.say_where(&out))
            }
            None => Ok(()),
        };
        said.and(reported)?;
        let output = &self.output;
        if self.is_finished() && interrupted.is_none() {
            return self.say_how_to_extend().map(|()| 0);
        }
        if let Some(code) = interrupted {
            let step = grouped(steps_done);
            output.text(match &self.trainer.options().checkpoint {
                Some(asked) => {
                    let how = resume::how_to(&asked.folder, &self.run);
                    format!("Interrupted after step {step}. It goes on with:  {how}")
                }
                None => format!("Interrupted after step {step}. With --checkpoint DIR it could go on from there."),
            })?;
            return Ok(code);
        }
        let run = &self.run;
        // A model with the user's own functions needs more options than this command has.
        let brings_own = !run.layers.own_activations().is_empty() || matches!(run.options.loss, Loss::Custom(_));
        if !history.epochs.is_empty() && run.data == "mnist" && !brings_own {
            output.text(format_args!("See it read a digit:  wgrad predict --model {} --rows 0", run.save.display()))?;
        }
        Ok(0)
    }

    fn say_the_end(&self, history: &History, seconds: f64, interrupted: Option<u8>) -> Result<(), Error> {
        let Ready { output, run, trainer, .. } = self;
        // The epoch whose weights the model has.
        let last = history.kept.and_then(|kept| history.epochs.get(kept)).or(history.epochs.last());
        output.event(json!({
            "event": "end", "loss": last.map(|epoch| epoch.training.loss),
            "val_loss": last.and_then(|epoch| epoch.validation).map(|validation| validation.loss),
            "val_accuracy": last.and_then(|epoch| epoch.validation).and_then(|validation| validation.accuracy),
            "epoch": last.map(|epoch| epoch.epoch), "seconds": seconds, "model": last.map(|_| &run.save),
            "tiles": trainer.picks(self.set.source())?.by_product(),
            "step": trainer.steps_done(), "interrupted": interrupted.is_some(), "finished_before": self.is_finished(),
        }))?;
        let Some(last) = last else { return output.text("\nno step done, and no model written") };
        if history.kept.is_some() {
            output.text(format_args!("\nthe best epoch was {}", last.epoch))?;
        }
        let reached = match &last.validation {
            Some(validation) => format!("validation {} on {}", figures(validation), grouped_of(validation.rows, "row")),
            None => figures(&last.training),
        };
        if self.is_finished() {
            let steps = grouped(trainer.steps_done());
            return output.text(format_args!(
                "\nThe run was finished before: all its {steps} steps are done, and none was done now.\n{reached}. The model is in {}",
                run.save.display()
            ));
        }
        output.text(format_args!("\n{reached}, in {seconds:.1} s. The model is in {}", run.save.display()))
    }

    /// Prints how a finished run is trained longer.
    fn say_how_to_extend(&self) -> Result<(), Error> {
        let options = self.trainer.options();
        let Some(asked) = &options.checkpoint else { return Ok(()) };
        let more = match options.steps {
            Some(steps) => format!("--steps {}", steps.saturating_mul(2)),
            None => format!("--epochs {}", options.epochs.saturating_mul(2)),
        };
        self.output.text(format_args!("To train longer:  {} {more}", resume::how_to(&asked.folder, &self.run)))
    }

    fn say_where(&self, out: &Out) -> Result<(), Error> {
        self.output.text(format_args!("How it went is in {}", out.folder().join(report::PAGE).display()))
    }
}

/// The error that ends a run, after the trained model is saved if it can be: the disk of the checkpoints may be full, and the model's not.
/// Where the first non-finite numbers were found, the trainer is at the step before them.
fn saved_before(error: Error, output: &Output, run: &Run, trainer: &mut Trainer, began: u64) -> Error {
    let is_finite = |layer: &LayerWeights| layer.weight.iter().chain(&layer.bias).all(|weight| weight.is_finite());
    let is_worth_it = match &error {
        Error::NonFinite { .. } | Error::NonFiniteResult(_) => {
            trainer.weights().is_ok_and(|weights| weights.layers.iter().all(is_finite))
        }
        _ => true,
    };
    if is_worth_it && trainer.steps_done() > began {
        match trainer.save(&run.save) {
            Ok(()) => {
                let step = trainer.steps_done();
                // The error is reported even where this cannot be written.
                let _ = output.event(json!({ "event": "saved", "step": step, "model": &run.save }));
                let best = if run.options.keep_best { "of the best epoch, or else " } else { "" };
                let _ = output.text(format_args!(
                    "\nThe model {best}after step {} is in {}",
                    grouped(step),
                    run.save.display()
                ));
            }
            Err(reason) => tracing::warn!(%reason, "the trained model could not be saved"),
        }
    }
    error
}

/// A trainer at its first step.
fn begun(
    gpu: Result<Arc<Gpu>, Error>,
    run: &mut Run,
    init: Option<Model>,
    set: &TrainingSet,
    validation: Option<&Dataset>,
) -> Result<Trainer, Error> {
    let network = network(run, set, validation)?;
    if let (Some(model), Some(path)) = (&init, &run.init) {
        let differences = init::check(path, model, run, &network)?;
        run.note_all(differences);
    }
    check(run, set, validation, &network)?;
    let mut trainer = Trainer::on(gpu?, network, run.options.clone())?;
    if let Some(model) = init {
        trainer.set_weights(&model.weights)?;
    }
    Ok(trainer)
}

/// A trainer that goes on from a checkpoint, as far as the flags say.
fn resumed(gpu: Result<Arc<Gpu>, Error>, flags: &Train, run: &Run, checkpoint: &Checkpoint) -> Result<Trainer, Error> {
    let mut trainer = Trainer::resume(gpu?, checkpoint)?;
    trainer.set_checkpointing(run.options.checkpoint.clone());
    if flags.epochs.is_some() || flags.steps.is_some() {
        trainer.set_steps(flags.steps);
        trainer.set_epochs(flags.epochs.unwrap_or(trainer.options().epochs));
    }
    Ok(trainer)
}

/// Checks that the model can be written, under a name by which it is read again, and would not replace its own data.
fn check_save(run: &Run) -> Result<(), Error> {
    let save = run.save.canonicalize().ok();
    let validation = match &run.validation {
        Some(Validation::Path(path)) => Some(path.as_str()),
        _ => None,
    };
    for source in [Some(run.data.as_str()), validation].into_iter().flatten() {
        if save.is_some() && save == Path::new(source).canonicalize().ok() {
            return Err(Error::Option(format!("--save {}: that is the file of the data", run.save.display())));
        }
    }
    Model::check_writable(&run.save)?;
    // A name without an ending is read as a model by every command; one with another ending is taken for another format.
    if run.save.extension().is_some() { check_ending(&run.save, "safetensors") } else { Ok(()) }
}
