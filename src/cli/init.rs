//! `--init`: whether a model's weights are for the run's network, and in what the two differ.

use std::path::Path;

use super::config::Run;
use super::layers::Layers;
use crate::activation::Activation;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::Model;
use crate::named::counted;
use crate::network::{Form, Located, Network, Parameter};

/// Checks that the weights fit, and returns what differs all the same, a sentence each.
///
/// # Errors
///
/// [`Error::Format`] with both networks and the first layer that differs.
pub(super) fn check(path: &Path, model: &Model, run: &Run, network: &Network) -> Result<Vec<String>, Error> {
    let shapes = format!("its network is {}, and this run's is {}", model.network.shape(), network.shape());
    let (own, others) = (layers(&model.network), layers(network));
    // Of two chains of dense layers, the shapes say more.
    let are_chains = model.network.is_chain() && network.is_chain();
    if let Some(there) = first_other(&own, &others).filter(|_| !are_chains) {
        return Err(Error::format(
            path,
            format!(
                "{shapes}: {there}, and the weights of one are not for the other; list the model's layers under [model]"
            ),
        ));
    }
    let (own_form, form) = (model.network.input(), network.input());
    // A model of images has its weights for another order of values than a row of features has.
    if own_form != form && [own_form, form].iter().any(|form| matches!(form, Form::Image(_) | Form::Tokens(_))) {
        return Err(Error::format(
            path,
            format!("{shapes}: it takes {}, and the run's set has {}", named(own_form), named(form)),
        ));
    }
    let computing = first_computing(&own, &others);
    if let Err(error) = network.check_weights(&model.weights) {
        let first = first_difference(&model.network, network).unwrap_or_else(|| error.to_string());
        // Of a chain of dense layers the widths say it, and elsewhere another stride or window is why a later layer is wider.
        let first = computing.filter(|_| !are_chains).map_or(first.clone(), |why| format!("{why}; {first}"));
        let ends_fit = model.network.inputs() == network.inputs() && model.network.outputs() == network.outputs();
        let right = match as_flags(&model.network, run) {
            Some((hidden, activation)) if ends_fit => format!("--hidden {hidden}{activation} gives the model's"),
            _ if ends_fit => "list the model's layers under [model]".into(),
            _ => "the run's data and [model] must give the model's widths".into(),
        };
        return Err(Error::format(path, format!("{shapes}: {first}; {right}")));
    }
    // A state dict of another program has neither activations nor a loss: what is assumed of it is not compared.
    let bytes = crate::files::read_whole(path)?;
    if crate::model::about(path, &bytes)?.is_none() {
        return Ok(Vec::new());
    }
    Ok(notes(model, run, [&own, &others], computing))
}

