//! `[model]` of run.toml with its flags: the network that they describe.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::options::Train;
use super::reading::chosen;
use crate::activation::Activation;
use crate::data::Dataset;
use crate::error::Error;
use crate::named::counted;
use crate::network::{Layer, LayerKind, Network, from_json};

/// The table of run.toml.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModelTable {
    hidden: Option<Widths>,
    activation: Option<String>,
    dropout: Option<Dropout>,
    outputs: Option<usize>,
    layers: Option<Value>,
    pub initializer: Option<String>,
}

/// The layers of a run's network.
pub(super) enum Layers {
    /// Hidden dense layers with one activation, and a last one.
    Hidden {
        widths: Vec<usize>,
        activation: Activation,
        /// A probability for each hidden layer.
        dropout: Vec<f64>,
        /// The number of outputs; if the run does not give it, it follows from the set.
        outputs: Option<usize>,
    },
    /// All layers, one by one.
    Listed(Listing),
}

/// Layers that a file lists one by one.
pub(super) struct Listing {
    /// As the file has them. An embedding may leave out its vocabulary, which is then that of the set, and a dense layer may have as many units.
    words: Value,
    /// With any vocabulary in place of the set's.
    layers: Vec<Layer>,
    path: PathBuf,
}

impl ModelTable {
    /// The layers that the table, in the file with this path, lists one by one, if it does.
    pub fn listed(&self, path: &Path) -> Result<Option<Vec<Layer>>, Error> {
        self.layers.as_ref().map(|list| layers_of(list, path)).transpose()
    }

    /// The layers that the table, in the file with this path, and the flags describe.
    pub fn layers(self, flags: &Train, path: &Path) -> Result<Layers, Error> {
        if self.layers.is_some() {
            let others = [
                ("--hidden", flags.hidden.is_some()),
                ("--activation", flags.activation.is_some()),
                ("--dropout", flags.dropout.is_some()),
                ("hidden", self.hidden.is_some()),
                ("activation", self.activation.is_some()),
                ("dropout", self.dropout.is_some()),
                ("outputs", self.outputs.is_some()),
            ];
            if let Some((other, _)) = others.iter().find(|(_, is_given)| *is_given) {
                return Err(Error::Option(format!(
                    "{other} and layers under [model] both describe the layers: layers has all of them, the last one included; leave {other} out"
                )));
            }
        }
        if let Some(words) = self.layers {
            let layers = layers_of(&with_vocabulary(&words, 1), path)?;
            return Ok(Layers::Listed(Listing { words, layers, path: path.into() }));
        }
        let widths = match &flags.hidden {
            Some(widths) => hidden("--hidden", widths)?,
            None => self.hidden.map_or_else(|| Ok(vec![256]), Widths::list)?,
        };
        let dropout = flags.dropout.map(Dropout::All).or(self.dropout);
        Ok(Layers::Hidden {
            dropout: dropout.map_or_else(|| Ok(vec![0.0; widths.len()]), |dropout| dropout.of_layers(widths.len()))?,
            widths,
            activation: chosen(flags.activation, self.activation)?.unwrap_or(Activation::Relu),
            outputs: self.outputs,
        })
    }
}

/// The entries of `model` in a run.json, as they are shown: the layers of a run that lists them, in the words of run.toml; of another, whose hidden layers have one
/// activation, that and their dropout.
pub(super) fn shown(model: &Value) -> Map<String, Value> {
    let mut shown = model.as_object().cloned().unwrap_or_default();
    let own = |key: &String| ["dense", "activation", "dropout"].contains(&key.as_str());
    let is_plain =
        |layer: &Value| layer.as_object().is_some_and(|layer| layer.contains_key("dense") && layer.keys().all(own));
    let are_plain = model["layers"].as_array().is_some_and(|layers| layers.iter().all(is_plain));
    if are_plain && !model["dropout"].is_null() {
        shown.remove("layers");
        return shown;
    }
    shown.remove("activation");
    shown.remove("dropout");
    if let Some(layers) = shown.get_mut("layers") {
        *layers = inline(layers).into();
    }
    shown
}

