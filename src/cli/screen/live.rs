//! The live screen: hears of the run, and draws ten times a second at most.

use std::time::{Duration, Instant};

use super::curve::Curve;
use super::terminal::{self, Cursor};
use super::{Course, lines, picture};
use crate::cli::watchers::Watcher;
use crate::error::Error;
use crate::history::{Epoch, Event, Progress};
use crate::metric::Evaluation;

const BETWEEN_FRAMES: Duration = Duration::from_millis(100);
/// Of training, in a point of the curves.
const LEAST_SECONDS: f64 = 0.05;

/// Loss and accuracy of the rows trained on, as they came, and of validation after each epoch.
#[derive(Default)]
pub(super) struct Curves {
    pub training: Curve,
    pub validation: Curve,
}

/// What the screen knows of the run.
pub(super) struct Known {
    pub course: Course,
    /// What is being tuned, and how far that is.
    pub tuning: Option<(&'static str, usize, usize)>,
    pub progress: Option<Progress>,
    pub last_epoch: Option<Epoch>,
    pub loss: Curves,
    pub accuracy: Curves,
    /// Trained on, and not in the curves yet.
    since: Part,
}

/// Rows that become a point of the curves: their sums.
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

/// Draws what it hears.
pub(super) struct Live {
    known: Known,
    /// Lines that go above the picture in the next frame.
    lines: Vec<String>,
    drawn: Option<Instant>,
    colours: bool,
    /// Whether the terminal is gone.
    failed: bool,
}

impl Live {
    pub fn new(course: Course) -> Self {
        let known = Known {
            course,
            tuning: None,
            progress: None,
            last_epoch: None,
            loss: Curves::default(),
            accuracy: Curves::default(),
            since: Part::default(),
        };
        Live { known, lines: Vec::new(), drawn: None, colours: terminal::has_colours(), failed: false }
    }

    fn draw(&mut self, cursor: Cursor) -> Result<(), Error> {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        let picture = match cursor {
            Cursor::Above => picture::live(&self.known, columns - 1, rows - 1),
            Cursor::Below => picture::left_behind(&self.known, columns - 1, rows - 1),
        };
        let lines = std::mem::take(&mut self.lines);
        self.drawn = Some(Instant::now());
        let outcome = terminal::draw(&lines, &picture, self.colours, cursor);
        self.failed = outcome.is_err();
        outcome
    }
}

impl Watcher for Live {
    fn hear(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            &Event::Tuning { kernel, at, of } => self.known.tuning = Some((kernel, at, of)),
            &Event::Tuned { kinds, seconds } => {
                self.known.tuning = None;
                self.lines.push(lines::tuned(kinds, seconds));
            }
            &Event::DeviceReplaced { reason, step, times, of } => {
                self.known.go_back(step);
                self.lines.push(lines::device_replaced(reason, step, times, of));
            }
            &Event::RateLowered { reason, step, learning_rate, times, of } => {
                self.known.go_back(step);
                self.lines.push(lines::rate_lowered(reason, step, learning_rate, times, of));
            }
            Event::Progress(progress) => self.known.hear_progress(progress),
            Event::Parameters(_) => {}
            Event::Epoch(epoch) => {
                self.known.hear_epoch(epoch);
                let columns = terminal::size().map_or(80, |(columns, _)| columns);
                self.lines.push(lines::line_within(epoch, &self.known.course, usize::from(columns) - 1));
            }
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= BETWEEN_FRAMES) { self.draw(Cursor::Above) } else { Ok(()) }
    }
}

impl Drop for Live {
    /// Leaves the curves in the terminal, and the cursor below them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What went wrong has been written where the picture began.
            terminal::clear_below();
        } else if !self.failed && (self.drawn.is_some() || !self.lines.is_empty()) {
            // A terminal that is gone cannot show the error.
            _ = self.draw(Cursor::Below);
        }
    }
}

impl Known {
    fn hear_progress(&mut self, progress: &Progress) {
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

    fn hear_epoch(&mut self, epoch: &Epoch) {
        if let Some(validation) = epoch.validation {
            let at = epoch.epoch as f64;
            self.loss.validation.push(at, validation.loss);
            if let Some(accuracy) = validation.accuracy {
                self.accuracy.validation.push(at, accuracy);
            }
        }
        self.last_epoch = Some(*epoch);
    }

    /// Forgets what comes after a step, and will be told again.
    fn go_back(&mut self, step: u64) {
        let Some(progress) = self.progress.take() else { return };
        let at = step as f64 / progress.steps as f64;
        for curves in [&mut self.loss, &mut self.accuracy] {
            curves.training.forget_after(at);
            curves.validation.forget_after(at);
        }
        self.since = Part::default();
    }

    /// Where the run is, and where it ends, in epochs.
    pub fn place(&self) -> Option<(f64, f64)> {
        let progress = self.progress?;
        let at = (progress.epoch - 1) as f64 + progress.step as f64 / progress.steps as f64;
        Some((at, (self.course.steps as f64 / progress.steps as f64).max(at)))
    }

    /// Seconds that are left of the epoch, and of the run: with the speed of the last epoch, validation included, where there was one.
    pub fn seconds_left(&self) -> Option<(f64, f64)> {
        let progress = self.progress?;
        let before = (progress.epoch - 1) * progress.steps;
        let ends = progress.steps.min(self.course.steps.saturating_sub(before));
        let per_step = self.course.batch_size as f64 / progress.samples_per_second;
        let of_epoch = ends.saturating_sub(progress.step) as f64 * per_step;
        let whole = self.last_epoch.filter(|epoch| epoch.stats.steps > 0);
        let per_step = whole.map_or(per_step, |epoch| epoch.seconds / epoch.stats.steps as f64);
        let of_run = self.course.steps.saturating_sub(before + progress.step) as f64 * per_step;
        Some((of_epoch, of_run.max(of_epoch)))
    }
}
