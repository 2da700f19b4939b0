//! `wgrad runs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::figures::{duration, figure, to_the_second};
use super::options::Runs;
use super::out::{ABOUT, SETTINGS, is_running, read_about, read_metrics, table_of};
use super::output::{Output, clean, table};
use crate::error::Error;

/// Entries that follow from other settings, or are paths.
const NO_SETTINGS: [&str; 4] = ["data.features", "data.validation_rows", "model.file", "model.parameters"];
/// The head of the table of runs.
const HEAD: [&str; 13] = [
    "run",
    "network",
    "optimizer",
    "lr",
    "batch",
    "epochs",
    "best loss",
    "last loss",
    "best accuracy",
    "last accuracy",
    "time",
    "state",
    "started (UTC)",
];

pub(super) fn run(options: &Runs) -> Result<(), Error> {
    let output = Output::of(options.json);
    let (mut runs, mut broken) = (Vec::new(), Vec::new());
    for folder in folders(&options.folder)? {
        match Summary::read(&folder) {
            Ok(run) => runs.push(run),
            Err(error) => broken.push((name_of(&folder), error)),
        }
    }
    if runs.is_empty() && broken.is_empty() {
        return Err(Error::Option(format!(
            "{} has no runs: they are folders with a {ABOUT}, as wgrad train --out DIR makes them",
            options.folder.display()
        )));
    }
    runs.sort_by(|a, b| {
        a.rank().partial_cmp(&b.rank()).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.started().cmp(b.started()))
    });
    for run in &runs {
        output.event(run.event())?;
    }
    for (name, error) in &broken {
        output.event(json!({ "event": "run", "name": name, "state": "unreadable", "error": error.to_string() }))?;
    }
    if !runs.is_empty() {
        let head = HEAD.map(String::from).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(runs.iter().map(Summary::row)).collect();
        output.text(table(&rows))?;
        if runs.iter().any(|run| !run.validates()) {
            output.text("* of the training rows: there are none to validate on")?;
        }
    }
    for run in &runs {
        if let Some(reason) = run.about["error"].as_str().filter(|_| run.state == "failed") {
            output.text(format_args!("{} failed: {}", run.name, clean(reason)))?;
        }
    }
    let differing = differing(&runs);
    if !differing.is_empty() {
        output.text("\nTheir different settings:")?;
    }
    for (setting, values) in differing {
        for (at, (value, names)) in values.iter().enumerate() {
            output.text(format_args!("{:<28}{value}: {}", if at == 0 { &setting } else { "" }, names.join(", ")))?;
        }
    }
    for (name, error) in &broken {
        output.text(format_args!("{}{name} cannot be read: {error}", if runs.is_empty() { "" } else { "\n" }))?;
    }
    Ok(())
}