/// A value as run.toml has it.
fn inline(value: &Value) -> String {
    let joined = |all: Vec<String>| all.join(", ");
    match value {
        Value::Array(list) => format!("[{}]", joined(list.iter().map(inline).collect())),
        Value::Object(table) => {
            let entry = |(key, value): (&String, &Value)| format!("{key} = {}", inline(value));
            format!("{{ {} }}", joined(table.iter().map(entry).collect()))
        }
        other => other.to_string(),
    }
}

/// The layers of a list, which the file with this path has.
fn layers_of(list: &Value, path: &Path) -> Result<Vec<Layer>, Error> {
    let activation = |word: &str| word.parse().map_err(|error: Error| error.to_string());
    from_json(list, &activation).map_err(|reason| of_list(path, &reason))
}

const VOCABULARY: &str = "vocabulary";

/// A list of layers with this vocabulary where it leaves that to the set: of an embedding without one, and of dense layers with as many units.
fn with_vocabulary(list: &Value, tokens: usize) -> Value {
    match list {
        Value::Array(entries) => entries.iter().map(|entry| with_vocabulary(entry, tokens)).collect(),
        Value::Object(entries) => {
            let filled = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("dense", Value::String(word)) if word == VOCABULARY => (key.clone(), tokens.into()),
                _ => (key.clone(), with_vocabulary(value, tokens)),
            };
            let mut filled: Map<String, Value> = entries.iter().map(filled).collect();
            if filled.contains_key("embedding") && !filled.contains_key(VOCABULARY) {
                filled.insert(VOCABULARY.into(), tokens.into());
            }
            Value::Object(filled)
        }
        other => other.clone(),
    }
}

impl Listing {
    /// The layers for the rows of a set, which the run calls `data`.
    fn layers_for(&self, data: &str, set: &Dataset) -> Result<Vec<Layer>, Error> {
        if with_vocabulary(&self.words, 1) == self.words {
            return Ok(self.layers.clone());
        }
        let tokens = set.vocabulary().ok_or_else(|| {
            of_list(&self.path, &format!("a vocabulary is left to the set, and the rows of {data} are no tokens"))
        })?;
        layers_of(&with_vocabulary(&self.words, tokens), &self.path)
    }

    fn network(&self) -> Network {
        Network::of_layers(1, self.layers.clone())
    }
}

impl Layers {
    /// Whether they take tokens: one of them is an embedding.
    pub fn take_tokens(&self) -> bool {
        matches!(self, Layers::Listed(listing) if listing.network().vocabulary().is_some())
    }

    /// The number of places that they have positions for, if they have any.
    pub fn positions(&self) -> Option<usize> {
        let Layers::Listed(listing) = self else { return None };
        positions(&listing.network())
    }

    /// The network for the rows of a set, which the run calls `data`: for images, where the set has images and the list a layer for them, else for
    /// rows of features. The number of outputs is `inferred` from the set if the run does not give it.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] for listed layers that do not fit each other or the set's rows, naming the file; [`Error::Option`] for others than listed ones where the
    /// rows are tokens.
    pub fn network(&self, data: &str, set: &Dataset, inferred: usize) -> Result<Network, Error> {
        match self {
            Layers::Listed(listing) => {
                let (listed, path) = (listing.layers_for(data, set)?, &listing.path);
                let first: Vec<Layer> = set.embed_layer().into_iter().map(Layer::from).collect();
                let layers = [first, listed].concat();
                let network = Network::of_form(set.form_for(&layers), layers.clone());
                let are_wanted = set.image_shape().is_none() && layers.iter().any(Layer::is_of_images);
                let is_beside = layers.len() > listing.layers.len();
                let hint = match (are_wanted, is_beside) {
                    (true, _) => no_images(data, set),
                    (_, true) => "; layer 1 is that of embed under [data], and those of the list count from 2".into(),
                    _ => String::new(),
                };
                network.check().map_err(|error| of_list(path, &format!("{error}{hint}")))?;
                Ok(network)
            }
            Layers::Hidden { .. } if set.vocabulary().is_some() => Err(Error::Option(format!(
                "the rows of {data} are tokens: list a network's layers under [model] in a file, as layers = [{{ embedding = 64 }}, …, {{ dense = \"vocabulary\" }}], \
                 and name it by --config; examples/gpt.toml is one"
            ))),
            Layers::Hidden { widths, activation, dropout, outputs } => Ok(widths
                .iter()
                .zip(dropout)
                .fold(begun(set), |network, (&width, &rate)| network.dense(width, *activation).dropout(rate))
                .dense(outputs.unwrap_or(inferred), Activation::Identity)),
        }
    }

