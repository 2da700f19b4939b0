//! `wgrad train`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::config::{Run, Validation};
use super::interrupt::Interrupt;
use super::options::Train;
use super::out::Out;
use super::output::{Output, figures, grouped};
use super::screen::{self, Course};
use super::source::Rows;
use super::tensorboard::TensorBoard;
use super::watchers::Watcher;
use super::{report, resume, source};
use crate::{Activation, Checkpoint, Error, Event, Gpu, Loss, Model, Network, Trainer};

/// Trains, and says how the program ends: 0, or by the signal that broke it off.
pub(super) fn run(flags: &Train) -> Result<u8, Error> {
    let output = Output { json: flags.common.json };
    let interrupt = Interrupt::watch()?;
    let (run, checkpoint) = resume::run_of(flags)?;
    let mut out = run.out.as_deref().map(|folder| Out::take(folder, &run, checkpoint.is_some())).transpose()?;
    check_save(&run)?;
    // Opening a driver and unpacking a set take a tenth of a second each.
    let (gpu, sets) = std::thread::scope(|scope| {
        let opening = scope.spawn(|| super::open_gpu(&run.adapter));
        let sets = source::of_run(&run);
        (opening.join().unwrap_or_else(|_| Err(Error::Device("the driver crashed while it was opened".into()))), sets)
    });
    let (rows, validation) = sets?;
    let train = rows.at_hand();
    let mut trainer = match &checkpoint {
        Some(checkpoint) => resumed(gpu, flags, &run, checkpoint)?,
        None => begun(gpu, &run, &rows, validation.as_ref())?,
    };
    if let Some(code) = interrupt.exit_code() {
        output.text("Interrupted before the first step: nothing is written")?;
        return Ok(code);
    }
    let options = trainer.options().clone();
    let dispatches = trainer.plan(train)?.dispatches.len();
    let adapter = trainer.gpu().adapter();
    let parameters = trainer.network().parameters();
    output.event(json!({
        "event": "start", "adapter": adapter.name, "backend": adapter.backend, "driver": adapter.driver,
        "kind": adapter.kind.to_string(), "dispatches_per_step": dispatches, "parameters": parameters,
        "rows": rows.count(), "batch_size": options.batch_size, "seed": options.seed, "resumed": checkpoint.as_ref().map(Checkpoint::step),
    }))?;
    output.text(format_args!("{} ({}, {}, {})", adapter.name, adapter.kind, adapter.backend, adapter.driver))?;
    output.text(format_args!(
        "{}: {} parameters, {} rows, batches of {}, {dispatches} dispatches a step",
        shape(trainer.network()),
        grouped(parameters as u64),
        grouped(rows.count() as u64),
        options.batch_size,
    ))?;
    if let Some(checkpoint) = &checkpoint {
        output.text(format_args!("on from step {}: {}", grouped(checkpoint.step()), checkpoint.path().display()))?;
    }

    let started = Instant::now();
    let steps_per_epoch = rows.count().div_ceil(options.batch_size) as u64;
    let epochs = options.steps.map_or(options.epochs, |steps| steps.div_ceil(steps_per_epoch));
    let course = Course {
        epochs,
        steps: options.steps.unwrap_or(options.epochs.saturating_mul(steps_per_epoch)),
        batch_size: options.batch_size,
        device_bytes: trainer.device_bytes(train, validation.as_ref())?,
    };
    let nothing_left = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.step() >= course.steps);
    let mut watchers: Vec<Box<dyn Watcher + '_>> = Vec::new();
    if nothing_left {
        // Its end is made sure of: the last epoch is judged, and the model and the report are written.
        output.text("nothing left to do: all its steps are done; --epochs or --steps takes it further")?;
    } else {
        watchers.extend(screen::watcher(flags.screen, &output, course));
    }
    if let Some(out) = &mut out {
        out.begin(&run, &trainer, train, validation.as_ref())?;
        watchers.push(Box::new(out.metrics()?));
    }
    if let Some(folder) = &run.tensorboard {
        trainer.tell_parameters(true);
        watchers.push(Box::new(TensorBoard::create(folder, &trainer, train, checkpoint.is_some())?));
    }
    let began = trainer.steps_done();
    let mut written = Ok(());
    let mut interrupted = None;
    let mut told = |event: Event<'_>| {
        written = watchers.iter_mut().try_for_each(|watcher| watcher.hear(&event));
        interrupted = interrupt.exit_code();
        if written.is_ok() && interrupted.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let history = match &rows {
        Rows::Set(set) => trainer.fit_with(set, validation.as_ref(), &mut told),
        Rows::Stored(stored, _) => trainer.fit_from(stored, validation.as_ref(), &mut told),
    };
    // The screen leaves the terminal to what is said now.
    drop(watchers);
    let history = match history {
        Ok(history) => history,
        Err(error) => return Err(saved_before(error, &output, &run, &mut trainer, began)),
    };

    // Saved even where nobody reads our output any more; but not where nothing was trained.
    let trained = !history.epochs.is_empty();
    if trained {
        trainer.save(&run.save)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let state = match &written {
        Ok(()) if interrupted.is_none() => "finished",
        Ok(()) | Err(Error::Output(_)) => "interrupted",
        Err(_) => "failed",
    };
    let mut reported = Ok(());
    if let Some(out) = &mut out {
        reported = out.end(state, seconds, Some(trainer.steps_done()));
        if trained && reported.is_ok() {
            reported = report::write(out, &mut trainer, &history, train, validation.as_ref());
        }
    }
    // What went wrong first is what is told.
    written.and(reported)?;
    // The epoch whose weights the model has.
    let last = history.kept.and_then(|kept| history.epochs.get(kept)).or(history.epochs.last());
    output.event(json!({
        "event": "end", "loss": last.map(|epoch| epoch.training.loss),
        "val_loss": last.and_then(|epoch| epoch.validation).map(|validation| validation.loss),
        "val_accuracy": last.and_then(|epoch| epoch.validation).and_then(|validation| validation.accuracy),
        "epoch": last.map(|epoch| epoch.epoch), "seconds": seconds, "model": trained.then_some(&run.save),
        "tiles": trainer.picks(train)?.iter().collect::<std::collections::BTreeMap<_, _>>(),
        "step": trainer.steps_done(), "interrupted": interrupted.is_some(),
    }))?;
    let reached = match last.map(|epoch| (epoch.training, epoch.validation)) {
        Some((_, Some(validation))) => {
            format!("validation {} on {} rows", figures(&validation), grouped(validation.rows))
        }
        Some((training, None)) => figures(&training),
        None => "no step done".into(),
    };
    if trained {
        if let (Some(_), Some(epoch)) = (history.kept, last) {
            output.text(format_args!("\nthe best epoch was {}", epoch.epoch))?;
        }
        output.text(format_args!("\n{reached}, in {seconds:.1} s. The model is in {}", run.save.display()))?;
    } else {
        output.text("\nno step done, and no model written")?;
    }
    if let Some(out) = out.filter(|_| trained) {
        output.text(format_args!("How it went is in {}", out.folder().join(report::PAGE).display()))?;
    }
    if let Some(code) = interrupted {
        let step = grouped(trainer.steps_done());
        output.text(match &options.checkpoint {
            Some(asked) => {
                format!("Interrupted after step {step}. It goes on with:  {}", resume::how_to(&asked.folder, &run))
            }
            None => format!("Interrupted after step {step}. With --checkpoint DIR it could go on from there."),
        })?;
        return Ok(code);
    }
    // A model with functions of the user's own takes more words than these.
    let brings_own = matches!(run.activation, Activation::Custom(_)) || matches!(run.options.loss, Loss::Custom(_));
    if trained && run.data == "mnist" && !brings_own {
        output.text(format_args!("See it read a digit:  wgrad predict --model {} --rows 0", run.save.display()))?;
    }
    Ok(0)
}