/// The folders of runs in a folder, or the folder itself.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if folder.join(ABOUT).exists() {
        return Ok(vec![folder.into()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.join(ABOUT).exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A folder's name, without what would move a terminal's cursor.
fn name_of(folder: &Path) -> String {
    let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    clean(&name.unwrap_or_else(|| folder.display().to_string()))
}

/// A run, read from its files.
struct Summary {
    name: String,
    about: Value,
    state: String,
    epochs: Vec<Value>,
}

/// The best and the last value of a metric.
#[derive(Clone, Copy)]
struct Reached {
    best: Option<f64>,
    last: Option<f64>,
}

impl Summary {
    fn read(folder: &Path) -> Result<Self, Error> {
        let mut about = read_about(folder)?;
        let ran = about["state"] == "running" && !is_running(folder);
        if ran {
            // The run may have ended since the file was read.
            about = read_about(folder)?;
        }
        let epochs = read_metrics(folder)?;
        let state = match about["state"].as_str() {
            Some("running") if ran => "killed".into(),
            Some(state) => clean(state),
            None => "unknown".into(),
        };
        Ok(Summary { name: name_of(folder), about, state, epochs })
    }

    fn started(&self) -> &str {
        self.about["started"].as_str().unwrap_or_default()
    }

    fn validates(&self) -> bool {
        self.epochs.iter().any(|epoch| epoch["val_loss"].is_number())
    }

    /// A metric of validation, or of training if the run does not validate.
    fn reached(&self, figure: &str, better: fn(f64, f64) -> f64) -> Reached {
        let key = if self.validates() { format!("val_{figure}") } else { figure.into() };
        let values = || self.epochs.iter().filter_map(|epoch| epoch[&key].as_f64());
        Reached { best: values().reduce(better), last: values().next_back() }
    }

    fn loss(&self) -> Reached {
        self.reached("loss", f64::min)
    }

    fn accuracy(&self) -> Reached {
        self.reached("accuracy", f64::max)
    }

    /// The order of runs, by the best loss: of validation first, then of training, then runs without one.
    fn rank(&self) -> (bool, f64) {
        (!self.validates(), self.loss().best.unwrap_or(f64::INFINITY))
    }

    /// The number of whole epochs, and the share of the last one that was done if the run was interrupted in it.
    fn epochs_done(&self) -> (u64, f64) {
        let reported = self.epochs.last().and_then(|epoch| epoch["epoch"].as_u64()).unwrap_or(0);
        match (self.about["steps_done"].as_u64(), self.about["steps_per_epoch"].as_u64()) {
            (Some(steps), Some(each @ 1..)) if self.state == "interrupted" && steps / each < reported => {
                (steps / each, (steps % each) as f64 / each as f64)
            }
            _ => (reported, 0.0),
        }
    }

    /// The number of epochs that were asked for.
    fn epochs_asked(&self) -> Option<u64> {
        let train = &self.about["train"];
        match (train["steps"].as_u64(), self.about["steps_per_epoch"].as_u64().filter(|&steps| steps > 0)) {
            (Some(steps), Some(each)) => Some(steps.div_ceil(each)),
            _ => train["epochs"].as_u64(),
        }
    }

    /// The seconds of all its epochs, also of those before it was resumed.
    fn seconds(&self) -> f64 {
        self.epochs.iter().filter_map(|epoch| epoch["seconds"].as_f64()).fold(0.0, std::ops::Add::add)
    }

    fn event(&self) -> Value {
        let (loss, accuracy) = (self.loss(), self.accuracy());
        json!({
            "event": "run", "name": self.name, "state": self.state, "started": self.about["started"],
            "error": self.about["error"],
            "on": if self.validates() { "validation" } else { "training" },
            "best_loss": loss.best, "last_loss": loss.last, "best_accuracy": accuracy.best, "last_accuracy": accuracy.last,
            "epochs": self.epochs_done().0, "epochs_asked": self.epochs_asked(), "seconds": self.seconds(),
            "settings": self.settings(),
        })
    }

    fn row(&self) -> Vec<String> {
        let word = |value: &Value| clean(&plain(value));
        let mark = if self.validates() || self.epochs.is_empty() { "" } else { "*" };
        let loss = |value: Option<f64>| value.map_or("-".into(), |value| figure(value) + mark);
        let share = |value: Option<f64>| value.map_or("-".into(), |value| format!("{:.2}%{mark}", 100.0 * value));
        let asked = self.epochs_asked().map_or("?".into(), |asked| asked.to_string());
        let done = match self.epochs_done() {
            (whole, 0.0) => whole.to_string(),
            // The share is not rounded up to an epoch that was not done.
            (whole, share) => format!("{whole}.{}", (10.0 * share) as u64),
        };
        vec![
            self.name.clone(),
            word(&self.about["model"]["network"]),
            word(&self.about["optimizer"]["kind"]),
            word(&self.about["optimizer"]["lr"]),
            word(&self.about["train"]["batch_size"]),
            format!("{done}/{asked}"),
            loss(self.loss().best),
            loss(self.loss().last),
            share(self.accuracy().best),
            share(self.accuracy().last),
            duration(self.seconds()),
            self.state.clone(),
            clean(&to_the_second(self.started())),
        ]
    }

    /// Every setting by its name, as `optimizer.lr`.
    fn settings(&self) -> BTreeMap<String, String> {
        let entries = |&name: &&'static str| {
            let own = move |(key, value): (String, Value)| (format!("{name}.{key}"), clean(&plain(&value)));
            table_of(&self.about, name).into_iter().map(own)
        };
        SETTINGS
            .iter()
            .flat_map(entries)
            .filter(|(name, _)| !NO_SETTINGS.contains(&name.as_str()))
            .chain([("wgrad".to_string(), clean(&plain(&self.about["wgrad"])))])
            .collect()
    }
}

/// A setting that differs, with the runs that have each of its values.
type Differing<'a> = (String, BTreeMap<String, Vec<&'a str>>);

fn differing(runs: &[Summary]) -> Vec<Differing<'_>> {
    let settings: Vec<(&str, BTreeMap<String, String>)> =
        runs.iter().map(|run| (run.name.as_str(), run.settings())).collect();
    let names: BTreeSet<&String> = settings.iter().flat_map(|(_, own)| own.keys()).collect();
    let mut all = Vec::new();
    for name in names {
        let kind = format!("{}.kind", name.split('.').next().unwrap_or_default());
        let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (run, own) in &settings {
            // A setting that only one optimizer has follows from the kind, which is listed.
            let of_another_kind = own.contains_key(&kind);
            match own.get(name) {
                Some(value) => values.entry(value.clone()).or_default().push(run),
                None if of_another_kind => {}
                None => values.entry("-".into()).or_default().push(run),
            }
        }
        if values.len() > 1 {
            all.push((name.clone(), values));
        }
    }
    all
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
