//! Softmax cross-entropy of a minibatch with class indices, forward and backward, for many classes: a workgroup a row.

use super::Launch;
use super::row_loss::Lossy;

const WORKGROUP: u32 = 64;

/// Reads the logits and labels; writes the gradient, when something is trained, and the running sums.
pub fn launch(lossy: Lossy<'_>) -> Launch {
    lossy.in_memory("softmax_cross_entropy_wide", WORKGROUP, 1)
}
