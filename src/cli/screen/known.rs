//! What the screen knows of the run.

use super::course::Course;
use super::curve::Curve;
use crate::history::{Epoch, Progress};
use crate::metric::Evaluation;

/// The least time of training that becomes a point of the curves.
const LEAST_SECONDS: f64 = 0.05;

/// Loss or accuracy of the rows trained on, as they came, and of validation after each epoch.
#[derive(Default)]
pub(super) struct Curves {
    pub training: Curve,
    pub validation: Curve,
}

/// The state of a run that the screen shows.
pub(super) struct Known {
    pub course: Course,
    /// The kernel that is being tuned, the position of its kind, and the number of kinds.
    pub tuning: Option<(&'static str, usize, usize)>,
    pub progress: Option<Progress>,
    pub last_epoch: Option<Epoch>,
    pub loss: Curves,
    pub accuracy: Curves,
    /// The rows trained on that are not in the curves yet.
    since: Part,
}

/// The sums over the rows that become a point of the curves.
#[derive(Clone, Copy, Default)]
struct Part {
    rows: f64,
    loss: f64,
    accuracy: Option<f64>,
}

impl Part {
    fn and(self, more: Evaluation) -> Part {
        let rows = more.rows as f64;
        let accuracy = more.accuracy.map(|accuracy| rows * accuracy + self.accuracy.unwrap_or(0.0));
        Part { rows: self.rows + rows, loss: self.loss + rows * more.loss, accuracy: accuracy.or(self.accuracy) }
    }
}

impl Known {
    /// What is known of a run that has not begun.
    pub fn new(course: Course) -> Self {
        Known {
            course,
            tuning: None,
            progress: None,
            last_epoch: None,
            loss: Curves::default(),
            accuracy: Curves::default(),
            since: Part::default(),
        }
    }

    pub fn take_progress(&mut self, progress: &Progress) {
        self.tuning = None;
        let at = (progress.epoch - 1) as f64 + progress.step as f64 / progress.steps as f64;
        self.progress = Some(*progress);
        self.since = self.since.and(progress.lately);
        // The few rows at an epoch's end, or of a short epoch, would be a point of noise.
        if self.since.rows < LEAST_SECONDS * progress.samples_per_second && !self.loss.training.points().is_empty() {
            return;
        }
        let part = std::mem::take(&mut self.since);
        self.loss.training.push(at, part.loss / part.rows);
        if let Some(accuracy) = part.accuracy {
            self.accuracy.training.push(at, accuracy / part.rows);
        }
    }

    pub fn take_epoch(&mut self, epoch: &Epoch) {
        if let Some(validation) = epoch.validation {
            let at = epoch.epoch as f64;
            self.loss.validation.push(at, validation.loss);
            if let Some(accuracy) = validation.accuracy {
                self.accuracy.validation.push(at, accuracy);
            }
        }
        self.last_epoch = Some(*epoch);
    }

    /// Forgets what came after a step, as it will be reported again.
    pub fn go_back(&mut self, step: u64) {
        let Some(progress) = self.progress.take() else { return };
        let at = step as f64 / progress.steps as f64;
        for curves in [&mut self.loss, &mut self.accuracy] {
            curves.training.forget_after(at);
            curves.validation.forget_after(at);
        }
        self.since = Part::default();
    }

    /// The position and the end of the run, in epochs.
    pub fn place(&self) -> Option<(f64, f64)> {
        let progress = self.progress?;
        let at = (progress.epoch - 1) as f64 + progress.step as f64 / progress.steps as f64;
        Some((at, (self.course.steps as f64 / progress.steps as f64).max(at)))
    }

    /// The seconds left in the epoch, and in the run: at the speed of the last epoch with its validation, if there was one.
    pub fn seconds_left(&self) -> Option<(f64, f64)> {
        let progress = self.progress?;
        let before = (progress.epoch - 1) * progress.steps;
        let ends = progress.steps.min(self.course.steps.saturating_sub(before));
        let per_step = self.course.step_rows as f64 / progress.samples_per_second;
        let of_epoch = ends.saturating_sub(progress.step) as f64 * per_step;
        let whole = self.last_epoch.filter(|epoch| epoch.stats.steps > 0);
        let per_step = whole.map_or(per_step, |epoch| epoch.seconds / epoch.stats.steps as f64);
        let of_run = self.course.steps.saturating_sub(before + progress.step) as f64 * per_step;
        Some((of_epoch, of_run.max(of_epoch)))
    }
}
