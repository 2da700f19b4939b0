//! A list of layers in words: as `[model] layers` of run.toml and model files have it.
//!
//! A layer is an object. One of its keys is the layer's word (`dense`, `conv`), the others are its options. Of these, any layer may have an `activation`
//! and a `dropout`: without an activation, it is linear. Both are words of layers too, where no other word is there. Any layer with weights may have an
//! `initializer`.

use serde_json::{Map, Value as Json};

use super::Network;
use super::kind::{LayerKind, WORDS};
use super::layer::{self, Layer, MOST_LAYERS};
use super::window::{Padding, Pair};
use crate::activation::{Activation, Epilogue};
use crate::initializer::Initializer;
use crate::named::{Elsewhere, unknown};

/// How a word becomes an activation: a run's may name a file, a model's may not.
pub(crate) type ActivationOf<'a> = &'a dyn Fn(&str) -> Result<Activation, String>;

/// The words of other programs for layers.
const ELSEWHERE: Elsewhere = &[
    (&["linear", "fc", "fully-connected", "units", "gemm", "hidden"], "dense"),
    (&["conv2d", "convolution", "convolution2d", "conv-2d", "filters", "depthwise-conv2d"], "conv"),
    (&["max-pool2d", "max-pooling", "max-pooling2d"], "max_pool"),
    (&["avg-pool2d", "average-pool", "average-pool2d", "average-pooling", "average-pooling2d"], "avg_pool"),
    (
        &[
            "adaptive-avg-pool2d",
            "adaptive-avg-pool",
            "global-average-pool",
            "global-average-pooling",
            "global-average-pooling2d",
            "global-pool",
            "gap",
        ],
        "global_avg_pool",
    ),
    (&["reshape", "view"], "flatten"),
    (&["batch-norm1d", "batch-norm2d", "batch-normalization", "bn"], "batch_norm"),
    (&["layer-normalization", "ln"], "layer_norm"),
    (&["rms-normalization"], "rms_norm"),
    (&["group-normalization", "gn", "instance-norm"], "group_norm"),
    (&["embeddings", "token-embedding", "wte"], "embedding"),
    (&["entity-embedding", "entity-embeddings", "embedded", "category-embedding"], "embed"),
    (&["position", "positional", "positional-embedding", "position-embedding", "wpe"], "positions"),
    (&["multi-head-attention", "multihead-attention", "self-attention", "mha", "heads"], "attention"),
    (&["skip", "resnet", "add", "body", "residual-block"], "residual"),
    (&["times", "copies", "loop", "stack"], "repeat"),
    (&["relu"], "activation = \"relu\""),
    (&["gelu"], "activation = \"gelu\""),
    (&["silu", "swish"], "activation = \"silu\""),
    (&["tanh"], "activation = \"tanh\""),
    (&["sigmoid"], "activation = \"sigmoid\""),
    (&["dropout2d", "drop"], "dropout"),
];

/// The layers of a list. Whether they fit each other is for [`Network::check`].
///
/// # Errors
///
/// The layer by its location, and what is wrong with its words.
pub(crate) fn from_json(list: &Json, activation: ActivationOf<'_>) -> Result<Vec<Layer>, String> {
    let layers = layers(list, "", activation)?;
    match layer::count(&layers) {
        count if count > MOST_LAYERS => Err(too_many(count)),
        _ => Ok(layers),
    }
}

