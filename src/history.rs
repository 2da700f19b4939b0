//! What a run reports: while it goes, after every epoch, and at its end.

use crate::gpu::Traffic;
use crate::metric::Evaluation;
use crate::weights::Weights;

/// What the host had to do so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainStats {
    /// Training steps.
    pub steps: u64,
    /// Kernel launches, those of validation included.
    pub dispatches: u64,
    /// Submissions and blocking reads.
    pub traffic: Traffic,
}

impl TrainStats {
    /// What came on top of an earlier count.
    #[must_use]
    pub fn since(self, earlier: TrainStats) -> TrainStats {
        TrainStats {
            steps: self.steps - earlier.steps,
            dispatches: self.dispatches - earlier.dispatches,
            traffic: Traffic {
                submissions: self.traffic.submissions - earlier.traffic.submissions,
                blocking_reads: self.traffic.blocking_reads - earlier.traffic.blocking_reads,
            },
        }
    }
}

/// One epoch, or the part of one that a run ended in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Counted from 1 since the weights were new.
    pub epoch: u64,
    /// Over the rows trained on, each at the moment it was visited.
    pub training: Evaluation,
    /// Over the validation set, after the epoch's last step.
    pub validation: Option<Evaluation>,
    /// The [figure](crate::TrainOptions::monitor) that it is judged by, where it has it.
    pub monitored: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Steps that changed nothing because a gradient was not finite; see [`NonFinite::Skip`](crate::NonFinite::Skip).
    pub skipped_steps: u64,
    /// Wall-clock time, validation included.
    pub seconds: f64,
    /// Rows trained on a second, validation excluded.
    pub samples_per_second: f64,
    /// What the host had to do in this epoch.
    pub stats: TrainStats,
}

impl Epoch {
    /// Numbers of an epoch in a checkpoint: the fields in their order, but what it is judged by at the end, which earlier versions have not; a missing
    /// accuracy, validation or figure NaN.
    pub(crate) const FIGURES: usize = 16;

    /// An epoch of a checkpoint; none for another number of figures.
    pub(crate) fn of_figures(figures: &[f64]) -> Option<Self> {
        let &[
            epoch,
            loss,
            accuracy,
            rows,
            val_loss,
            val_accuracy,
            val_rows,
            rate,
            skipped,
            seconds,
            speed,
            ref counts @ ..,
        ] = figures
        else {
            return None;
        };
        let &[steps, dispatches, submissions, blocking_reads, ref monitored @ ..] = counts else { return None };
        if monitored.len() > 1 {
            return None;
        }
        let some = |value: f64| Some(value).filter(|value| !value.is_nan());
        let evaluation = |loss, accuracy, rows: f64| Evaluation { loss, accuracy: some(accuracy), rows: rows as u64 };
        Some(Epoch {
            epoch: epoch as u64,
            training: evaluation(loss, accuracy, rows),
            validation: some(val_rows).map(|rows| evaluation(val_loss, val_accuracy, rows)),
            monitored: monitored.first().copied().and_then(some),
            learning_rate: rate,
            skipped_steps: skipped as u64,
            seconds,
            samples_per_second: speed,
            stats: TrainStats {
                steps: steps as u64,
                dispatches: dispatches as u64,
                traffic: Traffic { submissions: submissions as u64, blocking_reads: blocking_reads as u64 },
            },
        })
    }
}

/// The reverse of [`Epoch::of_figures`].
pub(crate) fn figures_of(epoch: &Epoch) -> [f64; Epoch::FIGURES] {
    let evaluation = |evaluation: Option<Evaluation>| {
        evaluation.map_or([f64::NAN; 3], |Evaluation { loss, accuracy, rows }| {
            [loss, accuracy.unwrap_or(f64::NAN), rows as f64]
        })
    };
    let ([loss, accuracy, rows], [val_loss, val_accuracy, val_rows]) =
        (evaluation(Some(epoch.training)), evaluation(epoch.validation));
    let TrainStats { steps, dispatches, traffic: Traffic { submissions, blocking_reads } } = epoch.stats;
    let counts = [steps, dispatches, submissions, blocking_reads].map(|count| count as f64);
    [
        epoch.epoch as f64,
        loss,
        accuracy,
        rows,
        val_loss,
        val_accuracy,
        val_rows,
        epoch.learning_rate,
        epoch.skipped_steps as f64,
        epoch.seconds,
        epoch.samples_per_second,
        counts[0],
        counts[1],
        counts[2],
        counts[3],
        epoch.monitored.unwrap_or(f64::NAN),
    ]
}

