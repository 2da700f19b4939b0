//! The options of a run besides its network and its data.

mod checkpointing;
mod monitor;
mod non_finite;
mod train_options;
mod watch;

pub use checkpointing::{Checkpointing, Every};
pub use monitor::{Best, Figure, Monitor};
pub use non_finite::NonFinite;
pub(crate) use non_finite::THE_LOSS;
pub use train_options::TrainOptions;
pub use watch::{EarlyStopping, ReduceOnPlateau};
pub(crate) use watch::{Verdict, Watch};
