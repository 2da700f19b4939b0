#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
// What a run tells, it tells its caller.
#![deny(clippy::print_stdout, clippy::print_stderr)]

// Its programs are compiled, as the README's are.
#[cfg(doctest)]
#[doc = include_str!("../docs/serving.md")]
struct Serving;

mod checkpoint;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod constants;
mod data;
mod error;
mod files;
mod fit;
pub mod gpu;
pub mod graph;
mod history;
pub mod kernel;
mod layout;
mod loss;
mod measure;
mod metric;
mod model;
mod named;
mod network;
mod optimizer;
mod options;
pub mod plan;
mod predictor;
mod preprocessing;
mod run;
mod schedule;
#[cfg(feature = "selftest")]
pub mod selftest;
mod targets;
pub mod tensorboard;
mod trainer;
mod training;
mod weights;
mod wgsl;

pub use checkpoint::Checkpoint;
pub use data::{ColumnRole, Dataset, Feature, Generated, Numbers, ReadOptions, Sets, Source, Stored, TableColumn};
#[doc(hidden)]
pub use data::{FORMATS, Format};
pub use error::Error;
pub use gpu::{AdapterChoice, Gpu};
pub use history::{Epoch, Event, History, Parameters, Progress, TrainStats};
pub use kernel::tiling::Picks;
pub use loss::Loss;
pub use measure::Tuning;
pub use metric::{ClassCounts, ClassMetrics, Evaluation, Metrics, RegressionMetrics};
pub use model::Model;
pub use network::{Activation, Layer, Network};
pub use optimizer::{Optimizer, Rule};
pub use options::{
    Best, Checkpointing, EarlyStopping, Every, Figure, Monitor, NonFinite, ReduceOnPlateau, TrainOptions,
};
pub use predictor::{Class, Predictor};
pub use preprocessing::{Columns, Fill, ImageShape, ScaleBy, Scaling};
pub use schedule::{Decay, Schedule};
pub use trainer::Trainer;
pub use weights::{Initializer, LayerWeights, Weights};
pub use wgsl::Wgsl;

/// Where the time of a step goes, and what the device could do at most.
pub mod profile {
    pub use crate::measure::{
        Bound, Ceilings, Profile, Span, StepTimer, StepTimes, Took, Trace, ceilings, profile, step_times,
    };
}
