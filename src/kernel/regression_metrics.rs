//! Sums of errors and targets, for every output.

use super::Launch;
use super::row_loss::Lossy;

/// Values that are summed for each output, compensations and shift included.
pub const SUMS: u64 = 9;

/// Reads the logits and targets, adds to the sums.
pub fn launch(lossy: Lossy<'_>, workgroup: u32) -> Launch {
    let mut launch = lossy.judging("regression_metrics", workgroup);
    launch.workgroups = lossy.dense.out_quads().div_ceil(workgroup);
    launch
}
