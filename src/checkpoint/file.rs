//! A checkpoint as a file has it, and the way back from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::configuration;
use super::fit_state::FitState;
use super::folder;
use super::saved::{FORMAT, Run, Saved, own_of};
use super::table::Table;
use crate::activation::Activation;
use crate::data::Fingerprint;
use crate::error::Error;
use crate::history::{Epoch, History};
use crate::loss::Loss;
use crate::model::{self, Model, check_sums, layers, parse};
use crate::network::Parameter;
use crate::optimizer::Rule;
use crate::options::{Monitor, TrainOptions, Watch};
use crate::plan::STATE_BYTES;
use crate::run::order::Order;
use crate::run::state::SKIPPED_WORD;
use crate::weights::{LayerWeights, Weights};

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
    /// Opens a checkpoint, or of a folder the newest that is whole: where a newer one is not, a warning says so and the one before it is taken.
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
        check_sums(path, &parse(path, &checkpoint.bytes)?, Some(&checkpoint.about))?;
        Ok(checkpoint)
    }

    /// [`open`](Self::open) from a file's bytes, which may have other checksums than the file says; the path is for messages. For fuzzing.
    #[doc(hidden)]
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        parse(path, &bytes)?;
        let about = model::about(path, &bytes)?.unwrap_or_default();
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

    /// What [`Checkpointing::notes`](crate::Checkpointing::notes) had.
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
        let format = |reason: &str| Error::format(path, reason.to_string());
        let file = parse(path, &self.bytes)?;
        let model = Model::of_file(path, &file, &Some(self.about.clone()), &self.activations, &self.losses)?;
        let origin = model.origin();
        let Model { network, weights, loss, .. } = model;
        let about = &self.about["checkpoint"];
        let folder = crate::files::folder_of(path);
        let mut options = configuration::from_json(&about["options"], &self.rules, self.monitor, folder)?;
        options.loss = loss.clone();
        options.check(&network)?;

        let position = Table::of("position", &about["position"])?;
        let fit = fit_of(path, &file, &position, &options)?;
        let order = Order {
            rows: position.count("rows")? as usize,
            first_step: position.count("first_step")?,
            epochs_before: position.count("epochs_before")?,
        };
        let step = position.count_32("step")?.into();
        let state: Vec<u32> = values(path, &file, "state.step", Dtype::U32)?;
        if !fit_together(step, &fit, order, &state) {
            return Err(format("its position and its step state do not fit together"));
        }

        let parameters = network.named_parameters();
        let (weights, averages) = match options.ema {
            Some(_) => (beside(path, &file, &parameters, "state.weights.")?, Some(weights)),
            None => (weights, None),
        };
        let slots = slots_of(path, &file, &parameters, &options.slots_of(&network))?;
        let best = fit.history.kept.filter(|_| options.keep_best);
        let best = best.map(|_| beside(path, &file, &parameters, "state.best.")).transpose()?;
        let adapter = Table::of("adapter", &about["adapter"])?;
        let adapter = [adapter.text("name")?, adapter.text("driver")?, adapter.text("family")?].map(String::from);
        let tiles = Table::of("tiles", &about["tiles"])?;
        let picks = tiles.entries().map(|(shape, tile)| (shape, tile.as_str().unwrap_or_default())).collect();
        let validation = Some(&about["validation"]).filter(|set| !set.is_null());
        let (train, validation) = (set_of(&about["train"])?, validation.map(set_of).transpose()?);
        if train.rows != order.rows as u64 {
            return Err(format("its order is not its training set's"));
        }
        let notes = self.notes();
        let run = Run { network, loss, origin, options, order, train, validation, adapter, picks, notes };
        if configuration::own_texts(&own_of(&run)) != about["own"] {
            return Err(format("a function of your own is not the text that the run was made with"));
        }
        let sums = values(path, &file, "state.sums", Dtype::U32)?;
        Ok(Saved { run, step, fit, weights, averages, slots, best, state, sums })
    }
}

