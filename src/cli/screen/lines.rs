//! A line an epoch, for people or as JSON.

use serde_json::json;

use super::course::Course;
use crate::cli::figures::{figure, shortest};
use crate::cli::observers::Observer;
use crate::cli::output::{Output, epoch_event, figures, grouped};
use crate::error::Error;
use crate::history::{Epoch, Event};
use crate::metric::Evaluation;
use crate::options::Monitor;

/// Writes a line when an epoch is over.
pub(super) struct Lines {
    pub output: Output,
    pub course: Course,
}

impl Observer for Lines {
    fn observe(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            Event::Tuned { kinds, seconds } => {
                self.output.event(json!({ "event": "tuned", "kinds": kinds, "seconds": seconds }))?;
                self.output.text(tuned(*kinds, *seconds))
            }
            Event::Epoch(epoch) => {
                self.output.event(epoch_event(epoch))?;
                self.output.text(line(epoch, &self.course))
            }
            &Event::DeviceReplaced { reason, step, times, of } => {
                self.output.event(json!({
                    "event": "device_replaced", "reason": reason, "step": step, "times": times, "of": of,
                }))?;
                self.output.text(device_replaced(reason, step, times, of))
            }
            &Event::RateLowered { reason, step, learning_rate, times, of } => {
                self.output.event(json!({
                    "event": "rate_lowered", "reason": reason, "step": step, "learning_rate": learning_rate, "times": times, "of": of,
                }))?;
                self.output.text(rate_lowered(reason, step, learning_rate, times, of))
            }
            Event::Tuning { .. } | Event::Progress(_) | Event::Parameters(_) => Ok(()),
        }
    }
}

pub(super) fn tuned(kinds: usize, seconds: f64) -> String {
    format!("tried the tiles of {kinds} kinds of product, in {seconds:.1} s")
}

pub(super) fn device_replaced(reason: &str, step: u64, times: u64, of: u64) -> String {
    format!("{reason}; going on from step {} on another device ({times} of {of})", grouped(step))
}

pub(super) fn rate_lowered(reason: &str, step: u64, learning_rate: f64, times: u64, of: u64) -> String {
    let (step, rate) = (grouped(step), shortest(learning_rate));
    format!("{reason}; going on from step {step} with a learning rate of {rate} ({times} of {of})")
}

/// The whole line of an epoch.
fn line(epoch: &Epoch, course: &Course) -> String {
    let validation =
        epoch.validation.map_or(String::new(), |validation| format!("   validation {}", figures(&validation)));
    // Loss and accuracy are in the line already.
    let monitored = match (course.monitor, epoch.monitored) {
        (Monitor::Loss | Monitor::Accuracy, _) | (_, None) => String::new(),
        (monitor, Some(value)) => format!("  {monitor} {}", figure(value)),
    };
    let skipped = match epoch.skipped_steps {
        0 => String::new(),
        1 => "   1 step skipped".into(),
        steps => format!("   {} steps skipped", grouped(steps)),
    };
    // The epoch was begun by an earlier call, or interrupted.
    let part = match epoch.training.rows {
        rows if rows < course.rows => format!("   {} of {} rows", grouped(rows), grouped(course.rows)),
        _ => String::new(),
    };
    // A run that goes on after an epoch's last step judges that epoch.
    let pace = match epoch.samples_per_second {
        0.0 => "trained before".into(),
        pace => format!("{:.1} s  {} samples/s", epoch.seconds, grouped(pace as u64)),
    };
    format!(
        "epoch {:>2}/{}   {}{validation}{monitored}   {pace}{skipped}{part}",
        epoch.epoch,
        course.epochs,
        figures(&epoch.training),
    )
}

/// The part of a line that fits into the given number of columns.
pub(super) fn line_within(epoch: &Epoch, course: &Course, columns: usize) -> String {
    let pair = |result: &Evaluation, percent: &str| {
        let accuracy = result.accuracy.map_or(String::new(), |accuracy| format!(" {:.2}{percent}", 100.0 * accuracy));
        figure(result.loss) + &accuracy
    };
    let (at, epochs, training) = (epoch.epoch, course.epochs, &epoch.training);
    let validation = |word: &str, percent: &str| {
        epoch.validation.map_or(String::new(), |validation| format!("{word}{}", pair(&validation, percent)))
    };
    let forms = [
        line(epoch, course),
        format!(
            "epoch {at:>2}/{epochs}   loss {}{}   {:.1} s",
            pair(training, " %"),
            validation("   validation ", " %"),
            epoch.seconds
        ),
        format!("{at:>2}/{epochs} {}{}", pair(training, "%"), validation(" val ", "%")),
        format!("{at}/{epochs} {}", pair(epoch.validation.as_ref().unwrap_or(training), "%")),
    ];
    let fits = |form: &&String| form.chars().count() <= columns;
    let cut = |form: &String| form.chars().take(columns).collect();
    forms.iter().find(fits).cloned().unwrap_or_else(|| forms.last().map_or(String::new(), cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a line that a narrow terminal would break in two, or that lost its loss.
    #[test]
    fn an_epoch_fits_into_any_width() {
        let evaluation = Evaluation { loss: 0.2211, accuracy: Some(0.9356), rows: 100 };
        let epoch = Epoch {
            epoch: 3,
            training: evaluation,
            validation: Some(Evaluation { loss: 0.1144, ..evaluation }),
            monitored: Some(0.1144),
            learning_rate: 0.001,
            skipped_steps: 2,
            seconds: 5.9,
            samples_per_second: 10_551.0,
            stats: crate::history::TrainStats::default(),
        };
        let course = Course {
            epochs: 10,
            steps: 1000,
            step_rows: 1,
            rows: 100,
            device_bytes: 0,
            validates: true,
            monitor: Monitor::Loss,
        };
        let within = |columns| line_within(&epoch, &course, columns);
        assert_eq!(within(200), line(&epoch, &course));
        assert_eq!(within(79), "epoch  3/10   loss 0.2211 93.56 %   validation 0.1144 93.56 %   5.9 s");
        assert_eq!(within(39), " 3/10 0.2211 93.56% val 0.1144 93.56%");
        assert_eq!(within(19), "3/10 0.1144 93.56%");
        assert_eq!(within(6), "3/10 0");
        let longer = Course { rows: 1000, ..course };
        assert_eq!(line(&epoch, &longer), line(&epoch, &course) + "   100 of 1,000 rows");
        assert!((0..130).all(|columns| within(columns).chars().count() <= columns));
    }
}
