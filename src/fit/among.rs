//! A fit that several processes share: that all of them train the same, and end together.

use std::fmt::Debug;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::checkpoints::Fingerprints;
use super::session::Session;
use crate::checkpoint::configuration;
use crate::error::Error;
use crate::kernel::tiling::Picks;
use crate::processes::{any, texts};

/// Compares with the other processes, where there are any, all that a run follows from.
///
/// # Errors
///
/// [`Error::Option`] with the first process that has something else than process 0, and what: the same in every process.
pub(super) async fn check(
    session: &mut Session,
    (train, validation): Fingerprints,
    picks: &Picks,
) -> Result<(), Error> {
    let Some(processes) = session.processes.clone() else { return Ok(()) };
    let Session { model, options, position, .. } = session;
    let adapter = model.gpu.adapter().clone();
    // In this order, the first that differs is told: what follows from others comes behind them.
    let mut all: Vec<(String, Value)> = vec![
        ("the version of wgrad".into(), env!("CARGO_PKG_VERSION").into()),
        ("the network".into(), format!("{} ({})", model.network.shape(), checksum(&model.network)).into()),
        ("the loss".into(), format!("{:?}", options.loss).into()),
        // Each updates its own weights: others would round otherwise, and read other windows of a set.
        ("the adapter".into(), format!("{} ({}, {})", adapter.name, adapter.driver, model.tiling.family).into()),
        ("the largest binding".into(), model.tiling.most_bytes.into()),
    ];
    flatten("", &configuration::to_json(options), &mut all);
    let mut words = model.words().await?;
    words.sort_by_key(|(role, _)| *role);
    let mut hasher = crc32fast::Hasher::new();
    words.iter().for_each(|(_, words)| hasher.update(bytemuck::cast_slice(words)));
    all.extend([
        ("the checksum of the optimizer".into(), checksum(&options.optimizer).into()),
        ("the training set".into(), train.to_string().into()),
        ("the validation set".into(), validation.map_or("none".into(), |set| set.to_string()).into()),
        ("the steps that were done".into(), position.steps_done.into()),
        ("the checksum of the weights".into(), format!("{:08x}", hasher.finalize()).into()),
    ]);
    all.extend(picks.iter().map(|(product, tile)| (format!("the tile of {product}"), Value::from(tile))));

    let told = texts(&*processes, &json!(all).to_string())?;
    let told: Vec<Vec<(String, Value)>> =
        told.iter().map(|text| serde_json::from_str(text).unwrap_or_default()).collect();
    for (process, theirs) in told.iter().enumerate() {
        let same = |name: &String| theirs.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        if let Some((name, own)) = told[0].iter().find(|(name, own)| same(name) != Some(own)) {
            let theirs = same(name).map_or("none".into(), Value::to_string);
            let hint = match name.starts_with("the tile") {
                true => "; processes that measured side by side may differ: with --tuning auto, begin with one alone",
                false => "",
            };
            return Err(Error::Option(format!(
                "{name} is {own} in process 0, and {theirs} in process {process}: all processes of a run must be started alike{hint}"
            )));
        }
    }
    Ok(())
}

/// A checksum of all that a value says of itself.
fn checksum(value: &impl Debug) -> String {
    format!("checksum {:08x}", crc32fast::hash(format!("{value:?}").as_bytes()))
}

/// Adds the values of nested tables by their names, as in run.toml, but for where and when checkpoints are made, which is process 0's alone to do.
fn flatten(before: &str, value: &Value, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(table) => table.iter().filter(|(name, _)| *name != "checkpoint").for_each(|(name, value)| {
            flatten(&if before.is_empty() { name.clone() } else { format!("{before}.{name}") }, value, all);
        }),
        value => all.push((before.into(), value.clone())),
    }
}

impl Session {
    /// Breaks off where any process does.
    ///
    /// # Errors
    ///
    /// [`Error::Processes`] where one cannot be reached.
    pub(super) fn agree(&self, going_on: ControlFlow<()>) -> Result<ControlFlow<()>, Error> {
        let Some(processes) = &self.processes else { return Ok(going_on) };
        Ok(if any(&**processes, going_on.is_break())? { ControlFlow::Break(()) } else { going_on })
    }

    /// Whether this process writes files, which one of a run does.
    pub(super) fn writes(&self) -> bool {
        self.processes.as_ref().is_none_or(|processes| processes.rank() == 0)
    }
}