/// An error that ends a run, once what was trained is saved, where it can be: a full disk may hold no checkpoint, and the model elsewhere.
fn saved_before(error: Error, output: &Output, run: &Run, trainer: &mut Trainer, began: u64) -> Error {
    let is_worth_it = !matches!(error, Error::NonFinite { .. } | Error::NonFiniteResult(_));
    if is_worth_it && trainer.steps_done() > began {
        match trainer.save(&run.save) {
            Ok(()) => {
                let step = trainer.steps_done();
                // Where nobody reads what is said, the error is said still.
                let _ = output.event(json!({ "event": "saved", "step": step, "model": &run.save }));
                let _ = output.text(format_args!(
                    "\nThe model as it is after step {} is in {}",
                    grouped(step),
                    run.save.display()
                ));
            }
            Err(reason) => tracing::warn!(%reason, "what was trained is not saved"),
        }
    }
    error
}

/// A trainer at its first step.
fn begun(
    gpu: Result<Arc<Gpu>, Error>,
    run: &Run,
    rows: &Rows,
    validation: Option<&crate::Dataset>,
) -> Result<Trainer, Error> {
    let network = network(run, rows, validation);
    let init = run.init.as_ref().map(Model::read).transpose()?;
    if let (Some(model), Some(path)) = (&init, &run.init) {
        network.check_weights(&model.weights).map_err(|error| Error::format(path, error.to_string()))?;
    }
    run.options.check(&network)?;
    let mut trainer = Trainer::on(gpu?, network, run.options.clone())?;
    if let Some(model) = init {
        trainer.set_weights(&model.weights)?;
    }
    Ok(trainer)
}