    /// The activations that are the user's own.
    pub fn own_activations(&self) -> Vec<Activation> {
        let all = match self {
            Layers::Listed(listing) => listing.network().activations(),
            Layers::Hidden { activation, .. } => vec![*activation],
        };
        all.into_iter().filter(|activation| matches!(activation, Activation::Custom(_))).collect()
    }
}

/// The number of places that a network has positions for, if it has any.
pub(super) fn positions(network: &Network) -> Option<usize> {
    let mut found = None;
    network.walk(&mut |located| {
        if let LayerKind::Positions(positions) = located.layer.kind() {
            found = found.or(Some(positions.length));
        }
    });
    found
}

/// The network for the rows of a set, up to what its hidden layers take: with a layer that looks up columns of words which are to be vectors.
fn begun(set: &Dataset) -> Network {
    Network::of_layers(set.width(), set.embed_layer().into_iter().map(Layer::from).collect())
}

/// What to do where layers for images come after rows that are none: continues an error.
fn no_images(data: &str, set: &Dataset) -> String {
    format!(
        "; the rows of {data} are {} and no images: list layers that take features, as dense, or, where the features are an image's values, say its \
         form by image = [height, width, channels] under [data], whose product is {}",
        counted(set.width(), "feature"),
        set.width()
    )
}

/// What is wrong with the list of layers in the file with this path.
pub(super) fn of_list(path: &Path, reason: &str) -> Error {
    Error::format(path, format!("layers under [model]: {reason}"))
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "hidden is a list of widths, one width, or \"none\"")]
enum Widths {
    Each(Vec<usize>),
    One(usize),
    Words(String),
}

impl Widths {
    fn list(self) -> Result<Vec<usize>, Error> {
        match self {
            Widths::Each(widths) => Ok(widths),
            Widths::One(width) => Ok(vec![width]),
            Widths::Words(words) => hidden("hidden", &words),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "dropout is a number, or a list with one for each hidden layer")]
enum Dropout {
    All(f64),
    Each(Vec<f64>),
}

impl Dropout {
    /// A probability for each hidden layer.
    fn of_layers(self, hidden: usize) -> Result<Vec<f64>, Error> {
        match self {
            Dropout::All(rate) => Ok(vec![rate; hidden]),
            Dropout::Each(rates) if rates.len() == hidden => Ok(rates),
            Dropout::Each(rates) => Err(Error::Option(format!(
                "dropout has {}: there must be one for each of {}",
                counted(rates.len(), "number"),
                counted(hidden, "hidden layer")
            ))),
        }
    }
}

/// Parses widths; `what` names their source in messages.
fn hidden(what: &str, widths: &str) -> Result<Vec<usize>, Error> {
    if widths == "none" {
        return Ok(Vec::new());
    }
    let width = |word: &str| {
        word.trim().parse().map_err(|_| {
            Error::Option(format!("{what} {widths}: \"{word}\" is not a width; write numbers as 256,128, or none"))
        })
    };
    widths.split(',').map(width).collect()
}
