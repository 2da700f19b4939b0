//! run.toml, and how it and the flags become one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::clock::now;
use super::hints;
use super::layers::{Layers, ModelTable};
use super::opening::cache_folder;
use super::optimizer::OptimizerTable;
use super::options::Train;
use super::reading::{Data, Validation, chosen};
use super::size::Size;
use super::training_set::TrainingSet;
use super::unfit::Given;
use crate::augmentation::Augmentation;
use crate::data::ReadOptions;
use crate::error::Error;
use crate::gpu::AdapterChoice;
use crate::loss::{Loss, Setting, Task};
use crate::named::counted;
use crate::options::{Checkpointing, Every};
use crate::options::{EarlyStopping, ReduceOnPlateau, TrainOptions};
use crate::preprocessing::ScaleBy;
use crate::schedule::Schedule;

/// The loss' setting that can be computed from the set, and the word that asks for it.
const CLASS_WEIGHTS: &str = "class_weights";
const BALANCED: &str = "balanced";

/// The settings of a run, from flags, run.toml and defaults.
pub(super) struct Run {
    pub data: String,
    pub validation: Option<Validation>,
    /// Whether a validation fraction has every class in proportion.
    pub stratify: bool,
    pub reading: ReadOptions,
    /// The flags for reading, without what the file says.
    pub flags: Given,
    pub scaling: ScaleBy,
    pub scale_targets: ScaleBy,
    pub layers: Layers,
    pub options: TrainOptions,
    pub init: Option<PathBuf>,
    /// The text of run.toml.
    pub config: Option<String>,
    /// The run's folder.
    pub out: Option<PathBuf>,
    /// The row whose image the report shows with what convolutions make of it.
    pub report_image: Option<usize>,
    pub save: PathBuf,
    /// When the run began, which identifies it.
    pub started: String,
    /// The folder of TensorBoard's event files.
    pub tensorboard: Option<PathBuf>,
    pub adapter: AdapterChoice,
    /// Whether the class weights are computed from the training rows.
    balanced: bool,
    /// Notes on decisions, besides those of the sets.
    pub notes: Vec<String>,
}

/// The tables of run.toml.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub data: Data,
    pub model: ModelTable,
    loss: LossTable,
    optimizer: OptimizerTable,
    schedule: ScheduleTable,
    reduce_on_plateau: Option<PlateauTable>,
    early_stopping: Option<EarlyTable>,
    augmentation: AugmentationTable,
    train: TrainTable,
    tiles: BTreeMap<String, String>,
}

/// The keys besides `kind` are settings of the loss, which refuses unknown ones.
#[derive(Deserialize, Default)]
#[serde(default)]
struct LossTable {
    kind: Option<String>,
    #[serde(flatten)]
    values: BTreeMap<String, LossValue>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "a loss' value is a number, a list of numbers, or \"balanced\"")]
enum LossValue {
    Number(f64),
    List(Vec<f64>),
    Word(String),
}

impl LossTable {
    /// Whether the classes are to be weighted so that all count the same.
    fn is_balanced(&self) -> bool {
        matches!(self.values.get(CLASS_WEIGHTS), Some(LossValue::Word(word)) if word == BALANCED)
    }

    /// The loss that the table and a flag describe.
    fn with(&self, flag: Option<&str>) -> Result<Loss, Error> {
        let mut loss = match flag.or(self.kind.as_deref()) {
            Some(path) if path.ends_with(".wgsl") => Loss::read(path)?,
            Some(name) => Loss::from_name(name)?,
            None => Loss::default(),
        };
        for (name, value) in &self.values {
            let setting = match value.clone() {
                LossValue::Number(number) => Setting::Number(number),
                LossValue::List(list) => Setting::List(list),
                // The weights are computed once the set is read; here the loss only has to have this setting.
                LossValue::Word(word) if word == BALANCED && name == CLASS_WEIGHTS => Setting::List(Vec::new()),
                LossValue::Word(word) => {
                    return Err(Error::Option(format!(
                        "{name} = \"{word}\": a loss' values are numbers; only {CLASS_WEIGHTS} can be \"{BALANCED}\""
                    )));
                }
            };
            loss.set(name, setting)?;
        }
        Ok(loss)
    }
}

/// The keys besides `kind` and `by_epoch` are settings of the schedule, which refuses unknown ones.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ScheduleTable {
    kind: Option<String>,
    by_epoch: bool,
    #[serde(flatten)]
    values: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PlateauTable {
    factor: f64,
    patience: u64,
    threshold: f64,
    cooldown: u64,
    min_lr: f64,
}

