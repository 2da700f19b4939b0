//! What a run reports: while it goes, after every epoch, and at its end.

use crate::gpu::Traffic;
use crate::metric::Evaluation;
use crate::weights::Weights;

/// The work of the host so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainStats {
    /// Training steps.
    pub steps: u64,
    /// Kernel launches, those of validation included.
    pub dispatches: u64,
    /// Submissions and blocking reads.
    pub traffic: Traffic,
    /// Bytes that were sent to [other processes](crate::Trainer::among).
    pub exchanged_bytes: u64,
}

impl TrainStats {
    /// The difference to an earlier count.
    #[must_use]
    pub fn since(self, earlier: TrainStats) -> TrainStats {
        TrainStats {
            steps: self.steps - earlier.steps,
            dispatches: self.dispatches - earlier.dispatches,
            traffic: Traffic {
                submissions: self.traffic.submissions - earlier.traffic.submissions,
                blocking_reads: self.traffic.blocking_reads - earlier.traffic.blocking_reads,
            },
            exchanged_bytes: self.exchanged_bytes - earlier.exchanged_bytes,
        }
    }
}

/// One epoch, or the part of one that a run ended in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// The epoch's number, counted from 1 since the weights were new.
    pub epoch: u64,
    /// Loss and accuracy over the rows trained on, each when it was visited.
    pub training: Evaluation,
    /// Loss and accuracy over the validation set, after the epoch's last step.
    pub validation: Option<Evaluation>,
    /// The [metric](crate::TrainOptions::monitor) that the epoch is judged by, if it has one.
    pub monitored: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Steps that changed nothing because a gradient was not finite; see [`NonFinite::Skip`](crate::NonFinite::Skip).
    pub skipped_steps: u64,
    /// Wall-clock time, validation included.
    pub seconds: f64,
    /// Rows trained on a second, validation excluded.
    pub samples_per_second: f64,
    /// The work of the host in this epoch.
    pub stats: TrainStats,
}

impl Epoch {
    /// The count of an epoch's numbers in a checkpoint: the fields in their order, but `monitored` at the end, which earlier versions lack. A
    /// missing accuracy, validation or `monitored` is NaN.
    pub(crate) const FIGURES: usize = 16;

    /// The epoch with these numbers from a checkpoint; `None` for another count of them.
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
                // Of this run alone.
                exchanged_bytes: 0,
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
    let TrainStats { steps, dispatches, traffic: Traffic { submissions, blocking_reads }, .. } = epoch.stats;
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

/// The progress of an epoch, as far as the host knows without waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The epoch's number, counted from 1 since the weights were new.
    pub epoch: u64,
    /// Steps of this epoch whose sums have arrived.
    pub step: u64,
    /// Steps of the whole epoch.
    pub steps: u64,
    /// Loss and accuracy over these steps.
    pub so_far: Evaluation,
    /// Loss and accuracy over those of these steps that arrived since the progress before.
    pub lately: Evaluation,
    /// Rows trained on a second in this epoch.
    pub samples_per_second: f64,
    /// The learning rate of the last of these steps.
    pub learning_rate: f64,
    /// The norm of that step's gradient over all layers, before it is clipped. It is known only where training needs it, under
    /// [`TrainOptions::clip_grad_norm`](crate::TrainOptions::clip_grad_norm) or [`NonFinite::Skip`](crate::NonFinite::Skip): otherwise no
    /// gradient is ever in memory as a whole.
    pub gradient_norm: Option<f64>,
    /// Wall-clock time of this epoch's training.
    pub seconds: f64,
}

/// The weights of a network as they are trained, and their gradients.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Parameters {
    /// Steps done since the weights were new.
    pub step: u64,
    /// The weights after that step.
    pub weights: Weights,
    /// The gradient of the loss by the weights, before any clipping, over the minibatch that the next step would visit. At the end of an epoch that
    /// is read in windows, it is over another minibatch of the last window, as the next window is not loaded yet.
    pub gradients: Weights,
}

/// A report on a run, while training goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Sent before the first step, if [`Tuning::Auto`](crate::Tuning::Auto) has something to measure.
    Tuning {
        /// The product that tiles are tried for.
        kernel: &'static str,
        /// The position of this product, from 1.
        at: usize,
        /// The number of products.
        of: usize,
    },
    /// Sent after the last product was measured.
    Tuned {
        /// The number of kinds of product that were measured.
        kinds: usize,
        /// The time that all measurements took.
        seconds: f64,
    },
    /// Sent when the device failed and training continues on a new device of the same adapter: see
    /// [`Checkpointing::device_retries`](crate::Checkpointing::device_retries). Later steps are reported again.
    DeviceReplaced {
        /// How and where it failed.
        reason: &'a str,
        /// Steps done where training goes on.
        step: u64,
        /// The number of times that this has happened in this fit, this time included.
        times: u64,
        /// The number of times that it may happen.
        of: u64,
    },
    /// Sent when numbers were not finite and training goes on from before them with a lower rate: see [`NonFinite::Lower`](crate::NonFinite::Lower). Later
    /// steps are reported again.
    RateLowered {
        /// Which numbers were not finite, and where.
        reason: &'a str,
        /// Steps done where training goes on.
        step: u64,
        /// The rate, before any schedule.
        learning_rate: f64,
        /// The number of times that this has happened in this fit, this time included.
        times: u64,
        /// The number of times that it may happen.
        of: u64,
    },
    /// Sent at most every tenth of a second, and at the end of an epoch's steps.
    Progress(Progress),
    /// Sent before the event of an epoch, if [`Trainer::report_parameters`](crate::Trainer::report_parameters) asked for it.
    Parameters(&'a Parameters),
    /// Sent after every epoch.
    Epoch(Epoch),
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct History {
    /// Its epochs, in order.
    pub epochs: Vec<Epoch>,
    /// The index in `epochs` of the epoch whose weights the run ended with, if that is the best one, by
    /// [`TrainOptions::keep_best`](crate::TrainOptions::keep_best) instead of the last.
    pub kept: Option<usize>,
    /// The number of times that the rate was lowered because numbers were not finite, under [`NonFinite::Lower`](crate::NonFinite::Lower).
    pub lowered: u64,
    /// The work of the host in the whole run.
    pub stats: TrainStats,
}
