//! State dicts of a known network: the tensors have the names that its parameters have, after the same prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::tensor::TensorView;

use super::order::listed;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::tensors::{out_of_file, transposed, values, wrong_value};
use crate::model::{Model, about, parse};
use crate::network::{LayerKind, Network, Parameter};
use crate::weights::{LayerWeights, Weights};

/// The number of minibatches that a batch norm of PyTorch saw, which changes no output.
const COUNTER: &str = ".num_batches_tracked";

/// A file's tensors by their names.
pub(super) type Tensors<'a> = BTreeMap<String, TensorView<'a>>;

impl Model {
    /// Reads a state dict of a network that is known, as one with convolutions must be: a state dict has neither strides nor pools nor activations. Its tensors
    /// have the names of [`Network::named_parameters`], those of a `torch.nn.Sequential`, or the same after one prefix, as `net.0.weight`. A tied layer's
    /// weights may be there too, with the values of the embedding's table. Values of f16, bf16
    /// and f64 become f32. The loss is taken as softmax cross-entropy, or, for one output, as mse.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network that does not pass its check; [`Error::Io`], or [`Error::Format`] naming the first tensor that is missing, does not fit or
    /// is of no layer, and a file that says itself what its layers are.
    pub fn read_state_dict_as(path: impl AsRef<Path>, network: &Network) -> Result<Self, Error> {
        let path = path.as_ref();
        network.check()?;
        let bytes = crate::files::read_whole(path)?;
        let file = parse(path, &bytes)?;
        if about(path, &bytes)?.is_some() {
            return Err(Error::format(path, "it says itself what its layers are: import it without --config"));
        }
        let tensors: Tensors<'_> = file.tensors().into_iter().collect();
        let weights = weights(&tensors, network).map_err(|reason| Error::format(path, reason))?;
        let loss = if network.outputs() == 1 { Loss::MeanSquaredError } else { Loss::default() };
        Ok(Model::new(network.clone(), weights, loss))
    }
}

/// Where a file has a parameter.
pub(super) struct Source {
    pub weight: String,
    /// Nothing where the file has no bias, and it is 0.
    pub bias: Option<String>,
    /// Whether the weight is a matrix `[inputs, outputs]`.
    pub is_turned: bool,
}

/// Reads parameters from where a file has them, and gives the names of the tensors that are left. Messages say how names were `taken`.
pub(super) fn read<'t>(
    tensors: &'t Tensors<'_>,
    parameters: &[Parameter],
    sources: &[Source],
    taken: &str,
) -> Result<(Weights, BTreeSet<&'t str>), String> {
    let mut unread: BTreeSet<&str> = tensors.keys().map(String::as_str).collect();
    let mut layers = Vec::new();
    for (parameter, source) in parameters.iter().zip(sources) {
        let Parameter { location, inputs, outputs, kind, .. } = parameter;
        let mut read = |name: &str, shape: &[usize]| {
            let tensor = tensors.get(name).ok_or_else(|| {
                format!("it has no tensor {name}, which {location} takes{taken}: {}", left(tensors, sources))
            })?;
            if tensor.shape() != shape {
                return Err(format!("{name} has the shape {:?}: {location} takes {shape:?}{taken}", tensor.shape()));
            }
            unread.remove(name);
            values(name, tensor)
        };
        let weight = match source.is_turned {
            true => transposed(&read(&source.weight, &[*inputs, *outputs])?, *outputs, *inputs),
            false => out_of_file(parameter, read(&source.weight, &parameter.shape())?),
        };
        let bias = match &source.bias {
            Some(bias) if parameter.bias => read(bias, &[*outputs])?,
            None if parameter.bias => vec![0.0; *outputs],
            _ => vec![],
        };
        let layer = LayerWeights::new(*inputs, *outputs, weight, bias);
        if let Some((part, reason)) = wrong_value(*kind, &layer) {
            let bias = source.bias.as_ref().filter(|_| part == kind.tensors()[1]);
            return Err(format!("{} {reason}", bias.unwrap_or(&source.weight)));
        }
        layers.push(layer);
    }
    Ok((Weights { layers }, unread))
}

