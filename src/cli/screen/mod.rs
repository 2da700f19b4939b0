//! What a person sees while training goes on: curves that grow, or a line an epoch.

mod curve;
mod lines;
mod live;
mod picture;
mod terminal;

use std::str::FromStr;

use super::output::Output;
use super::source::TrainingSet;
use super::watchers::Watcher;
use crate::data::Dataset;
use crate::error::Error;
use crate::options::Monitor;
use crate::trainer::Trainer;

/// What was asked for.
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
            _ => Err(Error::Option(format!("\"{word}\" is no screen: there are live, lines and none"))),
        }
    }
}

/// What is known of a run before it begins.
#[derive(Clone, Copy)]
pub(super) struct Course {
    pub epochs: u64,
    /// Of all of them.
    pub steps: u64,
    pub batch_size: usize,
    /// Of the training set.
    pub rows: u64,
    pub device_bytes: u64,
    /// Whether epochs are validated.
    pub validates: bool,
    /// What epochs are judged by.
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

/// Who shows the run. Where stdout is no terminal that the curves could be drawn on, there are lines, and under `--json` its own.
pub(super) fn watcher(asked: Option<Screen>, output: &Output, course: Course) -> Option<Box<dyn Watcher>> {
    match asked.unwrap_or(Screen::Live) {
        Screen::None if !output.json => None,
        Screen::Live if !output.json && terminal::can_draw() => Some(Box::new(live::Live::new(course))),
        _ => Some(Box::new(lines::Lines { output: *output, course })),
    }
}
