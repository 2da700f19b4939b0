//! Counts of targets and predictions by class.

use super::binding::{Access, Binding};
use super::launch::Launch;
use super::loss_kernel::LossKernel;

/// The most classes that have a confusion matrix: 4 MB of counts.
pub const MOST_IN_CONFUSION: u32 = 1000;

/// What is counted besides the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Whether every output is a yes-or-no prediction of its own.
    pub each_output: bool,
    /// Whether rows are counted by their class and the predicted one.
    pub confusion: bool,
    /// Whether every row's score is kept: two classes, or one output.
    pub scores: bool,
}

impl Counts {
    /// What is counted for this number of outputs.
    pub fn of(each_output: bool, outputs: u32) -> Self {
        Counts {
            each_output,
            confusion: !each_output && outputs <= MOST_IN_CONFUSION,
            scores: outputs == if each_output { 1 } else { 2 },
        }
    }

    /// Words of the counts.
    pub fn words(self, outputs: u32) -> u64 {
        let outputs = u64::from(outputs);
        4 * outputs + if self.confusion { outputs * outputs } else { 0 }
    }
}

/// Reads the logits and targets, adds to the counts. A row has an invocation of its own, or a workgroup where it is long.
pub fn launch(loss_kernel: LossKernel<'_>, counts: Counts, workgroup: u32) -> Launch {
    let is_long = loss_kernel.dense.outputs > super::head::MOST_OUTPUTS;
    let (workgroup, rows) = if is_long { (super::row_loss::workgroup(loss_kernel), 1) } else { (workgroup, workgroup) };
    let mut launch = loss_kernel.on_logits("class_metrics", workgroup);
    launch.workgroups = loss_kernel.judged().div_ceil(rows);
    if is_long {
        launch.flags.push("row_per_workgroup");
    }
    for (on, flag) in [(counts.each_output, "each_output"), (counts.confusion, "confusion"), (counts.scores, "scores")]
    {
        if on {
            launch.flags.push(flag);
        }
    }
    if counts.scores {
        launch.bindings.push((Binding::Scores, Access::Write));
    }
    launch
}
