//! wgrad trains neural networks on any GPU that [wgpu](https://wgpu.rs) reaches, and on a software Vulkan driver where there is none. The whole
//! training loop runs on the device; the library prints nothing, and every failure is an [`Error`] that says what would be right.
//!
//! ```rust,no_run
//! use wgrad::{Activation, Dataset, Network, Predictor, TrainOptions, Trainer};
//!
//! # fn main() -> Result<(), wgrad::Error> {
//! // Rows of two features with the number of their class.
//! let rows = (0..1000).map(|at| ([(at % 40) as f32 / 20.0 - 1.0, (at / 40) as f32 / 12.5 - 1.0], u32::from(at % 40 > at / 40)));
//! let (train, validation) = Dataset::from_rows(rows)?.split(0.2, 0)?;
//! let network = Network::new(2).dense(64, Activation::Relu).dense(2, Activation::Identity);
//! let mut trainer = Trainer::new(network, TrainOptions { epochs: 10, ..TrainOptions::default() })?;
//! trainer.fit(&train, Some(&validation))?;
//! trainer.save("model.safetensors")?;
//!
//! let model = Predictor::open("model.safetensors")?;
//! println!("{:?}", model.classify(&[0.1, 0.2])?);
//! # Ok(())
//! # }
//! ```
//!
//! # The types, in the order in which one meets them
//!
//! - [`Dataset`]: rows with their targets, from iterators ([`from_rows`](Dataset::from_rows), [`regression`](Dataset::regression)) or from files
//!   ([`read`](Dataset::read) with [`ReadOptions`]); [`Source`] and [`Stored`] are sets that are larger than memory.
//! - [`Network`]: a list of [`Layer`]s over rows of features or images: dense ones, convolutions, pools, norms, residual sums, each with an [`Activation`]; [`Loss`], [`Optimizer`] with its [`Rule`], [`Schedule`] and [`Initializer`].
//! - [`TrainOptions`]: everything about a run besides network and data, checkpoints ([`Checkpointing`]) and early stopping among them.
//! - [`Trainer`]: [`fit`](Trainer::fit) trains and returns a [`History`]; [`fit_with`](Trainer::fit_with) reports each [`Event`] meanwhile;
//!   [`metrics`](Trainer::metrics) evaluates; [`resume`](Trainer::resume) goes on from a [`Checkpoint`].
//! - [`Predictor`]: a saved [`Model`] that answers, from several threads at once.
//! - [`Gpu`] and [`AdapterChoice`], where the best adapter of the machine is not the one that is wanted.
//!
//! # Features
//!
//! - `cli` (default): the program `wgrad`. A library needs none of its dependencies: `default-features = false`.
//! - `mnist`: `Dataset::mnist` and `Dataset::shakespeare`, 11 MB of data inside the library; `cli` implies it.
//! - `images` (default): folders of images by class, and images to predict on.
//! - `parquet`: Parquet files.
//! - `mpi`: `mpirun wgrad train`, on several devices and machines; it takes an MPI with its headers, and libclang.
//! - `selftest`: [`selftest`], which checks an adapter and its driver; `cli` implies it.
//!
//! The repository's README has the program; its `docs/` describe training, data, models, adapters and every option.
#![warn(missing_docs)]
// The library reports to its caller, and prints nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

// The programs in these pages are compiled by the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
#[cfg(doctest)]
#[doc = include_str!("../docs/serving.md")]
struct Serving;

mod activation;
mod augmentation;
mod checkpoint;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod constants;
mod data;
mod error;
mod files;
mod fit;
mod generation;
pub mod gpu;
pub mod graph;
mod history;
mod host;
mod initializer;
pub mod kernel;
pub mod layout;
mod loss;
mod measure;
mod metric;
mod model;
#[cfg(feature = "mpi")]
mod mpi;
mod named;
mod network;
mod optimizer;
mod options;
pub mod plan;
mod predictor;
mod preprocessing;
mod processes;
pub mod profile;
mod run;
mod schedule;
#[cfg(feature = "selftest")]
pub mod selftest;
pub mod targets;
pub mod tensorboard;
mod trainer;
pub mod training;
mod weights;
mod wgsl;

pub use activation::{Activation, Epilogue};
pub use augmentation::Augmentation;
pub use checkpoint::Checkpoint;
pub use data::{ColumnRole, Dataset, Feature, Generated, Numbers, ReadOptions, Sets, Source, Stored, TableColumn};
#[doc(hidden)]
pub use data::{FORMATS, Format};
pub use error::Error;
pub use generation::Sampling;
pub use gpu::{AdapterChoice, Gpu};
pub use history::{Epoch, Event, History, Parameters, Progress, TrainStats};
pub use initializer::Initializer;
pub use kernel::tiling::Picks;
pub use loss::Loss;
pub use measure::Tuning;
pub use metric::{ClassCounts, ClassMetrics, Evaluation, Metrics, RegressionMetrics};
pub use model::Model;
pub use network::{
    ActivationLayer, AttentionLayer, AvgPoolLayer, BatchNormLayer, ConvLayer, DenseLayer, DropoutLayer, EmbedLayer,
    EmbeddedFeature, EmbeddingLayer, FlattenLayer, Form, GlobalAvgPoolLayer, GroupNormLayer, Layer, LayerKind,
    LayerNormLayer, MaxPoolLayer, Network, Padding, Pair, Parameter, ParameterKind, PositionsLayer, RepeatLayer,
    ResidualLayer, RmsNormLayer,
};
pub use optimizer::{Optimizer, ParameterGroup, Rule};
pub use options::{
    Best, Checkpointing, EarlyStopping, Every, Figure, Monitor, NonFinite, ReduceOnPlateau, TrainOptions,
};
pub use predictor::{Class, Predictor};
pub use preprocessing::{ChannelOrder, Columns, Decoder, Fill, ImageShape, ScaleBy, Scaling, Vocabulary};
pub use processes::Processes;
pub use run::activations::LayerOutput;
pub use schedule::{Decay, Schedule};
pub use trainer::Trainer;
pub use weights::{LayerWeights, Weights};
pub use wgsl::Wgsl;
