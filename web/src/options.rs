//! The options of a network and its training, as an object in JavaScript has them: docs/browser.md lists them.

use serde::Deserialize;
use serde_json::{Map, Value};
use wgrad::{Dataset, Error, Layer, Loss, Network, Optimizer, Schedule, TrainOptions};

/// What a trainer is made from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Options {
    layers: Value,
    loss: String,
    optimizer: Value,
    schedule: Value,
    initializer: Option<String>,
    batch_size: usize,
    epochs: u64,
    steps: Option<u64>,
    clip_grad_norm: Option<f64>,
    seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let TrainOptions { loss, batch_size, epochs, seed, .. } = TrainOptions::default();
        Options {
            layers: Value::Null,
            loss: loss.name().into(),
            optimizer: Value::Null,
            schedule: Value::Null,
            initializer: None,
            batch_size,
            epochs,
            steps: None,
            clip_grad_norm: None,
            seed,
        }
    }
}

impl Options {
    /// # Errors
    ///
    /// [`Error::Option`] for what is no such object, an option that there is not, or a layer that cannot be.
    pub fn of(json: &str) -> Result<Self, Error> {
        let options: Options =
            serde_json::from_str(json).map_err(|error| Error::Option(format!("the options: {error}")))?;
        if options.layers.is_null() {
            return Err(Error::Option(
                "there are no layers: write them as layers: [{ dense: 256, activation: 'relu' }, { dense: 10 }]".into(),
            ));
        }
        options.layers()?;
        options.training()?;
        Ok(options)
    }

    fn layers(&self) -> Result<Vec<Layer>, Error> {
        Layer::list_from_json(&self.layers.to_string())
    }

    /// The network that takes the rows of a set.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for layers that do not fit each other or the rows.
    pub fn network(&self, set: &Dataset) -> Result<Network, Error> {
        let layers = self.layers()?;
        let network = Network::of_form(set.form_for(&layers), layers);
        network.check()?;
        Ok(network)
    }

    /// # Errors
    ///
    /// [`Error::Option`] for a name or a number that is not known.
    pub fn training(&self) -> Result<TrainOptions, Error> {
        let mut options = TrainOptions {
            loss: Loss::from_name(&self.loss)?,
            batch_size: self.batch_size,
            epochs: self.epochs,
            steps: self.steps,
            clip_grad_norm: self.clip_grad_norm,
            seed: self.seed,
            ..TrainOptions::default()
        };
        if let Some(initializer) = &self.initializer {
            options.initializer = initializer.parse()?;
        }
        if let Some((kind, numbers)) = named("optimizer", &self.optimizer)? {
            options.optimizer = Optimizer::from_name(&kind)?;
            for (name, number) in numbers {
                match name.as_str() {
                    "lr" => options.optimizer.lr = number,
                    "weight_decay" => options.optimizer.weight_decay = number,
                    name => options.optimizer.set(name, number)?,
                }
            }
        }
        if let Some((kind, numbers)) = named("schedule", &self.schedule)? {
            options.schedule = Schedule::from_name(&kind)?;
            for (name, number) in numbers {
                options.schedule.set(&name, number)?;
            }
        }
        Ok(options)
    }
}

/// A name and its numbers by their names.
type Named = (String, Vec<(String, f64)>);

/// A name, or a table with a `kind` and numbers by their names, as in run.toml; `None` where there is none.
fn named(what: &str, value: &Value) -> Result<Option<Named>, Error> {
    let wrong = || Error::Option(format!("{what}: write a name, or {{ kind: name, … }} with numbers"));
    let mut table: Map<String, Value> = match value {
        Value::Null => return Ok(None),
        Value::String(kind) => return Ok(Some((kind.clone(), vec![]))),
        Value::Object(table) => table.clone(),
        _ => return Err(wrong()),
    };
    let kind = table.remove("kind").and_then(|kind| kind.as_str().map(str::to_string)).ok_or_else(wrong)?;
    let number = |(name, value): (String, Value)| value.as_f64().map(|number| (name, number)).ok_or_else(wrong);
    Ok(Some((kind, table.into_iter().map(number).collect::<Result<_, _>>()?)))
}
