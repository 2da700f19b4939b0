//! The step state: what the kernels know of the step that they run.

use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Buffer, Gpu};
use crate::plan::STATE_BYTES;

/// The step state as the shaders declare it (`step.wesl`), without the optimizer's scalars at its end: those belong to
/// the device, as do the learning rate, the skipped steps and the first one that is not finite while it runs.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct State {
    pub step: u32,
    pub rows: u32,
    pub steps_per_epoch: u32,
    pub order_bits: u32,
    pub seed: [u32; 2],
    pub shuffle: u32,
    pub learning_rate: f32,
    pub first_step: u32,
    pub epochs_before: u32,
    pub by_epoch: u32,
    pub skipped: u32,
    pub base_rate: f32,
    pub warmup: u32,
    pub warmup_start: f32,
    pub bad_step: u32,
    pub schedule: [f32; 4],
}

/// The state's words that are read back: the step's, the learning rate's, the number of skipped steps, the rate that the schedule scales, the first step whose
/// update is not finite, and the norm of the gradient.
pub(crate) const STEP_WORD: usize = 0;
pub(crate) const RATE_WORD: usize = 7;
pub(crate) const SKIPPED_WORD: usize = 11;
pub(crate) const BASE_RATE_WORD: usize = 12;
pub(crate) const NON_FINITE_WORD: usize = 15;
pub(crate) const NORM_WORD: usize = 28;

// What the plan allocates is what the shaders declare.
const _: () = assert!(size_of::<State>() as u64 + 3 * 16 == STATE_BYTES);

impl State {
    /// The state before the first step over a set of `rows` rows in minibatches of `batch`.
    pub fn new(rows: usize, batch: u32) -> Self {
        let rows = rows as u32;
        State {
            step: 0,
            rows,
            steps_per_epoch: rows.div_ceil(batch),
            order_bits: u32::BITS - (rows - 1).leading_zeros(),
            ..State::zeroed()
        }
    }

    /// Replaces in a state on the device what says which rows the next steps visit, and nothing else.
    pub fn write_order(&self, gpu: &Gpu, buffer: &Buffer) {
        let seed = self.seed;
        let of_rows = [self.rows, self.steps_per_epoch, self.order_bits, seed[0], seed[1]];
        gpu.write_at(buffer, offset_of!(State, rows) as u64, &of_rows);
        gpu.write_at(buffer, offset_of!(State, first_step) as u64, &[self.first_step, self.epochs_before]);
    }
}
