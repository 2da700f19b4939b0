//! The program: options, output, and one file a command.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod adapters;
mod bench;
mod config;
mod evaluate;
mod explain;
mod export;
mod figures;
mod hints;
mod import;
mod inspect;
mod interrupt;
mod options;
mod out;
mod output;
mod predict;
mod profile;
mod reading;
mod report;
mod resume;
mod runs;
mod screen;
mod selftest;
mod size;
mod source;
mod tensorboard;
mod times;
mod train;
mod watchers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::error::Error;
use crate::gpu::{AdapterChoice, Gpu, Limits, OpenOptions};
use crate::loss::Loss;
use crate::model::Model;
use crate::network::Activation;
use crate::optimizer::Optimizer;
use crate::options::TrainOptions;
use crate::predictor::Predictor;
use crate::trainer::Trainer;
use options::{Cli, Command};

/// Runs the program on its command line and says how it ended: 0 for success, 1 when the device failed or training
/// broke down, 2 for bad usage or bad input, 3 when there is no usable adapter, 130, 143 or 129 when SIGINT, SIGTERM or SIGHUP ended it.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| hints::hinted(error).exit());
    let level = if cli.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // By default, the logger reports a failed write to stderr on stderr, and panics when that fails as well.
    let log = log.log_internal_errors(false);
    if cli.verbose {
        log.init();
    } else {
        // What a user is warned of is no log.
        log.without_time().with_target(false).init();
    }

    let outcome = match &cli.command {
        None => train::run(&cli.train),
        Some(Command::Train(options)) => train::run(options),
        Some(Command::Evaluate(options)) => evaluate::run(options).map(|()| 0),
        Some(Command::Predict(options)) => predict::run(options).map(|()| 0),
        Some(Command::Export(options)) => export::run(options).map(|()| 0),
        Some(Command::Import(options)) => import::run(options).map(|()| 0),
        Some(Command::Inspect(options)) => inspect::run(options).map(|()| 0),
        Some(Command::Runs(options)) => runs::run(options).map(|()| 0),
        Some(Command::Bench(options)) => bench::run(options).map(|()| 0),
        Some(Command::Profile(options)) => profile::run(options).map(|()| 0),
        Some(Command::Explain(options)) => explain::run(options).map(|()| 0),
        Some(Command::Adapters(options)) => adapters::run(options).map(|()| 0),
        Some(Command::Selftest(options)) => selftest::run(options),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // The reader of our output has exited (`wgrad … | head`): this is no error.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // A terminal that was closed takes nothing any more, which must not be a panic.
            _ = writeln!(std::io::stderr(), "error: {}", output::clean_lines(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// A model, with the functions that its file has the names of alone.
fn model(path: &Path, own: &options::Own) -> Result<Model, Error> {
    if path.extension().is_some_and(|ending| ending == "onnx") && path.is_file() {
        let words = format!("wgrad import {} model.safetensors", output::quoted(&path.display().to_string()));
        return Err(Error::format(path, format!("an ONNX model is made one of wgrad first: {words}")));
    }
    let (activations, losses) = own_functions(own)?;
    Model::read_with(path, &activations, &losses)
}

/// The user's own activations and losses.
fn own_functions(own: &options::Own) -> Result<(Vec<Activation>, Vec<Loss>), Error> {
    let (mut activations, mut losses) = (Vec::new(), Vec::new());
    for file in &own.files {
        let activation = Activation::read(file);
        match (activation, Loss::read(file)) {
            (Ok(activation), _) => activations.push(activation),
            (_, Ok(loss)) => losses.push(loss),
            (Err(no_activation), Err(no_loss)) => {
                return Err(Error::Option(format!("--wgsl {}: {no_activation}; as a loss: {no_loss}", file.display())));
            }
        }
    }
    Ok((activations, losses))
}

/// That a file to be written is named as what will be in it: it is not the one that is read then.
fn check_ending(path: &Path, ending: &str) -> Result<(), Error> {
    if path.extension().is_some_and(|given| given == ending) {
        return Ok(());
    }
    Err(Error::Option(format!("{} is to be written: its name must end in .{ending}", path.display())))
}

/// The program's folder among the user's caches.
fn cache_folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("wgrad"))
}

/// The adapter asked for, with the kernels that earlier runs compiled.
fn open_gpu(choice: &AdapterChoice) -> Result<Arc<Gpu>, Error> {
    Gpu::open_with(&OpenOptions { adapter: choice.clone(), limits: limits()?, cache: cache_folder() })
}

/// What may be used of an adapter: `WGRAD_LIMITS` says `webgpu`, to know what a browser would take.
fn limits() -> Result<Limits, Error> {
    std::env::var("WGRAD_LIMITS").map_or(Ok(Limits::default()), |words| words.parse())
}

/// A model on the adapter asked for, to predict with.
fn predictor(model: Model, common: &options::Common) -> Result<Predictor, Error> {
    Predictor::from_model(open_gpu(&common.adapter.clone().unwrap_or_default())?, model)
}

/// A model on the adapter asked for, to be judged and not trained: with an optimizer that keeps nothing.
fn open(model: Model, common: &options::Common) -> Result<Trainer, Error> {
    let gpu = open_gpu(&common.adapter.clone().unwrap_or_default())?;
    let options = TrainOptions { optimizer: Optimizer::sgd(0.0), ..TrainOptions::default() };
    Trainer::from_model(gpu, model, options)
}
