//! What is known of a run before it begins.

use crate::cli::training_set::TrainingSet;
use crate::data::Dataset;
use crate::error::Error;
use crate::options::{Monitor, TrainOptions};
use crate::trainer::Trainer;

/// The length of a run, its data and its memory, which are known before it begins.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Course {
    pub epochs: u64,
    /// The steps of all epochs.
    pub steps: u64,
    /// The rows of a step.
    pub step_rows: usize,
    /// The rows of the training set.
    pub rows: u64,
    pub device_bytes: u64,
    /// Whether epochs are validated.
    pub validates: bool,
    /// The metric that epochs are judged by.
    pub monitor: Monitor,
}

impl Course {
    pub fn of(trainer: &Trainer, set: &TrainingSet, validation: Option<&Dataset>) -> Result<Self, Error> {
        let options = trainer.options();
        let (epochs, steps) = length(options, set);
        Ok(Course {
            epochs,
            steps,
            step_rows: options.step_rows(),
            rows: set.source().rows() as u64,
            device_bytes: trainer.device_bytes(set.source(), validation)?,
            validates: validation.is_some(),
            monitor: options.monitor,
        })
    }
}

/// The epochs and the steps of a whole run; its last epoch may end early.
pub(in crate::cli) fn length(options: &TrainOptions, set: &TrainingSet) -> (u64, u64) {
    let per_epoch = set.source().rows().div_ceil(options.step_rows()) as u64;
    match options.steps {
        Some(steps) => (steps.div_ceil(per_epoch), steps),
        None => (options.epochs, options.epochs.saturating_mul(per_epoch)),
    }
}
