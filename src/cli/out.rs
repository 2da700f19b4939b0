//! A run's folder: `run.json` with what it is and how it ended, and `metrics.jsonl` and `metrics.csv` with a line an epoch, written as it goes.
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs4::{FileExt, TryLockError};
use serde_json::{Map, Value, json};

use super::clock::now;
use super::config::Run;
use super::layers::{Layers, shown};
use super::observers::Observer;
use super::output::{clean_lines, epoch_event};
use super::training_set::TrainingSet;
use crate::data::Dataset;
use crate::error::Error;
use crate::history::Event;
use crate::model::loss_to_json;
use crate::network::Layer;
use crate::trainer::Trainer;

/// The file with a run's settings and its result.
pub(super) const ABOUT: &str = "run.json";
/// The file with a run's epochs, an object a line.
pub(super) const METRICS: &str = "metrics.jsonl";
const TABLE: &str = "metrics.csv";
/// The table of the network.
const MODEL: &str = "model";
/// The tables of a `run.json` that have settings.
pub(super) const SETTINGS: [&str; 10] = [
    "adapter",
    "data",
    MODEL,
    "loss",
    "optimizer",
    "schedule",
    "augmentation",
    "train",
    "early_stopping",
    "reduce_on_plateau",
];
/// An empty file, which a run locks while it goes on. The system unlocks it, however the run ends.
const LOCK: &str = ".lock";

/// The columns of the table.
const COLUMNS: [&str; 12] = [
    "epoch",
    "rows",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "skipped_steps",
    "seconds",
    "samples_per_second",
    "submissions",
    "blocking_reads",
];

/// A folder that belongs to this run alone while it goes on.
pub(super) struct Out {
    folder: PathBuf,
    about: Value,
    /// What `run.json` said of the run to go on with.
    before: Option<Value>,
    /// Whether the folder has this run's beginning.
    resumes: bool,
    /// The folders that were created for it, the innermost first.
    made: Vec<PathBuf>,
    begun: Instant,
    _lock: File,
}

impl Out {
    /// Takes a folder, and creates it if it does not exist: a new one, the one of the run to resume, or one whose run ended before its first
    /// epoch did.
    pub fn take(folder: &Path, run: &Run, resumes: bool) -> Result<Self, Error> {
        let made = folder.ancestors().take_while(|folder| !folder.exists()).map(PathBuf::from).collect();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let lock = File::create(folder.join(LOCK)).map_err(Error::io(folder.join(LOCK)))?;
        let refused = |reason: &str| Err(Error::Option(format!("--out {}: {reason}", folder.display())));
        if is_locked(&lock) {
            return refused("another run is writing there now");
        }
        let before = folder.join(ABOUT).exists().then(|| read_about(folder)).transpose()?;
        let before = match before {
            Some(about) if resumes && about["started"] == *run.started => Some(about),
            Some(_) if !read_metrics(folder)?.is_empty() => {
                return refused("it has a run already; name a new folder, or go on with that run by --resume");
            }
            _ => None,
        };
        let resumes = before.is_some();
        let about = before.clone().unwrap_or_else(|| json!({ "started": run.started, "resumed": [] }));
        Ok(Out { folder: folder.into(), about, before, resumes, made, begun: Instant::now(), _lock: lock })
    }

