//! What a checkpoint holds besides the model, and how it goes to a file and comes back.
//!
//! A checkpoint is a model file with more tensors: `optimizer.K.0.weight`, …, slot K of the optimizer beside each weight;
//! `state.best.0.weight`, …, the best epoch's weights where they are kept; `state.step` (u32), the step state as `shaders/step.wesl` has it;
//! `state.sums` (u32, [batch, 7]), the epoch's running sums (`shaders/stats.wesl`); `state.watch` (f64) and `state.history` (f64, a row an
//! epoch). The metadata's `checkpoint` has the rest: [`FORMAT`], the options, the position, the sets' checksums, the tiles.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::configuration::{self, Table};
use super::folder;
use crate::data::Fingerprint;
use crate::error::Error;
use crate::history::{Epoch, History, figures_of};
use crate::kernel::tiling::Picks;
use crate::loss::Loss;
use crate::model as files;
use crate::model::{Model, Tensor};
use crate::network::{Activation, Network};
use crate::optimizer::Rule;
use crate::options::Monitor;
use crate::options::TrainOptions;
use crate::options::watch::Watch;
use crate::plan::STATE_BYTES;
use crate::preprocessing::Origin;
use crate::run::runner::SKIPPED_WORD;
use crate::trainer::Order;
use crate::weights::{LayerWeights, Weights};
use crate::wgsl::Wgsl;

/// The version of what is described above. A later one reads the earlier ones.
const FORMAT: u64 = 1;

/// Where the checkpoints of a run go, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpointing {
    /// A folder of the run's own, made where it is not there. The files are named by their steps: `step-0000001500.safetensors`.
    pub folder: PathBuf,
    /// When one is due. While the one before it is still being written, it is left out: training waits for no disk.
    pub every: Every,
    /// How many are kept: older ones are deleted when a new one is in its place.
    pub keep: usize,
    /// How often a fit goes on by itself when its device fails: on another one of the same adapter, from its last checkpoint, or from its
    /// beginning where there is none yet. Above 0, the host keeps a copy of what that takes: the weights and the optimizer's values.
    pub device_retries: u64,
    /// Words to find again in the file, for the program's own use.
    pub notes: BTreeMap<String, String>,
}

impl Checkpointing {
    /// Every five minutes, the last three; a device may fail three times.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let every = Every::Time(Duration::from_secs(300));
        Checkpointing { folder: folder.into(), every, keep: 3, device_retries: 3, notes: BTreeMap::new() }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.keep == 0 {
            return Err(Error::Option("0 checkpoints are to be kept: it must be at least 1".into()));
        }
        match self.every {
            Every::Steps(0) | Every::Time(Duration::ZERO) => {
                Err(Error::Option("a checkpoint every 0 steps or seconds: it must be more".into()))
            }
            _ => Ok(()),
        }
    }
}

/// When a checkpoint is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After each step that so many divide, and after the last.
    Steps(u64),
    /// Whenever so much time has passed, and after the last step.
    Time(Duration),
}

impl FromStr for Every {
    type Err = Error;

    /// `500` steps, `30s`, `5m` or `2h`.
    fn from_str(words: &str) -> Result<Self, Error> {
        let refused =
            || Error::Option(format!("\"{words}\" is no interval: write steps as 500, or a time as 30s, 5m or 2h"));
        let (number, unit) = words.split_at(words.trim_end_matches(['s', 'm', 'h']).len());
        let number: u64 = number.parse().map_err(|_| refused())?;
        let seconds = match unit {
            "" => return Ok(Every::Steps(number)),
            "s" => Some(number),
            "m" => number.checked_mul(60),
            "h" => number.checked_mul(3600),
            _ => None,
        };
        seconds.map(|seconds| Every::Time(Duration::from_secs(seconds))).ok_or_else(refused)
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Steps(steps) => write!(f, "{steps}"),
            // Shorter ones, which only a program asks for, are a second to the file.
            Every::Time(time) => write!(f, "{}s", time.as_secs().max(1)),
        }
    }
}

/// What of a fit outlives a kill, besides what is on the device.
#[derive(Clone, Debug)]
pub(crate) struct Underway {
    /// The step in which the fit began.
    pub began: u64,
    /// The step in which the running sums began, and the steps skipped before it.
    pub sums_began: u64,
    pub skipped_before: u32,
    pub watch: Watch,
    pub history: History,
}