/// How far an epoch is, as far as the host knows without waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Counted from 1 since the weights were new.
    pub epoch: u64,
    /// Steps of this epoch whose sums have arrived.
    pub step: u64,
    /// Steps of the whole epoch.
    pub steps: u64,
    /// Loss and accuracy over them.
    pub so_far: Evaluation,
    /// Over those of them that came since the progress before, in this epoch.
    pub lately: Evaluation,
    /// Rows trained on a second in this epoch.
    pub samples_per_second: f64,
    /// The learning rate of the last of these steps.
    pub learning_rate: f64,
    /// The norm of that step's gradient, of all layers together and before it is clipped. It is known where training needs it, under
    /// [`TrainOptions::clip_grad_norm`](crate::TrainOptions::clip_grad_norm) or [`NonFinite::Skip`](crate::NonFinite::Skip): elsewhere no gradient is
    /// ever in memory as a whole.
    pub gradient_norm: Option<f64>,
    /// Wall-clock time of this epoch's training.
    pub seconds: f64,
}

/// What a network has learned, and where it is heading.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Parameters {
    /// Steps done since the weights were new.
    pub step: u64,
    /// After that step.
    pub weights: Weights,
    /// The gradient of the loss by them, before any clipping, over the minibatch that the next step would visit; at the end of an epoch that is read
    /// in windows, one more of its last window, as the next is not there yet.
    pub gradients: Weights,
}

/// A report on a run, while training goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Before the first step, where [`Tuning::Auto`](crate::Tuning::Auto) has something to measure.
    Tuning {
        /// The product that tiles are tried for.
        kernel: &'static str,
        /// Which of them it is, from 1.
        at: usize,
        /// How many there are.
        of: usize,
    },
    /// After the last of them.
    Tuned {
        /// Kinds of product that were measured.
        kinds: usize,
        /// How long all of it took.
        seconds: f64,
    },
    /// The device failed, and training goes on on another one of the same adapter: see
    /// [`Checkpointing::device_retries`](crate::Checkpointing::device_retries). Later steps are reported again.
    DeviceReplaced {
        /// How and where it failed.
        reason: &'a str,
        /// Steps done where training goes on.
        step: u64,
        /// How often that has happened in this fit, this time included.
        times: u64,
        /// How often it may.
        of: u64,
    },
    /// Numbers were not finite, and training goes on from before them with a lower rate: see [`NonFinite::Lower`](crate::NonFinite::Lower). Later
    /// steps are reported again.
    RateLowered {
        /// Where and how they were not.
        reason: &'a str,
        /// Steps done where training goes on.
        step: u64,
        /// The rate, before any schedule.
        learning_rate: f64,
        /// How often that has happened in this fit, this time included.
        times: u64,
        /// How often it may.
        of: u64,
    },
    /// Every tenth of a second at most, and at the end of an epoch's steps.
    Progress(Progress),
    /// Before the event of an epoch, where [`Trainer::report_parameters`](crate::Trainer::report_parameters) asked for them.
    Parameters(&'a Parameters),
    /// After every epoch.
    Epoch(Epoch),
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct History {
    /// Its epochs, in order.
    pub epochs: Vec<Epoch>,
    /// The place in `epochs` of the one whose weights the run ended with, where that is the best by
    /// [`TrainOptions::keep_best`](crate::TrainOptions::keep_best) instead of the last.
    pub kept: Option<usize>,
    /// How often the rate was lowered because numbers were not finite, under [`NonFinite::Lower`](crate::NonFinite::Lower).
    pub lowered: u64,
    /// What the host had to do in the whole run.
    pub stats: TrainStats,
}