fn weights(tensors: &Tensors<'_>, network: &Network) -> Result<Weights, String> {
    let parameters = network.named_parameters();
    let prefix = prefix(tensors, &parameters);
    // What the names are looked up by.
    let taken = match &*prefix {
        "" => String::new(),
        prefix => format!(" (its names are taken as those of the layers after {prefix})"),
    };
    let source = |parameter: &Parameter| {
        let [weight, bias] = parameter.tensor_names().map(|name| format!("{prefix}{name}"));
        Source { weight, bias: parameter.bias.then_some(bias), is_turned: false }
    };
    let sources: Vec<Source> = parameters.iter().map(source).collect();
    let (weights, mut unread) = read(tensors, &parameters, &sources, &taken)?;
    if let Some((own, location, table)) = tied(network) {
        let [own, table] = [own, table].map(|name| format!("{prefix}{name}"));
        if unread.remove(own.as_str()) && !are_same(tensors, &own, &table)? {
            return Err(format!(
                "{own} has other values than {table}: {location} is tied, so both must be the same; list it without tied = true to have both"
            ));
        }
    }
    match unread.into_iter().find(|name| !name.ends_with(COUNTER)) {
        None => Ok(weights),
        Some(name) => Err(format!("it has a tensor {name}, which none of the listed layers takes{taken}")),
    }
}

/// The name that the weights of a network's tied layer would have, the layer's location, and the name of the table that it has.
fn tied(network: &Network) -> Option<(String, String, String)> {
    let (mut table, mut tied) = (None, None);
    network.walk(&mut |located| match located.layer.kind() {
        LayerKind::Embedding(_) => table = Some(format!("{}.weight", located.name)),
        LayerKind::Dense(dense) if dense.tied => tied = Some((format!("{}.weight", located.name), located.location)),
        _ => {}
    });
    let ((own, location), table) = tied.zip(table)?;
    Some((own, location, table))
}

/// Whether two tensors have the same shape and the same values.
pub(super) fn are_same(tensors: &Tensors<'_>, one: &str, other: &str) -> Result<bool, String> {
    let Some((a, b)) = tensors.get(one).zip(tensors.get(other)) else { return Ok(false) };
    Ok(a.shape() == b.shape() && values(one, a)? == values(other, b)?)
}

/// The names of a network's tensors.
fn names(parameters: &[Parameter]) -> impl Iterator<Item = String> {
    parameters.iter().flat_map(|parameter| {
        let [weight, bias] = parameter.tensor_names();
        std::iter::once(weight).chain(parameter.bias.then_some(bias))
    })
}

/// What all names begin with: the shortest prefix under which the file has all tensors of the network; else one that all of the file's names have, if the
/// network has any of them. No other one is guessed: a network's first tensor may well have the name of a residual's.
fn prefix(tensors: &Tensors<'_>, parameters: &[Parameter]) -> String {
    let Some(first) = names(parameters).next() else { return String::new() };
    let is_there = |prefix: &str, name: String| tensors.contains_key(&format!("{prefix}{name}"));
    let is_prefix = |prefix: &&str| prefix.is_empty() || prefix.ends_with('.');
    let mut complete: Vec<&str> =
        tensors.keys().filter_map(|name| name.strip_suffix(&first)).filter(is_prefix).collect();
    complete.sort_by_key(|prefix| prefix.len());
    let has_all = |prefix: &&str| names(parameters).all(|name| is_there(prefix, name));
    if let Some(prefix) = complete.into_iter().take(MOST_PREFIXES).find(has_all) {
        return prefix.into();
    }
    let Some((one, other)) = tensors.keys().next().zip(tensors.keys().next_back()) else { return String::new() };
    // In alphabetical order, what the first and the last name begin with, all do.
    let shared = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let ends = one.bytes().take(shared).enumerate().filter(|&(_, letter)| letter == b'.').map(|(at, _)| at + 1);
    let found = |prefix: &&str| names(parameters).filter(|name| is_there(prefix, name.clone())).count();
    let shared: Vec<&str> =
        std::iter::once(0).chain(ends.take(MOST_PREFIXES)).filter_map(|end| one.get(..end)).collect();
    // Of those with as many, the shortest.
    let best = shared.into_iter().rev().max_by_key(found).filter(|prefix| found(prefix) > 0);
    best.unwrap_or_default().into()
}

/// The most prefixes that are tried.
const MOST_PREFIXES: usize = 16;

/// What a file has where a tensor is missing, for messages: the tensors that no layer takes, as one of them may be the missing one, or else all.
fn left(tensors: &Tensors<'_>, sources: &[Source]) -> String {
    let known: BTreeSet<&String> =
        sources.iter().flat_map(|source| std::iter::once(&source.weight).chain(&source.bias)).collect();
    let all: Vec<&str> = tensors.keys().map(String::as_str).collect();
    let is_left = |name: &&String| !known.contains(name) && !name.ends_with(COUNTER);
    let left: Vec<&str> = tensors.keys().filter(is_left).map(String::as_str).collect();
    match (all.is_empty(), left.is_empty()) {
        (true, _) => "it has none at all".into(),
        (_, true) => format!("its tensors are {}", listed(all.into_iter())),
        _ => format!("it has {}, which no layer takes", listed(left.into_iter())),
    }
}
