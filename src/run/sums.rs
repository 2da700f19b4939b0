//! The running sums: what a pass adds up on the device, row by row of the minibatch.

use bytemuck::{Pod, Zeroable};

use super::state::{NON_FINITE_WORD, NORM_WORD, RATE_WORD, SKIPPED_WORD, STEP_WORD};
use crate::metric::Evaluation;
use crate::plan::{STATE_BYTES, STATS_BYTES};

/// One entry of the running sums (`stats.wesl`).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowStats {
    loss: f32,
    compensation: f32,
    weight: f32,
    correct: u32,
    judged: u32,
    share: f32,
    non_finite_step: u32,
}

// What the plan allocates is what the shaders declare.
const _: () = assert!(size_of::<RowStats>() as u64 == STATS_BYTES);

/// The running sums over all samples of the minibatch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    /// What the device's own counter of steps says.
    pub step: u32,
    loss: f64,
    weight: f64,
    correct: u64,
    judged: u64,
    /// The first step, counted from 1, with a loss that is not finite.
    pub non_finite_loss: Option<u64>,
    /// The first with a gradient or a new weight that is not.
    pub non_finite_update: Option<u64>,
    /// Of the last step.
    pub learning_rate: f32,
    /// Of the last step's gradient, where a kernel computes it.
    pub gradient_norm: f32,
    /// Since the weights were new.
    pub skipped: u32,
}

impl Sums {
    /// Whether they have no loss: one that is not finite is not added.
    pub fn have_no_loss(&self) -> bool {
        self.loss == 0.0
    }

    /// From the words of the running sums and the state behind them.
    pub fn of(words: &[u32]) -> Self {
        let (entries, state) = words.split_at(words.len() - STATE_BYTES as usize / 4);
        Sums::of_both(entries, state)
    }

    /// From the words of the running sums and those of the state.
    pub fn of_both(entries: &[u32], state: &[u32]) -> Self {
        let step = |word: u32| Some(u64::from(word)).filter(|&step| step > 0);
        let of_device = Sums {
            step: state[STEP_WORD],
            learning_rate: f32::from_bits(state[RATE_WORD]),
            gradient_norm: f32::from_bits(state[NORM_WORD]),
            skipped: state[SKIPPED_WORD],
            non_finite_update: step(state[NON_FINITE_WORD]),
            ..Sums::default()
        };
        bytemuck::cast_slice::<u32, RowStats>(entries).iter().fold(of_device, |sums, entry| Sums {
            loss: sums.loss + f64::from(entry.loss) - f64::from(entry.compensation),
            weight: sums.weight + f64::from(entry.weight),
            correct: sums.correct + u64::from(entry.correct),
            judged: sums.judged + u64::from(entry.judged),
            non_finite_loss: [sums.non_finite_loss, step(entry.non_finite_step)].into_iter().flatten().min(),
            ..sums
        })
    }

    /// What came on top of earlier sums of the same pass.
    pub fn since(self, earlier: Sums) -> Sums {
        Sums {
            loss: self.loss - earlier.loss,
            weight: self.weight - earlier.weight,
            correct: self.correct - earlier.correct,
            judged: self.judged - earlier.judged,
            ..self
        }
    }

    /// Their means over `rows` rows. Where every row is ignored, the loss is 0.
    pub fn over(self, rows: u64) -> Evaluation {
        let loss = if self.weight > 0.0 { self.loss / self.weight } else { 0.0 };
        Evaluation { loss, accuracy: (self.judged > 0).then(|| self.correct as f64 / self.judged as f64), rows }
    }
}
