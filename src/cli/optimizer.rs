//! `[optimizer]` and `[[optimizer.groups]]` of run.toml.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::options::Train;
use crate::error::Error;
use crate::optimizer::{Optimizer, ParameterGroup, Rule};
use crate::options::TrainOptions;

/// The keys besides `kind` and `groups` are settings of the optimizer, which refuses unknown ones.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct OptimizerTable {
    kind: Option<String>,
    groups: Vec<GroupTable>,
    #[serde(flatten)]
    values: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an optimizer's value is a number, or true or false")]
enum Value {
    Switch(bool),
    Number(f64),
}

/// A table of `[[optimizer.groups]]`: what it matches, and how that is treated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupTable {
    #[serde(rename = "match")]
    matches: Words,
    weight_decay: Option<f64>,
    lr_scale: Option<f64>,
    #[serde(default)]
    frozen: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "match is a kind of weights or a name, or a list of them, as [\"norms\", \"0.*\"]")]
enum Words {
    One(String),
    List(Vec<String>),
}

impl OptimizerTable {
    /// The optimizer that the table and the flags describe. The default is Adam as Keras sets it.
    pub fn with(&self, flags: &Train) -> Result<Optimizer, Error> {
        let mut optimizer = match flags.optimizer.as_deref().or(self.kind.as_deref()) {
            Some(path) if path.ends_with(".wgsl") => Optimizer::new(Rule::read(path)?),
            Some(name) => Optimizer::from_name(name)?,
            None => TrainOptions::default().optimizer,
        };
        for (name, value) in &self.values {
            match (name.as_str(), value) {
                ("lr", &Value::Number(number)) => optimizer.lr = number,
                ("weight_decay", &Value::Number(number)) => optimizer.weight_decay = number,
                (name, &Value::Number(number)) => optimizer.set(name, number)?,
                (name, &Value::Switch(on)) => optimizer.switch(name, on)?,
            }
        }
        optimizer.lr = flags.lr.unwrap_or(optimizer.lr);
        optimizer.weight_decay = flags.weight_decay.unwrap_or(optimizer.weight_decay);
        if let Some(momentum) = flags.momentum {
            optimizer.set("momentum", momentum)?;
        }
        Ok(optimizer)
    }

    /// The groups of weights that are treated otherwise.
    pub fn groups(&self) -> Vec<ParameterGroup> {
        self.groups.iter().map(ParameterGroup::from).collect()
    }
}

impl From<&GroupTable> for ParameterGroup {
    fn from(table: &GroupTable) -> Self {
        let mut group = match &table.matches {
            Words::One(word) => ParameterGroup::new([word]),
            Words::List(words) => ParameterGroup::new(words),
        };
        group.weight_decay = table.weight_decay;
        group.lr_scale = table.lr_scale.unwrap_or(group.lr_scale);
        group.frozen = table.frozen;
        group
    }
}
