//! Training, from the first step to the last.

mod among;
mod attempt;
mod attempts;
mod checkpoints;
mod diagnosis;
mod epochs;
mod memory;
mod observer;
mod plans;
mod recovery;
mod session;
mod training_set;
mod tune;

pub(crate) use attempts::fit;
pub(crate) use memory::bytes_of_fit;
pub(crate) use plans::{evaluation as evaluation_plan, step as step_plan, training as training_plan};
pub(crate) use session::Session;
pub(crate) use training_set::TrainingSet;
pub(crate) use tune::tune;
