//! `--init`: whether a model's weights are for the run's network, and in what the two differ.

use std::path::Path;

use super::config::Run;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::Model;
use crate::network::{Network, Parameter};

/// Checks that the weights fit, and returns what differs all the same, a sentence each.
///
/// # Errors
///
/// [`Error::Format`] with both networks and the first layer that differs.
pub(super) fn check(path: &Path, model: &Model, run: &Run, network: &Network) -> Result<Vec<String>, Error> {
    let shapes = format!("its network is {}, and this run's is {}", model.network.shape(), network.shape());
    if let Err(error) = network.check_weights(&model.weights) {
        let first = first_difference(&model.network, network).unwrap_or_else(|| error.to_string());
        let right = as_flags(&model.network)
            .filter(|_| model.network.inputs() == network.inputs() && model.network.outputs() == network.outputs());
        let right = right.map_or_else(
            || "the run's data and [model] must give the model's widths".into(),
            |flags| format!("{flags} gives the model's"),
        );
        return Err(Error::format(path, format!("{shapes}: {first}; {right}")));
    }
    let (own, others) = (layers(&model.network), layers(network));
    let kinds = |layers: &[Described]| layers.iter().map(|layer| layer.kind).collect::<Vec<_>>();
    if kinds(&own) != kinds(&others) {
        let at = own
            .iter()
            .zip(&others)
            .position(|(own, other)| own.kind != other.kind)
            .unwrap_or(own.len().min(others.len()));
        let word = |layers: &[Described]| layers.get(at).map_or("none", |layer| layer.kind);
        return Err(Error::format(
            path,
            format!(
                "{shapes}: {} is {} in the file and {} in the run, and the weights of one are not for the other; list the model's layers under [model]",
                own.get(at).or(others.get(at)).map_or("", |layer| &layer.place),
                word(&own),
                word(&others)
            ),
        ));
    }
    // A state dict of another program has neither activations nor a loss: what is assumed of it is not compared.
    let bytes = crate::files::read_whole(path)?;
    if crate::model::about(path, &bytes)?.is_none() {
        return Ok(Vec::new());
    }
    let differing = own.iter().zip(&others).find(|(own, other)| own.activation != other.activation);
    let activation = differing.map(|(own, other)| {
        format!(
            "the weights fit, but {} has the activation {} in the model and {} in this run: the network computes something else than the model; \
             --activation {} gives the model's",
            own.place, own.activation, other.activation, own.activation
        )
    });
    let (trained, asked): (&Loss, &Loss) = (&model.loss, &run.options.loss);
    let loss = (trained.name() != asked.name()).then(|| {
        format!(
            "the model was trained with the loss {}, and this run trains with {}: its outputs get another meaning; --loss {} gives the model's",
            trained.name(),
            asked.name(),
            trained.name()
        )
    });
    Ok(activation.into_iter().chain(loss).collect())
}

/// A layer as far as it is compared.
struct Described {
    place: String,
    kind: &'static str,
    activation: String,
}

/// The layers of a network, each before those within it.
fn layers(network: &Network) -> Vec<Described> {
    let mut layers = Vec::new();
    network.walk(&mut |located| {
        let (kind, activation) = (located.layer.word(), located.layer.activation().to_string());
        layers.push(Described { place: located.location, kind, activation });
    });
    layers
}

/// The first layer with weights in which two networks differ, in their order.
fn first_difference(model: &Network, run: &Network) -> Option<String> {
    let (own, others) = (model.named_parameters(), run.named_parameters());
    let differs = |(own, other): (&Parameter, &Parameter)| {
        ((own.inputs, own.outputs) != (other.inputs, other.outputs)).then(|| {
            format!(
                "the first difference is {}, tensor {}.weight, [{}, {}] in the file and [{}, {}] in the run",
                own.location, own.name, own.outputs, own.inputs, other.outputs, other.inputs
            )
        })
    };
    let found = own.iter().zip(&others).find_map(differs);
    found.or_else(|| {
        (own.len() != others.len()).then(|| {
            let at = own.len().min(others.len());
            let (in_file, in_run) = (own.get(at), others.get(at));
            let (place, name) = in_file.or(in_run).map_or(("", ""), |own| (&own.location, &own.name));
            let there = if in_file.is_some() { "in the file alone" } else { "in the run alone" };
            format!("the first difference is {place}, tensor {name}.weight, which is {there}")
        })
    })
}

/// The options of `train` that describe a chain of dense layers with one activation; `None` for another network.
fn as_flags(network: &Network) -> Option<String> {
    let layers = network.layers();
    let hidden = layers.split_last().filter(|_| network.is_chain())?.1;
    let widths: Vec<String> = network.widths().take(hidden.len()).map(|(_, width)| width.to_string()).collect();
    let widths = if widths.is_empty() { "none".into() } else { widths.join(",") };
    let first = hidden.first().map(|layer| layer.activation());
    let activation = first.map_or(String::new(), |activation| format!(" --activation {activation}"));
    hidden.iter().all(|layer| Some(layer.activation()) == first).then(|| format!("--hidden {widths}{activation}"))
}