/// What is the same in every checkpoint of a fit.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub network: Network,
    pub loss: Loss,
    /// Of the training set.
    pub origin: Origin,
    pub options: TrainOptions,
    pub order: Order,
    pub train: Fingerprint,
    pub validation: Option<Fingerprint>,
    /// Name, driver and family.
    pub adapter: [String; 3],
    pub picks: Picks,
    pub notes: BTreeMap<String, String>,
}

/// A whole checkpoint in memory.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub run: Run,
    pub step: u64,
    pub underway: Underway,
    pub weights: Weights,
    /// Of the optimizer, by slot.
    pub slots: Vec<Weights>,
    pub best: Option<Weights>,
    /// The step state's words, and the running sums'.
    pub state: Vec<u32>,
    pub sums: Vec<u32>,
}

/// Words of an entry of the running sums.
const SUMS_WORDS: usize = 7;

impl Saved {
    /// Writes it into the folder, whole or not at all.
    pub fn write(self, folder: &Path) -> Result<(), Error> {
        let Saved { run, step, underway, weights, slots, best, state, sums } = self;
        let dropouts: Vec<f64> = run.network.layers().iter().map(|layer| layer.dropout).collect();
        let mut tensors: Vec<Tensor> = Vec::new();
        for (slot, values) in slots.iter().enumerate() {
            tensors.extend(files::tensors(&format!("optimizer.{slot}."), &dropouts, &values.layers));
        }
        if let Some(best) = &best {
            tensors.extend(files::tensors("state.best.", &dropouts, &best.layers));
        }
        let history: Vec<f64> = underway.history.epochs.iter().flat_map(figures_of).collect();
        let watch = underway.watch.figures();
        let epochs = underway.history.epochs.len();
        tensors.extend([
            Tensor::new("state.step", Dtype::U32, vec![state.len()], &state),
            Tensor::new("state.sums", Dtype::U32, vec![sums.len() / SUMS_WORDS, SUMS_WORDS], &sums),
            Tensor::new("state.watch", Dtype::F64, vec![watch.len()], &watch),
            Tensor::new("state.history", Dtype::F64, vec![epochs, Epoch::FIGURES], &history),
        ]);
        let set = |set: &Fingerprint| json!({ "rows": set.rows, "width": set.width, "crc32": set.crc32 });
        let [adapter, driver, family] = &run.adapter;
        let own = configuration::own_texts(own_of(&run).into_iter());
        let about = json!({ "checkpoint": {
            "format": FORMAT,
            "options": configuration::to_json(&run.options),
            "own": own,
            "position": {
                "step": step, "rows": run.order.rows, "first_step": run.order.first_step, "epochs_before": run.order.epochs_before,
                "began": underway.began, "sums_began": underway.sums_began, "skipped_before": underway.skipped_before,
                "kept": underway.history.kept, "lowered": underway.history.lowered,
            },
            "train": set(&run.train),
            "validation": run.validation.as_ref().map(set),
            "adapter": { "name": adapter, "driver": driver, "family": family },
            "tiles": run.picks.iter().collect::<BTreeMap<_, _>>(),
            "notes": run.notes,
        } });
        let model = Model::new(run.network, weights, run.loss).keeping(run.origin);
        model.write_with(&folder::file(folder, step), tensors, about)
    }
}

/// The functions of the user's own in a run.
fn own_of(run: &Run) -> Vec<&Wgsl> {
    let activations = run.network.layers().iter().filter_map(|layer| match &layer.activation {
        Activation::Custom(own) => Some(own),
        _ => None,
    });
    let loss = if let Loss::Custom(own) = &run.loss { Some(own) } else { None };
    let rule = if let Rule::Custom(own) = &run.options.optimizer.rule { Some(own) } else { None };
    activations.chain(loss).chain(rule).collect()
}

/// A run as a file has it, to go on with: [`Trainer::resume`](crate::Trainer::resume). It is a model file too: [`Model::read`] takes it.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
    about: Value,
    activations: Vec<Activation>,
    losses: Vec<Loss>,
    rules: Vec<Rule>,
    monitor: Option<Monitor>,
}

