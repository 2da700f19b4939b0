//! The options of a run as JSON, in the tables and words of run.toml, for its checkpoints and for people.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::groups;
use super::table::Table;
use crate::augmentation::Augmentation;
use crate::error::Error;
use crate::gpu::Checks;
use crate::optimizer::{Optimizer, Rule};
use crate::options::{Checkpointing, EarlyStopping, Every, Monitor, ReduceOnPlateau, TrainOptions};
use crate::schedule::Schedule;
use crate::wgsl::Wgsl;

/// Everything but the loss, which a model file has, the tiles, which follow from the plan, and what changes no result. Of a function of the
/// user's own, its name.
pub(crate) fn to_json(options: &TrainOptions) -> Value {
    json!({
        "optimizer": optimizer_to_json(&options.optimizer),
        "groups": groups::to_json(&options.groups),
        "schedule": schedule_to_json(&options.schedule),
        "reduce_on_plateau": options.reduce_on_plateau.map(|plateau| json!({
            "factor": plateau.factor, "patience": plateau.patience, "threshold": plateau.threshold, "cooldown": plateau.cooldown,
            "min_lr": plateau.min_lr,
        })),
        "early_stopping": options.early_stopping.map(|early| json!({ "patience": early.patience, "min_delta": early.min_delta })),
        "augmentation": options.augmentation.map(|augmentation| json!({
            "crop_padding": augmentation.crop_padding, "flip": augmentation.flip, "cutout": augmentation.cutout,
        })),
        "train": {
            "epochs": options.epochs, "steps": options.steps, "batch_size": options.batch_size,
            "accumulate": options.accumulate, "shards": options.shards, "sync_every": options.sync_every, "shuffle": options.shuffle,
            "seed": options.seed, "clip_grad_norm": options.clip_grad_norm, "clip_grad_value": options.clip_grad_value,
            "non_finite": options.non_finite.to_string(), "lower_factor": options.lower_factor, "lower_times": options.lower_times,
            "keep_best": options.keep_best, "monitor": options.monitor.to_string(),
            "ema": options.ema, "initializer": options.initializer.to_string(), "tuning": options.tuning.to_string(),
            "memory_budget": options.memory_budget, "steps_per_submission": options.steps_per_submission,
            "checks": options.checks == Checks::On,
        },
        "checkpoint": options.checkpoint.as_ref().map(|checkpoint| json!({
            "every": checkpoint.every.to_string(), "keep": checkpoint.keep, "device_retries": checkpoint.device_retries,
        })),
    })
}

/// The reverse. The optimizer's rule is one of `own` where it has that name, the monitor the one that is brought where it has its, the loss the default, and checkpoints go to `folder`.
///
/// # Errors
///
/// [`Error::Option`] with the key that is missing, or has a value that cannot be used.
pub(crate) fn from_json(
    json: &Value,
    own: &[Rule],
    monitor: Option<Monitor>,
    folder: &Path,
) -> Result<TrainOptions, Error> {
    let table = |name: &'static str| Table::of(name, &json[name]);
    let optional = |name| if json[name].is_null() { Ok(None) } else { table(name).map(Some) };
    let train = table("train")?;
    let defaults = TrainOptions::default();
    Ok(TrainOptions {
        optimizer: optimizer_of(&table("optimizer")?, own)?,
        groups: groups::from_json(&json["groups"])?,
        schedule: schedule_of(&table("schedule")?)?,
        reduce_on_plateau: optional("reduce_on_plateau")?.map(|table| plateau_of(&table)).transpose()?,
        early_stopping: optional("early_stopping")?.map(|table| early_stopping_of(&table)).transpose()?,
        augmentation: optional("augmentation")?.map(|table| augmentation_of(&table)).transpose()?,
        epochs: train.count("epochs")?,
        steps: train.optional("steps").map(|_| train.count("steps")).transpose()?,
        batch_size: train.count("batch_size")? as usize,
        accumulate: train.optional("accumulate").map_or(Ok(1), |_| train.count("accumulate"))? as usize,
        shards: train.optional("shards").map(|_| train.count("shards")).transpose()?.map(|shards| shards as usize),
        sync_every: train.optional("sync_every").map(|_| train.count("sync_every")).transpose()?,
        shuffle: train.switch("shuffle")?,
        seed: train.count("seed")?,
        clip_grad_norm: train.optional("clip_grad_norm").map(|_| train.number("clip_grad_norm")).transpose()?,
        clip_grad_value: train.optional("clip_grad_value").map(|_| train.number("clip_grad_value")).transpose()?,
        non_finite: train.word("non_finite")?,
        // Those of earlier versions have neither.
        lower_factor: train
            .optional("lower_factor")
            .map_or(Ok(defaults.lower_factor), |_| train.number("lower_factor"))?,
        lower_times: train.optional("lower_times").map_or(Ok(defaults.lower_times), |_| train.count("lower_times"))?,
        keep_best: train.switch("keep_best")?,
        monitor: match monitor.filter(|own| train.text("monitor").is_ok_and(|word| word == own.to_string())) {
            Some(brought) => brought,
            None => train.word("monitor").map_err(not_brought)?,
        },
        ema: train.optional("ema").map(|_| train.number("ema")).transpose()?,
        initializer: train.word("initializer")?,
        tuning: train.word("tuning")?,
        memory_budget: train.optional("memory_budget").map(|_| train.count("memory_budget")).transpose()?,
        steps_per_submission: train
            .optional("steps_per_submission")
            .map(|_| train.count("steps_per_submission"))
            .transpose()?,
        checks: match train.optional("checks") {
            Some(_) if train.switch("checks")? => Checks::On,
            _ => Checks::Off,
        },
        checkpoint: optional("checkpoint")?.map(|table| checkpointing_of(&table, folder)).transpose()?,
        ..defaults
    })
}

