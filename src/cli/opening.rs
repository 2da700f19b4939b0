//! Opens adapters and models for the commands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{Common, Own};
use super::output::quoted;
use crate::activation::Activation;
use crate::error::Error;
use crate::gpu::{AdapterChoice, Gpu, Limits, OpenOptions};
use crate::loss::Loss;
use crate::model::Model;
use crate::optimizer::Optimizer;
use crate::options::TrainOptions;
use crate::predictor::Predictor;
use crate::trainer::Trainer;

/// Opens a model, with the user's own functions, of which its file has only the names.
pub(super) fn model(path: &Path, own: &Own) -> Result<Model, Error> {
    if path.extension().is_some_and(|ending| ending == "onnx") && path.is_file() {
        let words = format!("wgrad import {} model.safetensors", quoted(&path.display().to_string()));
        return Err(Error::format(path, format!("an ONNX model has to be converted first: {words}")));
    }
    let (activations, losses) = own_functions(own)?;
    Model::read_with(path, &activations, &losses)
}

/// The user's own activations and losses.
pub(super) fn own_functions(own: &Own) -> Result<(Vec<Activation>, Vec<Loss>), Error> {
    let (mut activations, mut losses) = (Vec::new(), Vec::new());
    for file in &own.files {
        let activation = Activation::read(file);
        match (activation, Loss::read(file)) {
            (Ok(activation), _) => activations.push(activation),
            (_, Ok(loss)) => losses.push(loss),
            // A file that is not there is neither, for one reason.
            (Err(error @ Error::Io { .. }), _) => {
                return Err(Error::Option(format!("--wgsl {error}")));
            }
            (Err(no_activation), Err(no_loss)) => {
                return Err(Error::Option(format!("--wgsl {}: {no_activation}; as a loss: {no_loss}", file.display())));
            }
        }
    }
    Ok((activations, losses))
}

/// Checks that the name of a file to write has the ending of its format: so it is not the input's name by mistake.
pub(super) fn check_ending(path: &Path, ending: &str) -> Result<(), Error> {
    if path.extension().is_some_and(|given| given == ending) {
        return Ok(());
    }
    Err(Error::Option(format!("{} is to be written: its name must end in .{ending}", path.display())))
}

/// The program's folder among the user's caches.
pub(super) fn cache_folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("wgrad"))
}

/// Opens the chosen adapter, with the kernels that earlier runs compiled.
pub(super) fn open_gpu(choice: &AdapterChoice) -> Result<Arc<Gpu>, Error> {
    open_one_of(choice, 0)
}

/// Opens the adapter with this number among those that are like the chosen one.
pub(super) fn open_one_of(choice: &AdapterChoice, number: usize) -> Result<Arc<Gpu>, Error> {
    Gpu::open_with(&OpenOptions { adapter: choice.clone(), number, limits: limits()?, cache: cache_folder() })
}

/// The limits to use of an adapter: WebGPU's if `WGRAD_LIMITS` is `webgpu`, to test what a browser would accept.
pub(super) fn limits() -> Result<Limits, Error> {
    std::env::var("WGRAD_LIMITS").map_or(Ok(Limits::default()), |words| words.parse())
}

/// Opens a model on the chosen adapter, to predict with.
pub(super) fn predictor(model: Model, common: &Common) -> Result<Predictor, Error> {
    Predictor::from_model(open_gpu(&common.adapter.clone().unwrap_or_default())?, model)
}

/// Opens a model on the chosen adapter to evaluate it, with an optimizer that keeps no state.
pub(super) fn open(model: Model, common: &Common) -> Result<Trainer, Error> {
    let gpu = open_gpu(&common.adapter.clone().unwrap_or_default())?;
    let options = TrainOptions { optimizer: Optimizer::sgd(0.0), ..TrainOptions::default() };
    Trainer::from_model(gpu, model, options)
}