/// A trainer that goes on, as far as the flags say.
fn resumed(gpu: Result<Arc<Gpu>, Error>, flags: &Train, run: &Run, checkpoint: &Checkpoint) -> Result<Trainer, Error> {
    let mut trainer = Trainer::resume(gpu?, checkpoint)?;
    trainer.set_checkpointing(run.options.checkpoint.clone());
    if flags.epochs.is_some() || flags.steps.is_some() {
        trainer.set_steps(flags.steps);
        trainer.set_epochs(flags.epochs.unwrap_or(trainer.options().epochs));
    }
    Ok(trainer)
}

/// The network for a run, its outputs inferred from the labels where the run does not say.
pub(super) fn network(run: &Run, rows: &Rows, validation: Option<&crate::Dataset>) -> Network {
    let train = rows.at_hand();
    let classes = rows.classes().max(validation.map_or(0, crate::Dataset::classes));
    // Two classes are one yes or no to the sigmoid.
    let inferred =
        if classes == 2 && matches!(run.options.loss, Loss::SigmoidCrossEntropy { .. }) && !train.labels().is_empty() {
            1
        } else {
            classes
        };
    let hidden = run.hidden.iter().zip(&run.dropout);
    hidden
        .fold(Network::new(train.width()), |network, (&width, &rate)| {
            network.dense(width, run.activation).dropout(rate)
        })
        .dense(run.outputs.unwrap_or(inferred), Activation::Identity)
}

/// That the model can be written, and not over what it is made from.
fn check_save(run: &Run) -> Result<(), Error> {
    let save = run.save.canonicalize().ok();
    let validation = match &run.validation {
        Some(Validation::Path(path)) => Some(path.as_str()),
        _ => None,
    };
    for source in [Some(run.data.as_str()), validation].into_iter().flatten() {
        if save.is_some() && save == Path::new(source).canonicalize().ok() {
            return Err(Error::Option(format!("--save {}: that is the data itself", run.save.display())));
        }
    }
    Model::check_writable(&run.save)
}

/// "784-256-10"
pub(super) fn shape(network: &Network) -> String {
    let widths: Vec<String> = std::iter::once(network.inputs())
        .chain(network.layers().iter().map(|layer| layer.outputs))
        .map(|width| width.to_string())
        .collect();
    widths.join("-")
}
