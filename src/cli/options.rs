//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use super::drawn::Drawn;
use super::size::Size;
use super::table_options::{Embedded, Text};
use super::tokens::Tokens;
use super::updates::Updates;
use crate::activation::Activation;
use crate::error::Error;
use crate::gpu::AdapterChoice;
use crate::initializer::Initializer;
use crate::measure::Tuning;
use crate::options::{Every, Monitor, NonFinite};
use crate::preprocessing::{Fill, ScaleBy};

/// Trains neural networks on any GPU, or on a software Vulkan driver where there is none.
///
/// With no command and no options: trains 784-256-10 on the MNIST inside this program.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub train: Train,
    /// Log on stderr what is being done
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Train a network
    Train(Train),
    /// Print loss, accuracy and other metrics of a model on a set
    Evaluate(Evaluate),
    /// Print predictions of a model for rows of a set, a table, an array, an image, or standard input
    Predict(Predict),
    /// Continue a text with a model that was trained on one
    Generate(Generate),
    /// Write a model as ONNX
    Export(Export),
    /// Convert an ONNX file or a PyTorch state dict to a model
    Import(Import),
    /// Show the contents of a model, a checkpoint or an ONNX file
    Inspect(Inspect),
    /// List the runs of a folder, with their results and the options in which they differ
    Runs(Runs),
    /// Show what a training step would do: its dispatches and its memory
    Explain(Train),
    /// Measure how long a training step and each of its dispatches take here, as a table to paste
    Bench(BenchOptions),
    /// Show where the time of a training step goes, kernel by kernel, and write a trace of some steps
    Profile(ProfileOptions),
    /// List the adapters of this machine
    Adapters(Adapters),
    /// Check whether the adapter and its driver compute correctly
    Selftest(Selftest),
}