/// What the fit remembered.
fn fit_of(
    path: &Path,
    file: &SafeTensors<'_>,
    position: &Table<'_>,
    options: &TrainOptions,
) -> Result<FitState, Error> {
    let format = |reason: &str| Error::format(path, reason.to_string());
    let watch = Watch::new(options.monitor, options.early_stopping, options.reduce_on_plateau);
    let history: Vec<f64> = values(path, file, "state.history", Dtype::F64)?;
    let width = file.tensor("state.history").ok().and_then(|tensor| tensor.shape().get(1).copied());
    let rows = history.chunks(width.unwrap_or(0).max(1));
    let epochs: Option<Vec<Epoch>> = rows.map(Epoch::of_figures).collect();
    let epochs = epochs.ok_or_else(|| format("state.history has no whole rows"))?;
    let kept = position.optional("kept").map(|_| position.count("kept")).transpose()?.map(|kept| kept as usize);
    if kept.is_some_and(|kept| kept >= epochs.len()) {
        return Err(format("the best epoch is none of its epochs"));
    }
    // Those of earlier versions have it not.
    let lowered = position.optional("lowered").map_or(Ok(0), |_| position.count("lowered"))?;
    Ok(FitState {
        began: position.count("began")?,
        sums_began: position.count("sums_began")?,
        skipped_before: position.count_32("skipped_before")?,
        watch: watch
            .with_figures(&values(path, file, "state.watch", Dtype::F64)?)
            .ok_or_else(|| format("state.watch has not the figures of this version"))?,
        history: History { epochs, kept, lowered, ..History::default() },
    })
}

/// Whether a position and the words of a step state can be of the same moment.
fn fit_together(step: u64, fit: &FitState, order: Order, state: &[u32]) -> bool {
    [fit.began, fit.sums_began, order.first_step].iter().all(|&count| count <= step)
        && fit.sums_began.min(fit.began) >= order.first_step
        && order.epochs_before <= u32::MAX.into()
        && order.rows > 0
        && state.len() as u64 == STATE_BYTES / 4
        && u64::from(state[0]) == step
        && fit.skipped_before <= state[SKIPPED_WORD]
}

/// Tensors in the shapes of these weights, under a prefix of their own.
fn beside(path: &Path, file: &SafeTensors<'_>, parameters: &[Parameter], prefix: &str) -> Result<Weights, Error> {
    layers(path, file, prefix, parameters).map(|layers| Weights { layers })
}

/// The optimizer's values, slot by slot: as many as `counts` says of each parameter, and empty ones where it has none.
fn slots_of(
    path: &Path,
    file: &SafeTensors<'_>,
    parameters: &[Parameter],
    counts: &[u32],
) -> Result<Vec<Weights>, Error> {
    let slot = |slot: u32| {
        let of = |(parameter, &count): (&Parameter, &u32)| match count {
            0 => Ok(vec![LayerWeights::none(parameter)]),
            _ => layers(path, file, &format!("optimizer.{slot}."), std::slice::from_ref(parameter)),
        };
        let own = parameters.iter().zip(counts).map(of).collect::<Result<Vec<_>, _>>()?;
        Ok(Weights { layers: own.concat() })
    };
    (0..counts.iter().copied().max().unwrap_or(0)).map(slot).collect()
}

fn set_of(value: &Value) -> Result<Fingerprint, Error> {
    let set = Table::of("train", value)?;
    Ok(Fingerprint { rows: set.count("rows")?, width: set.count("width")?, crc32: set.count_32("crc32")? })
}

/// A tensor's values, which must be of the type.
fn values<T: bytemuck::Pod>(path: &Path, file: &SafeTensors<'_>, name: &str, dtype: Dtype) -> Result<Vec<T>, Error> {
    match file.tensor(name) {
        Ok(tensor) if tensor.dtype() == dtype => Ok(bytemuck::pod_collect_to_vec(tensor.data())),
        Ok(tensor) => Err(Error::format(path, format!("{name} is {:?}: it must be {dtype:?}", tensor.dtype()))),
        Err(_) => Err(Error::format(path, format!("it has no tensor {name}"))),
    }
}