impl Checkpoint {
    /// Opens a checkpoint, or of a folder the newest that is whole: where a newer one is not, that is told and the one before it taken.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Format`] for a file that is no checkpoint, is not whole, or is of a later version; for a folder without one
    /// [`Error::Option`], or what is wrong with its newest.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Checkpoint::of_file(path);
        }
        let mut first = None;
        for (_, file) in folder::list(path)? {
            match Checkpoint::of_file(&file) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => {
                    tracing::warn!(%error, "a checkpoint is passed over");
                    first.get_or_insert(error);
                }
            }
        }
        let none = || Error::Option(format!("{} has no checkpoint, step-….safetensors", path.display()));
        Err(first.unwrap_or_else(none))
    }

    fn of_file(path: &Path) -> Result<Self, Error> {
        let checkpoint = Checkpoint::from_bytes(path, crate::files::read_whole(path)?)?;
        files::check_sums(path, &files::parse(path, &checkpoint.bytes)?, Some(&checkpoint.about))?;
        Ok(checkpoint)
    }

    /// [`open`](Self::open) from a file's bytes, whatever their checksums; the path is for messages. For fuzzing.
    #[doc(hidden)]
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        files::parse(path, &bytes)?;
        let about = files::about(path, &bytes)?.unwrap_or_default();
        let format = |reason: String| Err(Error::format(path, reason));
        match about["checkpoint"]["format"].as_u64() {
            None => return format("it is no checkpoint: a model, at most; --init begins anew with its weights".into()),
            Some(version) if version > FORMAT => {
                return format(format!(
                    "it is a checkpoint of format {version}, and this version of wgrad reads up to {FORMAT}"
                ));
            }
            Some(_) => {}
        }
        let (activations, losses, rules, monitor) = Default::default();
        Ok(Checkpoint { path: path.into(), about, bytes, activations, losses, rules, monitor })
    }

    /// That all of it can be gone on with, as [`Trainer::resume`](crate::Trainer::resume) finds it. For fuzzing.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), Error> {
        self.saved().map(drop)
    }

    /// Brings functions of the user's own: a file has their names and checksums, never their text.
    #[must_use]
    pub fn bringing(self, activations: &[Activation], losses: &[Loss], rules: &[Rule]) -> Self {
        Checkpoint { activations: activations.to_vec(), losses: losses.to_vec(), rules: rules.to_vec(), ..self }
    }

    /// Brings a figure of the user's own that epochs are judged by: a file has its name.
    #[must_use]
    pub fn bringing_monitor(self, monitor: Monitor) -> Self {
        Checkpoint { monitor: Some(monitor), ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The steps that were done.
    pub fn step(&self) -> u64 {
        self.about["checkpoint"]["position"]["step"].as_u64().unwrap_or(0)
    }

    /// What [`Checkpointing::notes`] had.
    pub fn notes(&self) -> BTreeMap<String, String> {
        let notes = self.about["checkpoint"]["notes"].as_object().into_iter().flatten();
        notes.filter_map(|(name, words)| Some((name.clone(), words.as_str()?.to_string()))).collect()
    }

    /// All of it.
    pub(crate) fn saved(&self) -> Result<Saved, Error> {
        let path = self.path.as_path();
        // What the pieces say of themselves, with the file's name before it.
        self.read().map_err(|error| match error {
            Error::Option(reason) => Error::format(path, format!("its metadata: {reason}")),
            error => error,
        })
    }

    fn read(&self) -> Result<Saved, Error> {
        let path = self.path.as_path();
        let format = |reason: String| Error::format(path, reason);
        let file = files::parse(path, &self.bytes)?;
        let all = Some(self.about.clone());
        let Model { network, weights, loss, classes: class_names, scaling, target_scaling, columns, image } =
            Model::of_file(path, &file, &all, &self.activations, &self.losses)?;
        let about = &self.about["checkpoint"];
        let folder = crate::files::folder_of(path);
        let mut options = configuration::from_json(&about["options"], &self.rules, self.monitor, folder)?;
        options.loss = loss.clone();
        options.check(&network)?;

        let position = Table::of("position", &about["position"])?;
        let watch = Watch::new(options.monitor, options.early_stopping, options.reduce_on_plateau);
        let history: Vec<f64> = values(path, &file, "state.history", Dtype::F64)?;
        let width = file.tensor("state.history").ok().and_then(|tensor| tensor.shape().get(1).copied());
        let rows = history.chunks(width.unwrap_or(0).max(1));
        let epochs: Option<Vec<Epoch>> = rows.map(Epoch::of_figures).collect();
        let epochs = epochs.ok_or_else(|| format("state.history has no whole rows".into()))?;
        let kept = position.optional("kept").map(|_| position.count("kept")).transpose()?.map(|kept| kept as usize);
        if kept.is_some_and(|kept| kept >= epochs.len()) {
            return Err(format("the best epoch is none of its epochs".into()));
        }
        // Those of earlier versions have it not.
        let lowered = position.optional("lowered").map_or(Ok(0), |_| position.count("lowered"))?;
        let underway = Underway {
            began: position.count("began")?,
            sums_began: position.count("sums_began")?,
            skipped_before: position.count_32("skipped_before")?,
            watch: watch
                .with_figures(&values(path, &file, "state.watch", Dtype::F64)?)
                .ok_or_else(|| format("state.watch has not the figures of this version".into()))?,
            history: History { epochs, kept, lowered, ..History::default() },
        };
        let order = Order {
            rows: position.count("rows")? as usize,
            first_step: position.count("first_step")?,
            epochs_before: position.count("epochs_before")?,
        };
        let step = position.count_32("step")?.into();
        let state: Vec<u32> = values(path, &file, "state.step", Dtype::U32)?;
        let counts = [underway.began, underway.sums_began, order.first_step];
        if counts.iter().any(|&count| count > step)
            || underway.sums_began.min(underway.began) < order.first_step
            || order.epochs_before > u32::MAX.into()
            || order.rows == 0
            || state.len() as u64 != STATE_BYTES / 4
            || u64::from(state[0]) != step
            || underway.skipped_before > state[SKIPPED_WORD]
        {
            return Err(format("its position and its step state do not fit together".into()));
        }

        let dropouts: Vec<f64> = network.layers().iter().map(|layer| layer.dropout).collect();
        let layers_under = |prefix: &str| -> Result<Weights, Error> {
            let layers = files::layers(path, &file, prefix, &dropouts)?;
            let sizes = |layers: &[LayerWeights]| -> Vec<_> {
                layers.iter().map(|layer| (layer.inputs, layer.outputs)).collect()
            };
            if sizes(&layers) != sizes(&weights.layers) {
                return Err(format(format!("the tensors {prefix}… have not the shapes of the weights")));
            }
            Ok(Weights { layers })
        };
        let slots = (0..options.optimizer.slots()).map(|slot| layers_under(&format!("optimizer.{slot}.")));
        let slots = slots.collect::<Result<_, _>>()?;
        let best = kept.filter(|_| options.keep_best).map(|_| layers_under("state.best.")).transpose()?;
        let adapter = Table::of("adapter", &about["adapter"])?;
        let adapter = [adapter.text("name")?, adapter.text("driver")?, adapter.text("family")?].map(String::from);
        let tiles = Table::of("tiles", &about["tiles"])?;
        let picks = tiles.entries().map(|(shape, tile)| (shape, tile.as_str().unwrap_or_default())).collect();
        let set = |value| {
            let set = Table::of("train", value)?;
            Ok::<_, Error>(Fingerprint {
                rows: set.count("rows")?,
                width: set.count("width")?,
                crc32: set.count_32("crc32")?,
            })
        };
        let validation = Some(&about["validation"]).filter(|set| !set.is_null());
        let (train, validation) = (set(&about["train"])?, validation.map(set).transpose()?);
        if train.rows != order.rows as u64 {
            return Err(format("its order is not its training set's".into()));
        }
        let notes = self.notes();
        let origin = Origin { class_names, scaling, target_scaling, columns, image };
        let run = Run { network, loss, origin, options, order, train, validation, adapter, picks, notes };
        if configuration::own_texts(own_of(&run).into_iter()) != about["own"] {
            return Err(format("a function of your own is not the text that the run was made with".into()));
        }
        let sums = values(path, &file, "state.sums", Dtype::U32)?;
        Ok(Saved { run, step, underway, weights, slots, best, state, sums })
    }
}

/// A tensor's values, which must be of the type.
fn values<T: bytemuck::Pod>(path: &Path, file: &SafeTensors<'_>, name: &str, dtype: Dtype) -> Result<Vec<T>, Error> {
    match file.tensor(name) {
        Ok(tensor) if tensor.dtype() == dtype => Ok(bytemuck::pod_collect_to_vec(tensor.data())),
        Ok(tensor) => Err(Error::format(path, format!("{name} is {:?}: it must be {dtype:?}", tensor.dtype()))),
        Err(_) => Err(Error::format(path, format!("it has no tensor {name}"))),
    }
}
