//! A list of layers in words: as `[model] layers` of run.toml and model files have it.
//!
//! A layer is an object. One of its keys is the layer's word (`dense`, `residual`), the others are its options.

use serde_json::{Map, Value as Json};

use super::Network;
use super::layer::{Layer, WORDS};
use crate::activation::{Activation, Epilogue};

/// How a word becomes an activation: a run's may name a file, a model's may not.
pub(crate) type ActivationOf<'a> = &'a dyn Fn(&str) -> Result<Activation, String>;

/// The layers of a list. Whether they fit each other is for [`Network::check`].
///
/// # Errors
///
/// The layer by its number, and what is wrong with its words.
pub(crate) fn from_json(list: &Json, activation: ActivationOf<'_>) -> Result<Vec<Layer>, String> {
    layers(list, "layer", activation)
}

/// The activations that a list of layers names, its other words unread.
pub(crate) fn activation_words(list: &Json) -> Vec<&str> {
    match list {
        Json::Array(entries) => entries.iter().flat_map(activation_words).collect(),
        Json::Object(entries) => {
            let own = entries.get(ACTIVATION).and_then(Json::as_str);
            own.into_iter().chain(entries.values().flat_map(activation_words)).collect()
        }
        _ => vec![],
    }
}

impl Network {
    /// The list of its layers.
    pub(crate) fn to_json(&self) -> Json {
        to_json(&self.layers)
    }
}

/// The list of these layers.
pub(super) fn to_json(layers: &[Layer]) -> Json {
    let words = |layer: &Layer| {
        let mut words = Map::new();
        layer.to_words(&mut words);
        let Epilogue { activation, dropout } = layer.epilogue();
        if activation != Activation::Identity {
            words.insert(ACTIVATION.into(), activation.to_string().into());
        }
        if dropout > 0.0 {
            words.insert(DROPOUT.into(), dropout.into());
        }
        Json::Object(words)
    };
    layers.iter().map(words).collect()
}

/// The layers of a list; `place` and a number begin the reason why one cannot be read.
fn layers(list: &Json, place: &str, activation: ActivationOf<'_>) -> Result<Vec<Layer>, String> {
    let list = list.as_array().ok_or_else(|| format!("{place}s are {list}: they must be a list"))?;
    let layer = |(at, words): (usize, &Json)| {
        let place = format!("{place} {}", at + 1);
        let known = WORDS.join(", ");
        let entries = words.as_object().ok_or_else(|| {
            format!("{place} is {words}: it must be a table with one of the words {known}, as {{ dense = 10 }}; widths alone are hidden = [256, 128]")
        })?;
        let named: Vec<&str> = WORDS.iter().copied().filter(|&word| entries.contains_key(word)).collect();
        let [word] = named[..] else {
            let keys: Vec<&str> = entries.keys().map(String::as_str).collect();
            return Err(format!(
                "{place} has the keys {}: it must have exactly one of the words {known}, which says what it is",
                keys.join(", ")
            ));
        };
        let mut words = Words { place: format!("{place} ({word})"), entries: entries.clone(), activation };
        let layer = Layer::from_words(word, &mut words)?;
        match words.entries.keys().next() {
            Some(unknown) => Err(format!("{}: it has no option {unknown}", words.place)),
            None => Ok(layer),
        }
    };
    list.iter().enumerate().map(layer).collect()
}

const ACTIVATION: &str = "activation";
const DROPOUT: &str = "dropout";

/// The words of a layer, which are taken one by one: what is left over at the end is unknown.
pub(super) struct Words<'a> {
    place: String,
    entries: Map<String, Json>,
    activation: ActivationOf<'a>,
}

impl Words<'_> {
    /// Whether it has a key.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    fn take<T>(&mut self, key: &str, what: &str, read: impl FnOnce(&Json) -> Option<T>) -> Result<T, String> {
        let value = self.entries.remove(key).unwrap_or(Json::Null);
        read(&value).ok_or_else(|| format!("{}: {key} is {value}: it must be {what}", self.place))
    }

    /// A whole number.
    pub fn count(&mut self, key: &str) -> Result<usize, String> {
        self.take(key, "a whole number", |value| value.as_u64()?.try_into().ok())
    }

    /// A number.
    pub fn number(&mut self, key: &str) -> Result<f64, String> {
        self.take(key, "a number", Json::as_f64)
    }

    /// A list of layers.
    pub fn layers(&mut self, key: &str) -> Result<Vec<Layer>, String> {
        let list = self.entries.remove(key).unwrap_or(Json::Null);
        layers(&list, &format!("{}: {key}'s layer", self.place), self.activation)
    }

    /// The activation and the dropout, which any layer may have.
    pub fn epilogue(&mut self) -> Result<Epilogue, String> {
        let mut epilogue = Epilogue::of(Activation::Identity);
        if self.has(ACTIVATION) {
            let word = self.take(ACTIVATION, "a word", |value| value.as_str().map(str::to_string))?;
            epilogue.activation = (self.activation)(&word).map_err(|reason| format!("{}: {reason}", self.place))?;
        }
        if self.has(DROPOUT) {
            epilogue.dropout = self.number(DROPOUT)?;
        }
        Ok(epilogue)
    }
}
