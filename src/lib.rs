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
pub mod gpu;
pub mod kernel;
mod layout;
mod loss;
mod metric;
mod named;
mod network;
mod optimizer;
pub mod plan;
mod predictor;
mod scaling;
mod schedule;
#[cfg(feature = "selftest")]
pub mod selftest;
mod targets;
pub mod tensorboard;
mod trainer;
mod weights;
mod wgsl;

pub use checkpoint::Model;
pub use data::{
    ColumnRole, Columns, Dataset, Feature, Fill, Generated, ImageShape, Numbers, ReadOptions, Sets, Source, Stored,
    TableColumn,
};
#[doc(hidden)]
pub use data::{FORMATS, Format};
pub use error::Error;
pub use gpu::{AdapterChoice, Gpu};
pub use kernel::tiling::Picks;
pub use loss::Loss;
pub use metric::{ClassCounts, ClassMetrics, Metrics, RegressionMetrics};
pub use network::{Activation, Layer, Network};
pub use optimizer::{Optimizer, Rule};
pub use predictor::{Class, Predictor};
pub use scaling::{ScaleBy, Scaling};
pub use schedule::{Decay, Schedule};
pub use trainer::{
    Best, Checkpoint, Checkpointing, EarlyStopping, Epoch, Evaluation, Event, Every, Figure, History, Monitor,
    NonFinite, Parameters, Progress, ReduceOnPlateau, TrainOptions, TrainStats, Trainer, Tuning,
};
pub use weights::{Initializer, LayerWeights, Weights};
pub use wgsl::Wgsl;

/// Where the time of a step goes, and what the device could do at most.
pub mod profile {
    pub use crate::trainer::{
        Bound, Ceilings, Profile, Span, StepTimer, StepTimes, Took, Trace, ceilings, profile, step_times,
    };
}