/// What to say of more layers than a network can have.
pub(super) fn too_many(count: usize) -> String {
    format!(
        "the network has {count} layers, with all copies of those that are repeated: at most {MOST_LAYERS} are allowed"
    )
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
    /// The list of its layers, which [`Layer::list_from_json`] reads.
    pub fn layers_to_json(&self) -> String {
        self.to_json().to_string()
    }

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
        if let Some(initializer) = layer.initializer() {
            words.insert(INITIALIZER.into(), initializer.to_string().into());
        }
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
    // The options that are words too are words where nothing else is there.
    let (options, own): (Vec<&str>, Vec<&str>) = named.iter().partition(|&&word| is_both(word));
    let is_bare = own.is_empty() && entries.keys().all(|key| is_both(key));
    let named = if is_bare { options.into_iter().take(1).collect() } else { own };
    let word = match named[..] {
        [word] => word,
        [] => return Err(format!("{location}{}", no_word(entries))),
        _ => {
            let named = named.join(" and ");
            return Err(format!("{location} has the words {named}: exactly one of them must say what the layer is"));
        }
    };
    let label = format!("{location} ({word})");
    let words = |entries| Words {
        label: label.clone(),
        location: location.clone(),
        entries,
        activation,
        known: vec![],
        missing: None,
    };
    let mut own = words(entries);
    let layer = own.layer(word);
    match (layer, own.missing) {
        // What is missing may be there under another name, which is found once all that the layer asks for is known.
        (Err(reason), Some(missing)) => {
            let mut entries = entries.clone();
            entries.insert(missing.into(), 1.into());
            let mut filled = words(&entries);
            let other = filled.layer(word).ok().and_then(|_| filled.unknown_option(word));
            Err(other.map_or(reason.clone(), |other| format!("{reason}; {other}")))
        }
        (Err(reason), None) => Err(reason),
        (Ok(layer), _) => match own.unknown_option(word) {
            Some(other) => Err(format!("{label}: {other}")),
            None => Ok(layer),
        },
    }
}

/// Whether it is a word of a layer and an option of others.
fn is_both(word: &str) -> bool {
    [ACTIVATION, DROPOUT].contains(&word)
}

/// What to say after the location of a layer that has none of the words: of the key nearest to one, unless all keys are options of any layer.
fn no_word(entries: &Map<String, Json>) -> String {
    let is_own = |key: &&String| !is_both(key) && key.as_str() != INITIALIZER;
    let near = |key: &&String| WORDS.iter().map(|word| strsim::damerau_levenshtein(key, word)).min();
    if let Some(key) = entries.keys().filter(is_own).min_by_key(near) {
        return format!(": {}", unknown(&cut(key), "a layer's word", WORDS.iter().copied(), ELSEWHERE));
    }
    let keys: Vec<&str> = entries.keys().map(String::as_str).collect();
    let has = if keys.is_empty() { " is empty".into() } else { format!(" has only {}", keys.join(" and ")) };
    format!("{has}: one of the words {} must say what the layer is, as {EXAMPLE}", WORDS.join(", "))
}

pub(super) const ACTIVATION: &str = "activation";
pub(super) const DROPOUT: &str = "dropout";
pub(super) const INITIALIZER: &str = "initializer";
const BIAS: &str = "bias";
const PADDING: &str = "padding";

/// Options of layers, and what other programs call them.
const OPTIONS: &[(&str, Elsewhere)] = &[
    ("kernel", &[(&["kernel-size", "kernel-shape", "size", "window"], "kernel")]),
    ("stride", &[(&["strides", "step"], "stride")]),
    (PADDING, &[(&["pad", "pads"], "padding")]),
    ("dilation", &[(&["dilations", "dilation-rate"], "dilation")]),
    ("groups", &[(&["group"], "groups")]),
    (BIAS, &[(&["use-bias"], "bias")]),
    ("eps", &[(&["epsilon"], "eps")]),
    (INITIALIZER, &[(&["kernel-initializer", "init", "weight-init"], "initializer")]),
    (ACTIVATION, &[(&["act", "function", "nonlinearity"], "activation")]),
    (DROPOUT, &[(&["drop", "rate", "p", "dropout-rate"], "dropout")]),
];

/// Whether an option is called so in another program.
fn is_among(key: &str, elsewhere: Elsewhere) -> bool {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    elsewhere.iter().any(|(names, _)| names.iter().any(|name| plain(name) == plain(key)))
}

/// One number for two that are the same, a list for others.
pub(super) fn of_pair([down, across]: [usize; 2]) -> Json {
    if down == across { down.into() } else { vec![down, across].into() }
}

/// Adds two numbers that are not the usual ones.
pub(super) fn add_pair(words: &mut Map<String, Json>, key: &str, pair: [usize; 2], usual: [usize; 2]) {
    if pair != usual {
        words.insert(key.into(), of_pair(pair));
    }
}