/// What differs between a model and a run whose network takes its weights, a sentence each: `computing` is the first layer that computes something else.
fn notes(model: &Model, run: &Run, [own, others]: [&[Located<'_>]; 2], computing: Option<String>) -> Vec<String> {
    let computing = computing.map(|there| {
        format!(
            "the weights fit, but {there}: the network computes something else than the model; the model's options in its layers under [model] give \
             the model's"
        )
    });
    let differing = own.iter().zip(others).find(|(own, other)| own.layer.activation() != other.layer.activation());
    let activation = differing.map(|(own, other)| {
        format!(
            "the weights fit, but {} has the activation {} in the model and {} in this run: the network computes something else than the model; {}",
            own.location,
            own.layer.activation(),
            other.layer.activation(),
            right_activation(own, &model.network, run)
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
    computing.into_iter().chain(activation).chain(loss).collect()
}

/// What a network takes, as an error names it.
fn named(form: Form) -> String {
    match form {
        Form::Image(_) => format!("images of {form}"),
        _ => format!("rows of {}", counted(form.values(), "feature")),
    }
}

/// The first layer that is of another kind, or at another location, in the run: weights of the same shapes may be of a residual's body in one network, and of the
/// layer after it in the other.
fn first_other(own: &[Located<'_>], others: &[Located<'_>]) -> Option<String> {
    fn identity<'a>(layer: &'a Located<'_>) -> (&'a str, &'static str) {
        (&layer.location, layer.layer.word())
    }
    let is_other = |at: &usize| own.get(*at).map(identity) != others.get(*at).map(identity);
    let at = (0..own.len().max(others.len())).find(is_other)?;
    let word = |layer: Option<&Located<'_>>| layer.map_or("none", |layer| layer.layer.word());
    Some(match (own.get(at), others.get(at)) {
        (Some(own), Some(other)) if own.location != other.location => format!(
            "{} ({}) in the file comes where {} ({}) is in the run",
            own.location,
            own.layer.word(),
            other.location,
            other.layer.word()
        ),
        (own, other) => {
            let location = own.or(other).map_or("", |layer| &layer.location);
            format!("{location} is {} in the file and {} in the run", word(own), word(other))
        }
    })
}

/// The first layer that computes something else in the run, though it may have the same weights: by a stride, a window, an eps.
fn first_computing(own: &[Located<'_>], others: &[Located<'_>]) -> Option<String> {
    let differing: Vec<_> = own.iter().zip(others).filter(|(own, other)| !own.computes_as(other)).collect();
    let (own, other) = differing.first()?;
    let more = match differing.len() {
        1 => String::new(),
        all => format!(", the first of {all} layers that differ"),
    };
    Some(format!(
        "{} is \"{}\" in the model and \"{}\" in this run{more}",
        own.location,
        own.computation(),
        other.computation()
    ))
}

/// How the run gets the activation of a layer of a model's network.
fn right_activation(layer: &Located<'_>, model: &Network, run: &Run) -> String {
    if let Some((_, activation)) = as_flags(model, run).filter(|(_, activation)| !activation.is_empty()) {
        return format!("{} gives the model's", activation.trim_start());
    }
    let word = match layer.layer.activation() {
        own @ Activation::Custom(_) => format!("\"{own}.wgsl\", the path of its file"),
        own => format!("\"{own}\""),
    };
    let list = match run.layers {
        Layers::Listed(..) => "",
        Layers::Hidden { .. } => "list the model's layers under [model], and ",
    };
    format!("{list}set the activation of {} under [model] to {word}", layer.location)
}

/// The layers of a network, each before those within it.
fn layers(network: &Network) -> Vec<Located<'_>> {
    let mut layers = Vec::new();
    network.walk(&mut |located| layers.push(located));
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
            let (location, name) = in_file.or(in_run).map_or(("", ""), |own| (&own.location, &own.name));
            let there = if in_file.is_some() { "in the file alone" } else { "in the run alone" };
            format!("the first difference is {location}, tensor {name}.weight, which is {there}")
        })
    })
}

/// The widths and ` --activation …` for the options of `train` that describe a network: hidden dense layers with one activation, if any, and a last one
/// without. `None` for another network, an activation that is not built in, and for a run whose file lists its layers, which refuses these options.
fn as_flags(network: &Network, run: &Run) -> Option<(String, String)> {
    let is_described = network.is_chain() && matches!(run.layers, Layers::Hidden { .. });
    let (last, hidden) = network.layers().split_last().filter(|_| is_described)?;
    if last.activation() != Activation::Identity {
        return None;
    }
    let Some(activation) = hidden.first().map(|layer| layer.activation()) else {
        return Some(("none".into(), String::new()));
    };
    let is_given = !matches!(activation, Activation::Custom(_));
    let widths: Vec<String> = network.widths().take(hidden.len()).map(|(_, width)| width.to_string()).collect();
    let is_one = hidden.iter().all(|layer| layer.activation() == activation);
    (is_given && is_one).then(|| (widths.join(","), format!(" --activation {activation}")))
}