    /// Writes what is about to run.
    pub fn begin(
        &mut self,
        run: &Run,
        trainer: &Trainer,
        train: &TrainingSet,
        validation: Option<&Dataset>,
    ) -> Result<(), Error> {
        let rows = train.source().rows();
        let command: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into()).collect();
        let now_in = std::env::current_dir().ok();
        if self.resumes {
            let again = json!({ "at": now(), "step": trainer.steps_done(), "command": command, "folder": now_in });
            if let Some(times) = self.about["resumed"].as_array_mut() {
                times.push(again);
            }
        } else {
            (self.about["command"], self.about["folder"]) = (command.into(), json!(now_in));
        }
        let adapter = trainer.gpu().adapter();
        let (options, network) = (trainer.options(), trainer.network());
        // Of layers that are listed one by one, each has its own.
        let hidden = match (&run.layers, network.layers()) {
            (Layers::Hidden { .. }, [hidden @ .., _]) => Some(hidden),
            _ => None,
        };
        let parts = json!({
            "state": "running", "error": null, "ended": null, "seconds": null, "config": run.config,
            "wgrad": env!("CARGO_PKG_VERSION"),
            "platform": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            "adapter": {
                "name": adapter.name, "kind": adapter.kind.to_string(), "backend": adapter.backend, "driver": adapter.driver,
            },
            "data": {
                "train": run.data, "rows": rows, "features": train.at_hand().width(), "scaling": run.scaling.to_string(),
                "scale_targets": run.scale_targets.to_string(),
                "validation": run.validation.as_ref().map(ToString::to_string), "validation_rows": validation.map(Dataset::rows),
            },
            "model": {
                "network": network.shape(), "parameters": network.parameters(), "file": run.save,
                "activation": hidden.and_then(|hidden| hidden.first()).map(|layer| layer.activation().to_string()),
                "dropout": hidden.map(|hidden| hidden.iter().map(Layer::dropout).collect::<Vec<_>>()), "layers": network.to_json(),
                "init": run.init,
            },
            "loss": loss_to_json(&options.loss),
            "steps_per_epoch": rows.div_ceil(options.step_rows()),
        });
        let settings = crate::checkpoint::configuration::to_json(options);
        for (name, value) in [parts, settings].iter().filter_map(Value::as_object).flatten() {
            self.about[name] = value.clone();
        }
        self.write()
    }

    /// The writer of the metrics.
    pub fn metrics(&self) -> Result<MetricFiles, Error> {
        MetricFiles::new(&self.folder, self.resumes)
    }

    /// Writes how the run ended, `finished`, `interrupted` or `failed`, and with how many steps since its weights were new.
    pub fn end(&mut self, state: &str, steps: Option<u64>) -> Result<(), Error> {
        let seconds = self.begun.elapsed().as_secs_f64();
        for (name, value) in [
            ("state", json!(state)),
            ("ended", json!(now())),
            ("seconds", json!(seconds)),
            ("steps_done", json!(steps)),
        ] {
            self.about[name] = value;
        }
        self.write()
    }

    /// Records the error that the run fails with, to be written at its end. A run that was to go on and did no step is what it was before: `run.json`
    /// says that again.
    pub fn failed(&mut self, error: &Error, is_at_beginning: bool) -> Result<(), Error> {
        match self.before.take().filter(|_| is_at_beginning) {
            Some(before) => {
                self.about = before;
                self.write()
            }
            None => {
                self.about["error"] = clean_lines(&error.to_string()).into();
                Ok(())
            }
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The contents of `run.json`.
    pub fn about(&self) -> &Value {
        &self.about
    }

    fn write(&self) -> Result<(), Error> {
        let text = format!("{:#}\n", self.about);
        crate::files::write_whole(&self.folder.join(ABOUT), text.as_bytes())
    }
}

impl Drop for Out {
    /// Writes the end of a run that an error ended; if it had not begun, deletes what was created for it.
    fn drop(&mut self) {
        if self.about["state"].is_null() && !self.made.is_empty() {
            _ = std::fs::remove_file(self.folder.join(LOCK));
            // A folder that is no longer empty stays.
            self.made.iter().for_each(|folder| _ = std::fs::remove_dir(folder));
        }
        if self.about["state"] == "running"
            && let Err(error) = self.end("failed", None)
        {
            tracing::warn!(%error, "the end of the run could not be written");
        }
    }
}

/// Reads the `run.json` of a folder.
pub(super) fn read_about(folder: &Path) -> Result<Value, Error> {
    let path = folder.join(ABOUT);
    let about: Value = serde_json::from_slice(&crate::files::read_whole(&path)?)
        .map_err(|error| Error::format(&path, error.to_string()))?;
    match about["started"].is_string() {
        true => Ok(about),
        false => Err(Error::format(&path, "it has no start time, so it was not written by wgrad train --out")),
    }
}

/// A table of a `run.json`, as it is shown; empty where there is none of this name.
pub(super) fn table_of(about: &Value, name: &str) -> Map<String, Value> {
    match name {
        MODEL => shown(&about[MODEL]),
        _ => about[name].as_object().cloned().unwrap_or_default(),
    }
}

/// Whether a run is writing to the folder now.
pub(super) fn is_running(folder: &Path) -> bool {
    // The file is not created: looking at a folder changes nothing in it.
    let lock = File::options().write(true).open(folder.join(LOCK));
    // The lock is shared, so that two readers do not take each other for a run.
    lock.is_ok_and(|lock| matches!(FileExt::try_lock_shared(&lock), Err(TryLockError::WouldBlock)))
}

/// Whether another run holds the lock; otherwise it is ours now. On a file system without locks, no run holds it.
fn is_locked(lock: &File) -> bool {
    for _ in 0..5 {
        if !matches!(FileExt::try_lock(lock), Err(TryLockError::WouldBlock)) {
            return false;
        }
        // A reader may hold the lock for a moment.
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Reads the epochs of a folder. A line that a power failure cut off is left out.
pub(super) fn read_metrics(folder: &Path) -> Result<Vec<Value>, Error> {
    let path = folder.join(METRICS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = crate::files::read_whole(&path)?;
    let lines = bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(lines.filter(|line: &Value| line["epoch"].is_u64()).collect())
}

/// The two files of metrics.
pub(super) struct MetricFiles {
    folder: PathBuf,
    lines: File,
    table: File,
    /// The last epoch in the files.
    last: u64,
}

impl MetricFiles {
    fn new(folder: &Path, resumes: bool) -> Result<Self, Error> {
        MetricFiles::with(folder, if resumes { read_metrics(folder)? } else { Vec::new() })
    }

    /// Writes both files anew, with these epochs.
    fn with(folder: &Path, epochs: Vec<Value>) -> Result<Self, Error> {
        let header = format!("{}\n", COLUMNS.join(","));
        let lines = epochs.iter().map(line).collect::<String>();
        let table = epochs.iter().fold(header, |table, epoch| table + &row(epoch));
        crate::files::write_whole(&folder.join(METRICS), lines.as_bytes())?;
        crate::files::write_whole(&folder.join(TABLE), table.as_bytes())?;
        let open = |name: &str| {
            let path = folder.join(name);
            File::options().append(true).open(&path).map_err(Error::io(path))
        };
        let last = epochs.last().and_then(|epoch| epoch["epoch"].as_u64()).unwrap_or(0);
        Ok(MetricFiles { folder: folder.into(), lines: open(METRICS)?, table: open(TABLE)?, last })
    }
}

impl Observer for MetricFiles {
    fn observe(&mut self, event: &Event) -> Result<(), Error> {
        let Event::Epoch(epoch) = event else { return Ok(()) };
        if epoch.epoch <= self.last && epoch.stats.steps == 0 {
            // A run that goes on from the end of an epoch reports it again, with no step and no time.
            return Ok(());
        }
        if epoch.epoch <= self.last {
            // A run that was resumed from an earlier checkpoint does some epochs again.
            let mut before = read_metrics(&self.folder)?;
            before.retain(|line| line["epoch"].as_u64() < Some(epoch.epoch));
            *self = MetricFiles::with(&self.folder, before)?;
        }
        let event = epoch_event(epoch);
        self.lines.write_all(line(&event).as_bytes()).map_err(Error::io(self.folder.join(METRICS)))?;
        self.table.write_all(row(&event).as_bytes()).map_err(Error::io(self.folder.join(TABLE)))?;
        self.last = epoch.epoch;
        Ok(())
    }
}

fn line(epoch: &Value) -> String {
    format!("{epoch}\n")
}

/// A line of the table: every value is a number or empty.
fn row(epoch: &Value) -> String {
    let cell =
        |name: &&str| Some(&epoch[*name]).filter(|value| !value.is_null()).map_or(String::new(), Value::to_string);
    format!("{}\n", COLUMNS.iter().map(cell).collect::<Vec<_>>().join(","))
}
