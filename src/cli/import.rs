//! `wgrad import`.

use std::path::Path;

use serde_json::json;

use super::config::File;
use super::layers::{of_list, positions};
use super::opening::check_ending;
use super::options::Import;
use super::output::{Output, grouped};
use crate::activation::Activation;
use crate::error::Error;
use crate::loss::{Loss, Task};
use crate::model::Model;
use crate::network::{Form, Network};
use crate::preprocessing::ImageShape;

/// What can be imported, for messages.
const READ: &str = "import reads .onnx, and .safetensors with a state dict: in PyTorch, safetensors.torch.save_file(net.state_dict(), \"net.safetensors\")";

pub(super) fn run(options: &Import) -> Result<(), Error> {
    let output = Output::of(options.json);
    check_ending(&options.output, "safetensors")?;
    let (mut model, mut notes) = read(options)?;
    let file = options.config.as_deref().map(File::read).transpose()?;
    if let Some(loss) = loss_of(options, file.as_ref())? {
        model.loss = loss;
    }
    notes.extend(file.iter().flat_map(File::of_the_set));
    model.loss.check(model.network.outputs())?;
    model.image = image_of(&model);
    notes.extend(not_there(&model));
    model.write(&options.output)?;
    let (path, parameters) = (options.output.display(), model.network.parameters());
    output.event(json!({
        "event": "imported", "file": path.to_string(), "parameters": parameters, "loss": model.loss.name(), "notes": notes,
    }))?;
    notes.iter().try_for_each(|note| output.text(note))?;
    output.text(format_args!("{path}: {}, {} parameters", model.network.shape(), grouped(parameters as u64)))?;
    output.text(format_args!("loss {}", model.loss.name()))
}

/// The shape of the images that a model takes, by which image files can be predicted on: a file of another program has only that of the network's input.
pub(super) fn image_of(model: &Model) -> Option<ImageShape> {
    let of_network = match model.network.input() {
        Form::Image(image) => {
            let [height, width, channels] = [image.height, image.width, image.channels].map(|side| side as usize);
            Some(ImageShape { height, width, channels })
        }
        _ => None,
    };
    model.image.or(of_network)
}

/// The loss that the flag names, with the values that the file of options has for it; without the flag, the file's.
fn loss_of(options: &Import, file: Option<&File>) -> Result<Option<Loss>, Error> {
    let flag = options.loss.as_deref();
    match file.map(|file| file.loss(flag)).transpose()?.flatten() {
        Some(loss) => Ok(Some(loss)),
        None => flag.map(Loss::from_name).transpose(),
    }
}

/// What the model does not have, as its file has none: a sentence each.
fn not_there(model: &Model) -> Vec<String> {
    let inputs = model.network.inputs();
    if let Form::Tokens(_) = model.network.input() {
        let vocabulary = model.vocabulary.is_none().then(|| {
            format!(
                "it has no vocabulary of a text: evaluate takes arrays of tokens, {inputs} a row, and generate takes no prompt; in a program \
                 Predictor::generate does"
            )
        });
        return vocabulary.into_iter().collect();
    }
    let columns = model.columns.is_none().then(|| match model.image {
        Some(image) => format!("evaluate and predict take images of {image}, whose last axis is the channels, and no tables"),
        None => format!("it has no columns of a table: evaluate and predict take rows of {inputs} numbers, encoded as in training, and no words"),
    });
    let scaling = model.scaling.is_none().then(|| {
        "it has no scaling of features: where training scaled them, rows have to be scaled in the same way before"
            .to_string()
    });
    let has_classes = model.loss.task() != Task::Numbers;
    let classes = (has_classes && model.classes.is_empty())
        .then(|| "it has no names of classes: they are numbered from 0".to_string());
    columns.into_iter().chain(scaling).chain(classes).collect()
}

/// Whether a file's tensors can be found.
fn is_safetensors(path: &Path) -> Result<bool, Error> {
    crate::files::read_whole(path).map(|bytes| crate::model::parse(path, &bytes).is_ok())
}

/// Reads the model, with notes on what was decided.
fn read(options: &Import) -> Result<(Model, Vec<String>), Error> {
    let path: &Path = &options.file;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("onnx") => {
            let given = [
                ("--activation", options.activation.is_some(), "activations"),
                ("--config", options.config.is_some(), "layers"),
                ("--inputs", options.inputs.is_some(), "inputs"),
                ("--heads", options.heads.is_some(), "heads"),
            ];
            match given.into_iter().find(|&(_, is_given, _)| is_given) {
                None => Model::read_onnx_noted(path, &[]),
                Some((option, _, what)) => {
                    Err(Error::Option(format!("{option}: an ONNX file contains its {what}: import it without {option}")))
                }
            }
        }
        Some("pt" | "pth" | "bin" | "ckpt" | "h5" | "keras") => Err(Error::format(path, READ)),
        _ => match &options.config {
            Some(config) => {
                let network = network(config, options.inputs.as_deref())?;
                Model::read_state_dict_as(path, &network).map(|model| (model, vec![]))
            }
            None if options.inputs.is_some() => Err(Error::Option(
                "--inputs: it says what the layers in --config take, and there is no --config: give both, or neither where all layers are dense, as their tensors \
                 say what they take"
                    .into(),
            )),
            None => match options.heads {
                Some(heads) => Model::read_gpt(path, heads, options.activation),
                None => state_dict(path, options.activation),
            },
        },
    }
}

/// Reads a state dict that says itself what its layers are.
fn state_dict(path: &Path, activation: Option<Activation>) -> Result<(Model, Vec<String>), Error> {
    Model::read_state_dict_noted(path, activation).map_err(|error| match is_safetensors(path) {
        Ok(false) => Error::format(path, format!("it is not a whole safetensors file: {READ}")),
        _ => error,
    })
}

/// The network whose layers a run.toml lists.
fn network(config: &Path, inputs: Option<&[usize]>) -> Result<Network, Error> {
    let File { model, data, .. } = File::read(config)?;
    let layers = model.listed(config)?.ok_or_else(|| {
        Error::format(config, "it has no layers under [model]: they say what the tensors of a state dict are of")
    })?;
    let of_rows = |width: usize| Network::of_listed(Form::Features(width), layers.clone());
    let network = match (inputs, data.image) {
        (Some(&[width]), _) => of_rows(width),
        (Some(&[height, width, channels]), _) | (None, Some([height, width, channels])) => {
            layers.iter().cloned().fold(Network::image(height, width, channels), Network::with)
        }
        (Some(_), _) => {
            let reason = "--inputs: it must be one number, of features or tokens, or three, an image's height, width \
                          and channels";
            return Err(Error::Option(reason.into()));
        }
        // A row of tokens is as long as in training.
        (None, None) => match data.context.or_else(|| positions(&of_rows(1))) {
            Some(length) => of_rows(length),
            None => {
                return Err(Error::Option(
                    "--inputs is missing: the features or the tokens of a row, or the height, the width and the channels of an image, as 28,28,1; a state dict \
                     does not say how large its images are"
                        .into(),
                ));
            }
        },
    };
    network.check().map_err(|error| of_list(config, &error.to_string()))?;
    Ok(network)
}