#[derive(Args, Default)]
pub(super) struct Train {
    /// A file with any of these options, and more; a flag takes precedence over it
    #[arg(long, value_name = "RUN.toml")]
    pub config: Option<PathBuf>,
    /// mnist or shakespeare; a file of CSV, TSV, .npz, safetensors, Parquet or text; a directory of MNIST-style IDX files, of CIFAR's binary
    /// files, of x.npy and y.npy, or of a directory of images for each class [default: mnist]
    #[arg(long, value_name = "mnist|shakespeare|DIR|FILE")]
    pub data: Option<String>,
    /// The target column of a table, by name or by number from 1; several columns, separated by commas, are numbers for one output
    /// each [default: the last one]
    #[arg(long, value_name = "COLUMN[,COLUMN…]")]
    pub label: Option<String>,
    /// Columns of a table to leave out, by name or by number from 1
    #[arg(long, value_name = "COLUMN[,COLUMN…]", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Columns of a table whose numbers are categories, by name or by number from 1
    #[arg(long, value_name = "COLUMN[,COLUMN…]", value_delimiter = ',')]
    pub categorical: Vec<String>,
    /// Columns of words in a table, by name or by number from 1, that become vectors of this many values, which are learned, in place of a feature for each word
    #[arg(long, value_name = "COLUMN=WIDTH[,COLUMN=WIDTH…]", value_delimiter = ',')]
    pub embed: Vec<Embedded>,
    /// The words that mean a missing cell, besides an empty one [default: those of pandas, as NA and null, and ?]
    #[arg(long, value_name = "WORD[,WORD…]", value_delimiter = ',', allow_hyphen_values = true)]
    pub missing: Option<Vec<String>>,
    /// The decimal separator of a table's numbers: . or , [default: decided by the cells]
    #[arg(long, value_name = "CHARACTER")]
    pub decimal: Option<char>,
    #[command(flatten)]
    pub text: Text,
    #[command(flatten)]
    pub tokens: Tokens,
    /// The replacement of a table's missing cells: mean, zero or a number [default: they are errors]
    #[arg(long, value_name = "mean|zero|NUMBER", allow_negative_numbers = true)]
    pub fill: Option<Fill>,
    /// Scale every feature by its statistics in the training rows: none, standardize or min-max; or every channel of images:
    /// standardize-channels [default: none]
    #[arg(long, value_name = "NAME")]
    pub scaling: Option<ScaleBy>,
    /// Scale targets that are numbers by their statistics in the training rows: none, standardize or min-max; every figure
    /// except the loss stays in their own units [default: none]
    #[arg(long, value_name = "NAME")]
    pub scale_targets: Option<ScaleBy>,
    /// Validate on this set, on a fraction (as 0.1) of the training rows, or on none [default: the set's own validation rows, or its test rows]
    #[arg(long, value_name = "DIR|FILE|FRACTION|none")]
    pub validation: Option<String>,
    /// Widths of the hidden layers, or none [default: 256]
    #[arg(long, value_name = "256[,128…]")]
    pub hidden: Option<String>,
    /// The activation of the hidden layers: relu, leaky-relu, elu, gelu, gelu-tanh, silu, tanh, sigmoid, softplus or identity, or a file of your
    /// own [default: relu]
    #[arg(long, value_name = "NAME|FILE.wgsl")]
    pub activation: Option<Activation>,
    /// The share of each hidden layer's units that drops out in training [default: 0]
    #[arg(long, value_name = "0.2", allow_negative_numbers = true)]
    pub dropout: Option<f64>,
    /// The loss: softmax-cross-entropy, kl-divergence, sigmoid-cross-entropy, mse, mae or huber, or a file of your own
    /// [default: softmax-cross-entropy]
    #[arg(long, value_name = "NAME|FILE.wgsl")]
    pub loss: Option<String>,
    /// The optimizer: sgd, adagrad, adadelta, rmsprop, adam, adamw, nadam, lion or muon, with PyTorch's defaults, or a file of your own
    /// [default: adam as Keras sets it]
    #[arg(long, value_name = "NAME|FILE.wgsl")]
    pub optimizer: Option<String>,
    /// Learning rate [default: the optimizer's]
    #[arg(long, allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// The weight decay of the optimizer [default: the optimizer's]
    #[arg(long, value_name = "0.01", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// The momentum of sgd, rmsprop or muon [default: the optimizer's]
    #[arg(long, value_name = "0.9", allow_negative_numbers = true)]
    pub momentum: Option<f64>,
    #[command(flatten)]
    pub updates: Updates,
    /// The schedule of the learning rate: constant, step, exponential, polynomial, cosine or one-cycle [default: constant]
    #[arg(long)]
    pub schedule: Option<String>,
    /// Let the learning rate rise over the first N steps (or epochs, where the schedule counts them)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub warmup: Option<u32>,
    /// Scale the gradients down so that their global norm is at most this
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    pub clip_grad_norm: Option<f64>,
    /// Limit every gradient to the range from minus this value to this value
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    pub clip_grad_value: Option<f64>,
    /// What to do at a non-finite gradient: stop, skip and count the step, or lower the rate and restart the epoch [default: stop]
    #[arg(long, value_name = "stop|skip|lower")]
    pub non_finite: Option<NonFinite>,
    /// Train on images that are padded by this many black pixels and cropped to their size at random places
    #[arg(long, value_name = "PIXELS")]
    pub crop_padding: Option<u32>,
    /// Train on images of which a random half is mirrored left to right
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub flip: Option<bool>,
    /// Train on images with a square of zeros, of this many pixels a side, at a random place
    #[arg(long, value_name = "PIXELS")]
    pub cutout: Option<u32>,
    /// End after this many epochs in a row that were no better than the best
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    pub early_stopping: Option<u64>,
    /// End with the weights of the best epoch
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub keep_best: Option<bool>,
    /// The metric that judges epochs, of validation if possible: loss or accuracy; f1, precision, recall (means over classes), top-5, roc-auc; mae,
    /// rmse or r2 [default: loss]
    #[arg(long, value_name = "NAME")]
    pub monitor: Option<Monitor>,
    /// Passes over the set [default: 10]
    #[arg(long, allow_negative_numbers = true)]
    pub epochs: Option<u64>,
    /// Train for this number of steps, in place of epochs
    #[arg(long, allow_negative_numbers = true, conflicts_with = "epochs")]
    pub steps: Option<u64>,
    /// Rows of a minibatch [default: 32]
    #[arg(long, allow_negative_numbers = true)]
    pub batch_size: Option<usize>,
    /// The seed of the initial weights, the order of rows, dropout and augmentation [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Visit the rows in the set's own order
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub no_shuffle: Option<bool>,
    /// The initializer: glorot-, he- or lecun-, each with uniform or normal; orthogonal, torch or constant:0.1 [default: glorot-uniform]
    #[arg(long)]
    pub initializer: Option<Initializer>,
    /// Begin with the weights of this safetensors file
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// A folder for this run: its options, its metrics as it goes, its model, and a report when it ends
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The row to validate on, or to train on where there is none, whose image the report shows with what convolutions make of it [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub report_image: Option<usize>,
    /// The file to save the model in; an existing one is replaced [default: model.safetensors, in the run's folder if there is one]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Write event files for TensorBoard into this folder: curves, histograms of weights and gradients, the first layer as images
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Keep checkpoints in this folder, to resume the run from
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// How often to make a checkpoint: after a number of steps, or after a time [default: 5m]
    #[arg(long, value_name = "500|30s|5m")]
    pub checkpoint_every: Option<Every>,
    /// The number of checkpoints to keep [default: 3]
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub checkpoint_keep: Option<usize>,
    /// How many times to go on after a failure of the device, from the last checkpoint and on a new device of the same adapter [default: 3]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub device_retries: Option<u64>,
    /// Go on from a checkpoint, or from the newest of a folder; everything that the run was started with comes from there
    #[arg(long, value_name = "DIR|FILE")]
    pub resume: Option<PathBuf>,
    /// Device memory for the set, as 500MB or 2GiB; a larger set is read in windows of half this size during training, and shuffled within
    /// them [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub memory_budget: Option<Size>,
    /// How the kernels' tiles are chosen: off by rules, table by measurements on adapters of the same kind, auto by measuring here once
    /// [default: table]
    #[arg(long, value_name = "off|table|auto")]
    pub tuning: Option<Tuning>,
    /// The output during training: live, curves that grow; lines, one for each epoch; or none [default: live in a terminal, else lines]
    #[arg(long, value_name = "live|lines|none")]
    pub screen: Option<Screen>,
    #[command(flatten)]
    pub common: Common,
}

impl Train {
    /// Checks that a command that does not train is given no flag for training's results. A run.toml may have them: the same file serves both.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the first such flag.
    pub fn trains_nothing(&self, command: &str) -> Result<(), Error> {
        let given = [
            ("--out", self.out.is_some()),
            ("--report-image", self.report_image.is_some()),
            ("--save", self.save.is_some()),
            ("--tensorboard", self.tensorboard.is_some()),
            ("--checkpoint", self.checkpoint.is_some()),
            ("--checkpoint-every", self.checkpoint_every.is_some()),
            ("--checkpoint-keep", self.checkpoint_keep.is_some()),
            ("--device-retries", self.device_retries.is_some()),
            ("--resume", self.resume.is_some()),
            ("--screen", self.screen.is_some()),
        ];
        let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
        Err(Error::Option(format!("{option} is for wgrad train: wgrad {command} trains nothing")))
    }
}

#[derive(Args)]
pub(super) struct BenchOptions {
    /// Measure only what the host spends on a step, the driver's part of it included: on a device that executes nothing, too
    #[arg(long)]
    pub host: bool,
    #[command(flatten)]
    pub train: Train,
}

#[derive(Args)]
pub(super) struct ProfileOptions {
    /// Write a trace of some steps, which <https://ui.perfetto.dev> opens; a file that is there is replaced
    #[arg(long, value_name = "FILE.json")]
    pub trace: Option<PathBuf>,
    #[command(flatten)]
    pub train: Train,
}

#[derive(Args)]
pub(super) struct Evaluate {
    /// A safetensors file with 0.weight, 0.bias, 2.weight, …
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// mnist, shakespeare, or a file or directory as in training (its test rows, if it has any)
    #[arg(long, value_name = "mnist|DIR|FILE", default_value = "mnist")]
    pub data: String,
    /// The target column of a table, by name or by number from 1, or several, as in training: for a model that keeps no columns of a
    /// table, as an imported one [default: the last one]
    #[arg(long, value_name = "COLUMN[,COLUMN…]")]
    pub label: Option<String>,
    /// Count how often the right class is among the K most likely [default: 5, where there are more classes]
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    #[command(flatten)]
    pub text: Text,
    #[command(flatten)]
    pub own: Own,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub(super) struct Predict {
    /// A safetensors file with 0.weight, 0.bias, 2.weight, …
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// mnist, a file or directory as in training (its test rows, if it has any), an image, an array (.npy), or - for
    /// standard input: lines of CSV, or any such file
    #[arg(long, value_name = "mnist|DIR|FILE|-", default_value = "mnist")]
    pub input: String,
    /// One row of the input, as 7, or several, as 7-9 [default: 0 for mnist and directories, all for a file or standard input]
    #[arg(long, value_name = "N[-M]")]
    pub rows: Option<String>,
    #[command(flatten)]
    pub text: Text,
    #[command(flatten)]
    pub own: Own,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub(super) struct Generate {
    /// A model that was trained on a text
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    #[command(flatten)]
    pub drawn: Drawn,
    #[command(flatten)]
    pub own: Own,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub(super) struct Export {
    /// A safetensors file with 0.weight, 0.bias, 2.weight, …
    #[arg(value_name = "MODEL.safetensors")]
    pub model: PathBuf,
    /// The ONNX file to write; an existing one is replaced
    #[arg(value_name = "OUT.onnx")]
    pub output: PathBuf,
    /// Output probabilities (softmax or sigmoid, depending on the loss) in place of logits
    #[arg(long)]
    pub softmax: bool,
    #[command(flatten)]
    pub own: Own,
    /// Print one JSON object on stdout, and nothing else
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(super) struct Import {
    /// An .onnx file, or a safetensors file with a state dict
    pub file: PathBuf,
    /// The model to write; an existing file is replaced
    #[arg(value_name = "OUT.safetensors")]
    pub output: PathBuf,
    /// The activation of a state dict's hidden layers [default: relu, where a Sequential's numbers leave room for one]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub activation: Option<Activation>,
    /// A run.toml whose layers under [model] are those of a state dict that has more than dense ones and residuals
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// With --config, the features or the tokens of a row, or the height, the width and the channels of an image, as 28,28,1 [default: image or context
    /// under [data], or the layers' positions]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub inputs: Option<Vec<usize>>,
    /// The number of heads of a GPT, where the file is nanoGPT's state dict or GPT-2's, which do not have it
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["config", "inputs"])]
    pub heads: Option<usize>,
    /// The loss, which gives the outputs their meaning, where the file has none [default: softmax-cross-entropy, or mse for one output]
    #[arg(long, value_name = "NAME")]
    pub loss: Option<String>,
    /// Print one JSON object on stdout, and nothing else
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(super) struct Inspect {
    /// A safetensors or .onnx file
    pub file: PathBuf,
    #[command(flatten)]
    pub own: Own,
    /// Print one JSON object on stdout, and nothing else
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(super) struct Runs {
    /// A folder with the folders of runs, or one of these
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Print one JSON object a line on stdout, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// A user's own functions, of which a model file has only the names.
#[derive(Args)]
pub(super) struct Own {
    /// An activation or a loss of your own that the model was trained with, as softsign.wgsl; may be given several times
    #[arg(long = "wgsl", value_name = "FILE.wgsl")]
    pub files: Vec<PathBuf>,
}

#[derive(Args)]
pub(super) struct Adapters {
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub(super) struct Selftest {
    /// A folder with more trajectories to follow, as tests/golden has them
    #[arg(long, value_name = "DIR")]
    pub golden: Option<PathBuf>,
    /// Make only the checks with these words in their section or name, as failures show them, in any case; list prints the words
    #[arg(long, value_name = "WORDS|list")]
    pub only: Option<String>,
    /// The seconds after which a check counts as failed because the driver hangs [default: 600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub timeout: Option<u64>,
    /// Check nothing, and write every shader into this folder in the form for browsers, to test their compilers
    #[arg(long, value_name = "DIR", conflicts_with_all = ["golden", "only", "timeout"])]
    pub wgsl: Option<PathBuf>,
    /// Compile kernels for subgroups of N lanes, even if the adapter has no such subgroups: the checks must find wrong kernels
    #[arg(long, value_name = "N", hide = true)]
    pub lanes: Option<u32>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Default)]
pub(super) struct Common {
    /// auto, a number as `wgrad adapters` has it, a backend (vulkan, metal, dx12, gl), a kind (gpu, discrete, integrated, cpu), part of a name, or several of these, as "gl cpu"
    /// [default: auto]
    #[arg(long, value_name = "auto|WORDS")]
    pub adapter: Option<AdapterChoice>,
    /// Print one JSON object a line on stdout, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// The output during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    Live,
    Lines,
    None,
}

impl FromStr for Screen {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "live" => Ok(Screen::Live),
            "lines" => Ok(Screen::Lines),
            "none" => Ok(Screen::None),
            _ => Err(Error::Option(format!("\"{word}\" is not a kind of screen: use live, lines or none"))),
        }
    }
}
