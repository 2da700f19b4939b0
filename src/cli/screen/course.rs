//! What is known of a run before it begins.

use crate::cli::training_set::TrainingSet;
use crate::data::Dataset;
use crate::error::Error;
use crate::options::Monitor;
use crate::trainer::Trainer;

/// The length of a run, its data and its memory, which are known before it begins.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Course {
    pub epochs: u64,
    /// The steps of all epochs.
    pub steps: u64,
    pub batch_size: usize,
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
        let per_epoch = set.source().rows().div_ceil(options.batch_size) as u64;
        Ok(Course {
            epochs: options.steps.map_or(options.epochs, |steps| steps.div_ceil(per_epoch)),
            steps: options.steps.unwrap_or(options.epochs.saturating_mul(per_epoch)),
            batch_size: options.batch_size,
            rows: set.source().rows() as u64,
            device_bytes: trainer.device_bytes(set.source(), validation)?,
            validates: validation.is_some(),
            monitor: options.monitor,
        })
    }
}