/// Adds a number that is not the usual one.
pub(super) fn add_number(words: &mut Map<String, Json>, key: &str, number: f64, usual: f64) {
    if number != usual {
        words.insert(key.into(), number.into());
    }
}

/// Adds a switch that is on.
pub(super) fn add_switch(words: &mut Map<String, Json>, key: &str, on: bool) {
    if on {
        words.insert(key.into(), true.into());
    }
}

/// Says that there is no bias.
pub(super) fn add_bias(words: &mut Map<String, Json>, bias: bool) {
    if !bias {
        words.insert(BIAS.into(), false.into());
    }
}

/// The words of a layer. A kind asks for those that it knows.
pub(super) struct Words<'a> {
    /// The layer's location, and the location with its word, which begins messages.
    location: String,
    label: String,
    entries: &'a Map<String, Json>,
    activation: ActivationOf<'a>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
    /// The one that is not there and must be.
    missing: Option<&'static str>,
}

impl<'a> Words<'a> {
    /// The layer with this word.
    fn layer(&mut self, word: &str) -> Result<Layer, String> {
        let kind = LayerKind::from_words(word, self).unwrap_or_else(|| Err(format!("{word} is no layer")))?;
        let epilogue = self.epilogue(word)?;
        let bare = Layer::new(kind);
        let initializer = if bare.takes_initializer() { self.initializer()? } else { None };
        let layer = bare.with_activation(epilogue.activation).with_dropout(epilogue.dropout);
        Ok(initializer.into_iter().fold(layer, Layer::with_initializer))
    }

    /// What to say of the first key that the layer with this word did not ask for, once it has asked for all.
    fn unknown_option(&self, word: &str) -> Option<String> {
        let known = &self.known;
        let key = self.entries.keys().find(|key| !known.contains(&key.as_str()))?;
        // What other programs call an option helps where this layer has it.
        let of_layer = |(name, elsewhere): &&(&str, Elsewhere)| known.contains(name) && is_among(key, elsewhere);
        let elsewhere = OPTIONS.iter().find(of_layer).map_or(&[][..], |(_, elsewhere)| elsewhere);
        Some(unknown(&cut(key), &format!("an option of {word}"), known.iter().copied(), elsewhere))
    }

    /// The value of a key, if it is there.
    fn get(&mut self, key: &'static str) -> Option<&'a Json> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.get(key)
    }

    /// The value of a key that must be there.
    fn take<T>(&mut self, key: &'static str, what: &str, read: impl FnOnce(&Json) -> Option<T>) -> Result<T, String> {
        let Some(value) = self.get(key) else {
            self.missing = Some(key);
            return Err(format!("{}: {key} is missing: it must be {what}", self.label));
        };
        read(value).ok_or_else(|| format!("{}: {key} is {}: it must be {what}", self.label, shown(value)))
    }

    /// A number of things.
    pub fn count(&mut self, key: &'static str) -> Result<usize, String> {
        self.take(key, "a whole number, at least 1", |value| value.as_u64()?.try_into().ok().filter(|&count| count > 0))
    }

    /// A list of tables that have a whole number under each of these keys, and no others: their numbers, in the order of the keys. `example` is one.
    pub fn tables<const N: usize>(
        &mut self,
        key: &'static str,
        keys: [&str; N],
        example: &str,
    ) -> Result<Vec<[usize; N]>, String> {
        let numbers = |table: &Json| {
            let entries = table.as_object().filter(|entries| entries.len() == N)?;
            let number = |key: &str| entries.get(key)?.as_u64()?.try_into().ok();
            let all: Option<Vec<usize>> = keys.iter().map(|key| number(key)).collect();
            all?.try_into().ok()
        };
        let what = format!("a list of tables, each with the whole numbers {}, as [{example}]", keys.join(", "));
        self.take(key, &what, |list| list.as_array()?.iter().map(numbers).collect())
    }

    /// A number of things, or the usual one.
    pub fn count_or(&mut self, key: &'static str, usual: usize) -> Result<usize, String> {
        if self.get(key).is_some() { self.count(key) } else { Ok(usual) }
    }