impl Default for PlateauTable {
    fn default() -> Self {
        let ReduceOnPlateau { factor, patience, threshold, cooldown, min_lr } = ReduceOnPlateau::default();
        PlateauTable { factor, patience, threshold, cooldown, min_lr }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EarlyTable {
    patience: u64,
    #[serde(default)]
    min_delta: f64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AugmentationTable {
    crop_padding: u32,
    flip: bool,
    cutout: u32,
}

impl AugmentationTable {
    /// The augmentation that the table and the flags describe, if it changes anything.
    fn with(&self, flags: &Train) -> Option<Augmentation> {
        let augmentation = Augmentation {
            crop_padding: flags.crop_padding.unwrap_or(self.crop_padding),
            flip: flags.flip.unwrap_or(self.flip),
            cutout: flags.cutout.unwrap_or(self.cutout),
        };
        (augmentation != Augmentation::default()).then_some(augmentation)
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TrainTable {
    epochs: Option<u64>,
    steps: Option<u64>,
    batch_size: Option<usize>,
    accumulate: Option<usize>,
    shards: Option<usize>,
    sync_every: Option<u64>,
    shuffle: Option<bool>,
    seed: Option<u64>,
    clip_grad_norm: Option<f64>,
    clip_grad_value: Option<f64>,
    non_finite: Option<String>,
    lower_factor: Option<f64>,
    lower_times: Option<u64>,
    ema: Option<f64>,
    keep_best: Option<bool>,
    monitor: Option<String>,
    init: Option<PathBuf>,
    out: Option<PathBuf>,
    report_image: Option<usize>,
    save: Option<PathBuf>,
    tensorboard: Option<PathBuf>,
    adapter: Option<String>,
    tuning: Option<String>,
    memory_budget: Option<String>,
    checkpoint: Option<PathBuf>,
    checkpoint_every: Option<Interval>,
    checkpoint_keep: Option<usize>,
    device_retries: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "checkpoint_every is a number of steps, or a time as \"5m\"")]
enum Interval {
    Steps(u64),
    Words(String),
}

impl TrainTable {
    /// The number of steps, where the run's length is not in epochs.
    fn steps(&self, flags: &Train) -> Result<Option<u64>, Error> {
        if self.epochs.is_some() && self.steps.is_some() {
            let reason = "epochs and steps under [train] both say how long the run is: leave one of them out";
            return Err(Error::Option(reason.into()));
        }
        // A flag in epochs takes the place of the file's steps.
        Ok(flags.steps.or(self.steps.filter(|_| flags.epochs.is_none())))
    }

    /// The folder and the interval of checkpoints, if there are any.
    fn checkpointing(&self, flags: &Train) -> Result<Option<Checkpointing>, Error> {
        let every = match (flags.checkpoint_every, &self.checkpoint_every) {
            (Some(every), _) => Some(every),
            (None, Some(Interval::Steps(steps))) => Some(Every::Steps(*steps)),
            (None, Some(Interval::Words(words))) => Some(words.parse()?),
            (None, None) => None,
        };
        let keep = flags.checkpoint_keep.or(self.checkpoint_keep);
        let device_retries = flags.device_retries.or(self.device_retries);
        match flags.checkpoint.as_ref().or(self.checkpoint.as_ref()) {
            Some(folder) => {
                let asked = Checkpointing::new(folder);
                Ok(Some(Checkpointing {
                    every: every.unwrap_or(asked.every),
                    keep: keep.unwrap_or(asked.keep),
                    device_retries: device_retries.unwrap_or(asked.device_retries),
                    ..asked
                }))
            }
            None if every.is_some() || keep.is_some() || device_retries.is_some() => {
                Err(Error::Option("checkpoints have no folder: name one with --checkpoint DIR".into()))
            }
            None => Ok(None),
        }
    }
}

impl Run {
    /// The run that the flags, their file and the defaults describe.
    pub fn new(flags: &Train) -> Result<Run, Error> {
        let Some(path) = flags.config.as_deref() else { return Run::of(flags, None) };
        let missing = |error| match error {
            Error::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => Error::Option(format!(
                "--config {}: {source}; it names a file of options in TOML, a run.toml, and flags alone need none",
                path.display()
            )),
            error => error,
        };
        let text = crate::files::read_text(path).map_err(missing)?;
        Run::of(flags, Some((&text, path)))
    }

    /// As [`new`](Self::new), with the text of run.toml and its path.
    pub fn of(flags: &Train, config: Option<(&str, &Path)>) -> Result<Run, Error> {
        let file = config.map_or_else(|| Ok(File::default()), |(text, path)| File::parse(text, path))?;
        let defaults = TrainOptions::default();
        let (checkpoint, steps) = (file.train.checkpointing(flags)?, file.train.steps(flags)?);
        let loss = file.loss.with(flags.loss.as_deref())?;
        let out = flags.out.clone().or(file.train.out);
        let model = out.as_deref().unwrap_or(Path::new("")).join("model.safetensors");
        Ok(Run {
            balanced: file.loss.is_balanced(),
            notes: Vec::new(),
            stratify: file.data.stratify,
            reading: file.data.reading(flags, &loss)?,
            flags: Given::of(&Data::default().reading(flags, &loss)?),
            scaling: chosen(flags.scaling, file.data.scaling)?.unwrap_or_default(),
            scale_targets: scale_targets(chosen(flags.scale_targets, file.data.scale_targets)?, &loss)?,
            data: flags.data.clone().or(file.data.train).unwrap_or_else(|| "mnist".into()),
            validation: flags.validation.as_deref().map(Validation::from_flag).or(file.data.validation),
            options: TrainOptions {
                loss,
                optimizer: file.optimizer.with(flags)?,
                groups: file.optimizer.groups(),
                ema: flags.updates.ema.or(file.train.ema),
                schedule: file.schedule.with(flags)?,
                reduce_on_plateau: file.reduce_on_plateau.map(ReduceOnPlateau::from),
                early_stopping: early_stopping(flags.early_stopping, file.early_stopping),
                keep_best: flags.keep_best.or(file.train.keep_best).unwrap_or(false),
                monitor: chosen(flags.monitor, file.train.monitor)?.unwrap_or_default(),
                clip_grad_norm: flags.clip_grad_norm.or(file.train.clip_grad_norm),
                clip_grad_value: flags.clip_grad_value.or(file.train.clip_grad_value),
                non_finite: chosen(flags.non_finite, file.train.non_finite)?.unwrap_or_default(),
                lower_factor: file.train.lower_factor.unwrap_or(defaults.lower_factor),
                lower_times: file.train.lower_times.unwrap_or(defaults.lower_times),
                augmentation: file.augmentation.with(flags),
                initializer: chosen(flags.initializer, file.model.initializer.clone())?.unwrap_or_default(),
                batch_size: flags.batch_size.or(file.train.batch_size).unwrap_or(defaults.batch_size),
                accumulate: flags.updates.accumulate.or(file.train.accumulate).unwrap_or(1),
                shards: flags.updates.shards.or(file.train.shards),
                sync_every: flags.updates.sync_every.or(file.train.sync_every),
                epochs: flags.epochs.or(file.train.epochs).unwrap_or(defaults.epochs),
                steps,
                shuffle: flags.no_shuffle.map(|no| !no).or(file.train.shuffle).unwrap_or(true),
                seed: flags.seed.or(file.train.seed).unwrap_or(0),
                checkpoint,
                tuning: chosen(flags.tuning, file.train.tuning)?.unwrap_or_default(),
                memory_budget: chosen(flags.memory_budget, file.train.memory_budget)?.map(|Size(bytes)| bytes),
                tuning_cache: cache_folder().map(|folder| folder.join("tuning.json")),
                picks: file.tiles.into_iter().collect(),
                ..defaults
            },
            layers: file.model.layers(flags, config.map_or(Path::new(""), |(_, path)| path))?,
            init: flags.init.clone().or(file.train.init),
            save: flags.save.clone().or(file.train.save).unwrap_or(model),
            out,
            report_image: flags.report_image.or(file.train.report_image),
            started: now(),
            config: config.map(|(text, _)| text.into()),
            tensorboard: flags.tensorboard.clone().or(file.train.tensorboard),
            adapter: chosen(flags.common.adapter.clone(), file.train.adapter)?.unwrap_or_default(),
        })
    }
}

impl Run {
    /// Adds notes on decisions, and says them at once.
    pub fn note_all(&mut self, notes: impl IntoIterator<Item = String>) {
        for note in notes {
            tracing::warn!("{note}");
            self.notes.push(note);
        }
    }

    /// Computes the settings that depend on the set: balanced class weights, and a batch of all rows if there are fewer than a batch.
    pub fn settle(&mut self, train: &TrainingSet) -> Result<(), Error> {
        if self.balanced {
            let TrainingSet::Whole(set) = train else {
                return Err(Error::Option(
                    "class_weights = \"balanced\" needs all labels, and the set is read in windows".into(),
                ));
            };
            self.options.loss.set(CLASS_WEIGHTS, Setting::List(set.balanced_class_weights()?))?;
        }
        let rows = train.source().rows();
        // Of shards, some have no rows then.
        if self.options.batch_size > rows && self.options.shards.is_none() {
            let note = format!(
                "the set has {}, fewer than a batch of {}: each batch has all of them",
                counted(rows, "row"),
                self.options.batch_size
            );
            self.note_all([note]);
            self.options.batch_size = rows;
        }
        Ok(())
    }
}

/// The early stopping that a flag and the file's table describe.
fn early_stopping(flag: Option<u64>, table: Option<EarlyTable>) -> Option<EarlyStopping> {
    let patience = flag.or(table.as_ref().map(|table| table.patience))?;
    Some(EarlyStopping { patience, min_delta: table.map_or(0.0, |table| table.min_delta) })
}

/// The scaling of the targets, which only a regression loss allows.
fn scale_targets(asked: Option<ScaleBy>, loss: &Loss) -> Result<ScaleBy, Error> {
    match asked.unwrap_or_default() {
        by if by != ScaleBy::None && loss.task() != Task::Numbers => Err(Error::Option(format!(
            "--scale-targets {by}: the targets of {} are not numbers to predict; only those of mse, mae and huber are scaled",
            loss.name()
        ))),
        by => Ok(by),
    }
}

impl From<PlateauTable> for ReduceOnPlateau {
    fn from(table: PlateauTable) -> Self {
        let PlateauTable { factor, patience, threshold, cooldown, min_lr } = table;
        ReduceOnPlateau { factor, patience, threshold, cooldown, min_lr }
    }
}

impl ScheduleTable {
    /// The schedule that the table and the flags describe.
    fn with(&self, flags: &Train) -> Result<Schedule, Error> {
        let mut schedule = match flags.schedule.as_deref().or(self.kind.as_deref()) {
            Some(name) => Schedule::from_name(name)?,
            None => Schedule::default(),
        };
        schedule.by_epoch = self.by_epoch;
        for (name, &number) in &self.values {
            schedule.set(name, number)?;
        }
        schedule.warmup = flags.warmup.unwrap_or(schedule.warmup);
        Ok(schedule)
    }
}

impl File {
    /// The tables of a run.toml.
    pub fn read(path: &Path) -> Result<File, Error> {
        File::parse(&crate::files::read_text(path)?, path)
    }

    /// The loss that the file and a flag describe, if the file says anything of one.
    pub fn loss(&self, flag: Option<&str>) -> Result<Option<Loss>, Error> {
        let LossTable { kind, values } = &self.loss;
        let mut table = LossTable { kind: kind.clone(), values: values.clone() };
        // Such weights are computed from a training set.
        table.values.retain(|name, _| name != CLASS_WEIGHTS || !self.loss.is_balanced());
        let is_there = kind.is_some() || !values.is_empty();
        is_there.then(|| table.with(flag)).transpose()
    }

    /// What the file says of a run's set, and a model without that set cannot have: a sentence each.
    pub fn of_the_set(&self) -> Vec<String> {
        let scales = |how: &Option<String>| how.clone().filter(|how| how != "none");
        let features = scales(&self.data.scaling).map(|how| {
            format!(
                "scaling = \"{how}\" under [data] is not taken, as its numbers come from the training rows: rows have to be scaled in the same way before"
            )
        });
        let targets = scales(&self.data.scale_targets).map(|how| {
            format!(
                "scale_targets = \"{how}\" under [data] is not taken, as its numbers come from the training rows: the model's answers are scaled targets"
            )
        });
        let weights = self.loss.is_balanced().then(|| {
            format!(
                "{CLASS_WEIGHTS} = \"{BALANCED}\" under [loss] is not taken, as its numbers come from the training rows: evaluate counts all classes' rows alike"
            )
        });
        features.into_iter().chain(targets).chain(weights).collect()
    }

    fn parse(text: &str, path: &Path) -> Result<File, Error> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let unknown = error.message().strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
            let hint = unknown.and_then(hints::hint).map_or(String::new(), |hint| format!("\nhint: {hint}"));
            let key = error.span().and_then(|at| text.get(..at.start)?.lines().last()?.split('=').next());
            let what =
                if key.is_some_and(|key| key.trim() == "report_image") { "a row number" } else { "a whole number" };
            // The parser names Rust's types.
            let reason = ["usize", "u64", "u32"].iter().fold(error.to_string(), |reason, name| {
                reason.replace(&format!("expected {name}"), &format!("expected {what}, 0 or more"))
            });
            let reason = reason.replace("` as i128, expected a whole number", "`, expected a smaller one");
            Error::format(path, format!("{}{hint}", reason.trim_end()))
        })
    }
}
