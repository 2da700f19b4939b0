//! A list of layers in words: as `[model] layers` of run.toml and model files have it.
//!
//! A layer is an object. One of its keys is the layer's word (`dense`, `residual`), the others are its options. Of these, any layer may have an `activation`
//! and a `dropout`: without an activation, it is linear.

use serde_json::{Map, Value as Json};

use super::Network;
use super::kind::{LayerKind, WORDS};
use super::layer::{self, Layer};
use crate::activation::{Activation, Epilogue};
use crate::named::{Elsewhere, unknown};

/// How a word becomes an activation: a run's may name a file, a model's may not.
pub(crate) type ActivationOf<'a> = &'a dyn Fn(&str) -> Result<Activation, String>;

/// The words of other programs for layers.
const ELSEWHERE: Elsewhere = &[
    (&["linear", "fc", "fully-connected", "units", "gemm", "hidden"], "dense"),
    (&["skip", "resnet", "add", "body", "residual-block"], "residual"),
];

/// The layers of a list. Whether they fit each other is for [`Network::check`].
///
/// # Errors
///
/// The layer by its location, and what is wrong with its words.
pub(crate) fn from_json(list: &Json, activation: ActivationOf<'_>) -> Result<Vec<Layer>, String> {
    layers(list, "", activation)
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
        layer.kind().to_words(&mut words);
        let Epilogue { activation, dropout } = layer.epilogue;
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

/// The layers of a list at a location, which begins the reason why one cannot be read.
fn layers(list: &Json, within: &str, activation: ActivationOf<'_>) -> Result<Vec<Layer>, String> {
    let list = list.as_array().ok_or_else(|| {
        let subject = if within.is_empty() { "layers" } else { within };
        format!("{subject} is {}: it must be a list of layers, as [{EXAMPLE}]", shown(list))
    })?;
    list.iter().enumerate().map(|(at, words)| one(words, layer::location(within, at), activation)).collect()
}

const EXAMPLE: &str = "{ dense = 10 }";

/// The layer at a location.
fn one(words: &Json, location: String, activation: ActivationOf<'_>) -> Result<Layer, String> {
    let known = WORDS.join(", ");
    let entries = words.as_object().ok_or_else(|| {
        format!(
            "{location} is {}: it must be a table with one of the words {known}, as {EXAMPLE}; widths alone are hidden = [256, 128]",
            shown(words)
        )
    })?;
    let named: Vec<&str> = WORDS.iter().copied().filter(|&word| entries.contains_key(word)).collect();
    let word = match named[..] {
        [word] => word,
        [] => return Err(format!("{location}{}", no_word(entries))),
        _ => {
            let named = named.join(" and ");
            return Err(format!("{location} has the words {named}: exactly one of them must say what the layer is"));
        }
    };
    let mut words = Words { label: format!("{location} ({word})"), location, entries, activation, known: Vec::new() };
    let kind = LayerKind::from_words(word, &mut words).unwrap_or_else(|| Err(format!("{word} is no layer")))?;
    let epilogue = words.epilogue()?;
    let (label, known) = (words.label, words.known);
    match entries.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let what = format!("an option of {word}");
            Err(format!("{label}: {}", unknown(&cut(key), &what, known.into_iter(), &[])))
        }
        None => Ok(Layer::new(kind).with_activation(epilogue.activation).with_dropout(epilogue.dropout)),
    }
}

/// What to say after the location of a layer that has none of the words: of the key nearest to one, unless all keys are options of any layer.
fn no_word(entries: &Map<String, Json>) -> String {
    let is_own = |key: &&String| ![ACTIVATION, DROPOUT].contains(&key.as_str());
    let near = |key: &&String| WORDS.iter().map(|word| strsim::damerau_levenshtein(key, word)).min();
    if let Some(key) = entries.keys().filter(is_own).min_by_key(near) {
        return format!(": {}", unknown(&cut(key), "a layer's word", WORDS.iter().copied(), ELSEWHERE));
    }
    let keys: Vec<&str> = entries.keys().map(String::as_str).collect();
    let has = if keys.is_empty() { " is empty".into() } else { format!(" has only {}", keys.join(" and ")) };
    format!("{has}: one of the words {} must say what the layer is, as {EXAMPLE}", WORDS.join(", "))
}

const ACTIVATION: &str = "activation";
const DROPOUT: &str = "dropout";

/// The words of a layer. A kind asks for those that it knows.
pub(super) struct Words<'a> {
    /// The layer's location, and the location with its word, which begins messages.
    location: String,
    label: String,
    entries: &'a Map<String, Json>,
    activation: ActivationOf<'a>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

impl<'a> Words<'a> {
    /// The value of a key, if it is there.
    fn get(&mut self, key: &'static str) -> Option<&'a Json> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.get(key)
    }

    /// The value of a key that must be there.
    fn take<T>(&mut self, key: &'static str, what: &str, read: impl FnOnce(&Json) -> Option<T>) -> Result<T, String> {
        let value = self.get(key).ok_or_else(|| format!("{}: {key} is missing: it must be {what}", self.label))?;
        read(value).ok_or_else(|| format!("{}: {key} is {}: it must be {what}", self.label, shown(value)))
    }

    /// A number of things.
    pub fn count(&mut self, key: &'static str) -> Result<usize, String> {
        self.take(key, "a whole number, at least 1", |value| value.as_u64()?.try_into().ok().filter(|&count| count > 0))
    }

    /// A number.
    pub fn number(&mut self, key: &'static str) -> Result<f64, String> {
        self.take(key, "a number", Json::as_f64)
    }

    /// The list of layers under a key, which is the layer's `part`; without the key there are none.
    pub fn layers(&mut self, key: &'static str, part: &str) -> Result<Vec<Layer>, String> {
        let Some(list) = self.get(key) else { return Ok(Vec::new()) };
        layers(list, &layer::within(&self.location, part), self.activation)
    }

    /// The activation and the dropout, which any layer may have.
    fn epilogue(&mut self) -> Result<Epilogue, String> {
        let mut epilogue = Epilogue::of(Activation::Identity);
        if self.get(ACTIVATION).is_some() {
            let word = self.take(ACTIVATION, "a word", |value| value.as_str().map(str::to_string))?;
            epilogue.activation = (self.activation)(&word).map_err(|reason| format!("{}: {reason}", self.label))?;
        }
        if self.get(DROPOUT).is_some() {
            epilogue.dropout = self.number(DROPOUT)?;
        }
        Ok(epilogue)
    }
}

/// A value in a message: a list or a table, which may be long, by its kind.
fn shown(value: &Json) -> String {
    match value {
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "a table".into(),
        Json::String(text) => format!("{:?}", cut(text)),
        other => other.to_string(),
    }
}

/// The beginning of a text that may be long.
fn cut(text: &str) -> String {
    const MOST: usize = 40;
    let begin: String = text.chars().take(MOST).collect();
    if begin.len() < text.len() { begin + "…" } else { begin }
}