    /// Two numbers of at least 1, down and across, or one that is both. Without a usual pair, they must be there.
    pub fn pair(&mut self, key: &'static str, usual: Option<[usize; 2]>) -> Result<[usize; 2], String> {
        const WHAT: &str = "a whole number, at least 1, or two of them, [down, across]";
        match usual {
            Some(usual) if self.get(key).is_none() => Ok(usual),
            _ => self.take(key, WHAT, |value| pair(value).filter(|pair| !pair.contains(&0))),
        }
    }

    /// Pixels down and across, or one number that is both; 0 without the key.
    pub fn pixels(&mut self, key: &'static str) -> Result<[usize; 2], String> {
        if self.get(key).is_none() {
            return Ok([0; 2]);
        }
        self.take(key, "a number of pixels, or two of them, [down, across]", pair)
    }

    /// The padding of a convolution.
    pub fn padding(&mut self) -> Result<Padding, String> {
        if self.get(PADDING).is_none() {
            return Ok(Padding::Valid);
        }
        self.take(PADDING, "\"valid\", \"same\", a number of pixels, or two of them, [down, across]", |value| {
            match value.as_str() {
                Some("valid") => Some(Padding::Valid),
                Some("same") => Some(Padding::Same),
                Some(_) => None,
                None => pair(value).map(Padding::Pixels),
            }
        })
    }

    /// That the word of a layer without a number of its own is `true`.
    pub fn is_true(&mut self, key: &'static str) -> Result<(), String> {
        self.take(key, "true", |value| (value == &Json::Bool(true)).then_some(()))
    }

    /// Whether there is a bias.
    pub fn bias(&mut self) -> Result<bool, String> {
        self.switch_or(BIAS, true)
    }

    /// A switch, which is off unless it is there.
    pub fn switch(&mut self, key: &'static str) -> Result<bool, String> {
        self.switch_or(key, false)
    }

    fn switch_or(&mut self, key: &'static str, usual: bool) -> Result<bool, String> {
        if self.get(key).is_some() { self.take(key, "true or false", Json::as_bool) } else { Ok(usual) }
    }

    /// A number, or the usual one.
    pub fn number_or(&mut self, key: &'static str, usual: f64) -> Result<f64, String> {
        if self.get(key).is_some() { self.number(key) } else { Ok(usual) }
    }

    /// The activation, which must be there.
    pub fn activation(&mut self) -> Result<Activation, String> {
        let word = self.take(ACTIVATION, "a word", |value| value.as_str().map(str::to_string))?;
        (self.activation)(&word).map_err(|reason| format!("{}: {reason}", self.label))
    }

    /// The initializer, which a layer with weights may have.
    fn initializer(&mut self) -> Result<Option<Initializer>, String> {
        if self.get(INITIALIZER).is_none() {
            return Ok(None);
        }
        let word = self.take(INITIALIZER, "a word", |value| value.as_str().map(str::to_string))?;
        word.parse().map(Some).map_err(|error| format!("{}: {INITIALIZER}: {error}", self.label))
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

    /// The activation and the dropout, which any layer may have besides its word.
    fn epilogue(&mut self, word: &str) -> Result<Epilogue, String> {
        let mut epilogue = Epilogue::of(Activation::Identity);
        if word != ACTIVATION && self.get(ACTIVATION).is_some() {
            epilogue.activation = self.activation()?;
        }
        if word != DROPOUT && self.get(DROPOUT).is_some() {
            epilogue.dropout = self.number(DROPOUT)?;
        }
        Ok(epilogue)
    }
}

/// Two numbers down and across, or one that is both.
fn pair(value: &Json) -> Option<[usize; 2]> {
    let number = |value: &Json| value.as_u64().and_then(|number| usize::try_from(number).ok());
    match value.as_array() {
        Some(list) => match &list[..] {
            [down, across] => Some([number(down)?, number(across)?]),
            _ => None,
        },
        None => number(value).map(|both| Pair::from(both).0),
    }
}

/// A value in a message: a list or a table, which may be long, by its kind.
fn shown(value: &Json) -> String {
    match value {
        Json::Array(list) if list.len() <= 4 && list.iter().all(Json::is_number) => value.to_string(),
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