fn plateau_of(table: &Table<'_>) -> Result<ReduceOnPlateau, Error> {
    Ok(ReduceOnPlateau {
        factor: table.number("factor")?,
        patience: table.count("patience")?,
        threshold: table.number("threshold")?,
        cooldown: table.count("cooldown")?,
        min_lr: table.number("min_lr")?,
    })
}

fn early_stopping_of(table: &Table<'_>) -> Result<EarlyStopping, Error> {
    Ok(EarlyStopping { patience: table.count("patience")?, min_delta: table.number("min_delta")? })
}

fn augmentation_of(table: &Table<'_>) -> Result<Augmentation, Error> {
    Ok(Augmentation {
        crop_padding: table.count_32("crop_padding")?,
        flip: table.switch("flip")?,
        cutout: table.count_32("cutout")?,
    })
}

fn checkpointing_of(table: &Table<'_>, folder: &Path) -> Result<Checkpointing, Error> {
    let (every, keep): (Every, _) = (table.word("every")?, table.count("keep")? as usize);
    let asked = Checkpointing { every, keep, ..Checkpointing::new(folder) };
    // Those of earlier versions have it not.
    let device_retries = match table.optional("device_retries") {
        Some(_) => table.count("device_retries")?,
        None => asked.device_retries,
    };
    Ok(Checkpointing { device_retries, ..asked })
}

/// An error about a name that may be one of the user's own.
fn not_brought(error: Error) -> Error {
    Error::Option(format!("{error}; one of your own has to be brought again"))
}

/// The checksums of the texts of a user's own functions: brought again, they must be the same.
pub(crate) fn own_texts(own: &[Wgsl]) -> Value {
    own.iter()
        .map(|own| (own.name.to_string(), Value::from(crc32fast::hash(own.source.as_bytes()))))
        .collect::<Map<_, _>>()
        .into()
}

fn optimizer_to_json(optimizer: &Optimizer) -> Value {
    let mut table = json!({ "kind": optimizer.name(), "lr": optimizer.lr, "weight_decay": optimizer.weight_decay });
    optimizer.values().into_iter().for_each(|(name, value)| table[name] = value.into());
    optimizer.switches().into_iter().for_each(|(name, on)| table[name] = on.into());
    table
}

fn optimizer_of(table: &Table<'_>, own: &[Rule]) -> Result<Optimizer, Error> {
    let kind = table.text("kind")?;
    let brought = own.iter().map(|&rule| Optimizer::new(rule)).find(|own| own.name() == kind);
    let mut optimizer = brought.map_or_else(|| Optimizer::from_name(kind).map_err(not_brought), Ok)?;
    optimizer.lr = table.number("lr")?;
    optimizer.weight_decay = table.number("weight_decay")?;
    for (name, value) in table.entries().filter(|(name, _)| !["kind", "lr", "weight_decay"].contains(name)) {
        match value.as_bool() {
            Some(on) => optimizer.switch(name, on)?,
            None => optimizer.set(name, table.number(name)?)?,
        }
    }
    Ok(optimizer)
}

fn schedule_to_json(schedule: &Schedule) -> Value {
    let mut table = json!({ "kind": schedule.name(), "by_epoch": schedule.by_epoch });
    schedule.values().into_iter().for_each(|(name, value)| table[name] = value.into());
    table
}

fn schedule_of(table: &Table<'_>) -> Result<Schedule, Error> {
    let mut schedule = Schedule::from_name(table.text("kind")?)?;
    schedule.by_epoch = table.switch("by_epoch")?;
    for (name, _) in table.entries().filter(|(name, _)| !["kind", "by_epoch"].contains(name)) {
        schedule.set(name, table.number(name)?)?;
    }
    Ok(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds an augmentation that a resumed run has not, or has otherwise, and a checkpoint of earlier versions that is refused for having none.
    #[test]
    fn augmentation_comes_back() {
        let back = |json: &Value| from_json(json, &[], None, Path::new("cks")).unwrap().augmentation;
        for augmentation in [None, Some(Augmentation { crop_padding: 4, flip: true, cutout: 9 })] {
            let mut json = to_json(&TrainOptions { augmentation, ..TrainOptions::default() });
            assert_eq!(back(&json), augmentation);
            json.as_object_mut().unwrap().remove("augmentation");
            assert_eq!(back(&json), None);
        }
    }
}
