//! Softmax cross-entropy of a minibatch, forward and backward, for many classes: a workgroup a row.

use super::{Access, Constants, Cost, Dense, Launch, Slot};
use crate::Optimizer;

const WORKGROUP: u32 = 64;

/// Reads the logits and labels; writes the gradient, when something is trained, and the running sums.
pub fn launch(dense: Dense, training: Option<&Optimizer>) -> Launch {
    let mut bindings = vec![
        (Slot::Labels, Access::Read),
        (Slot::State, Access::Write),
        (Slot::Output, Access::Read),
        (Slot::Stats, Access::Write),
    ];
    if training.is_some() {
        bindings.extend([(Slot::Visited, Access::Write), (Slot::Gradient, Access::Write)]);
    }
    let optimizer = training.copied().unwrap_or(Optimizer::sgd(0.0));
    let logits = u64::from(dense.batch) * u64::from(dense.outputs);
    Launch {
        kernel: "softmax_cross_entropy_wide",
        variant: String::new(),
        root: "softmax_cross_entropy_wide",
        mounts: vec![("optimizer", optimizer.module())],
        constants: vec![
            ("optimizer_constants", optimizer.constants().text()),
            (
                "constants",
                Constants::new()
                    .u32("BATCH", dense.batch)
                    .u32("CLASSES", dense.outputs)
                    .u32("CLASS_QUADS", dense.out_quads())
                    .u32("LOGIT_QUADS", dense.y_quads())
                    .u32("WORKGROUP", WORKGROUP)
                    .text(),
            ),
        ],
        flags: training.map_or_else(Vec::new, |optimizer| [optimizer.flags(), vec!["trains"]].concat()),
        bindings,
        workgroups: 4 * dense.batch_blocks(),
        cost: Cost { flops: 8 * logits, bytes: 2 * dense.output_bytes() + (4 + 4 + 32) * u64::from(dense.batch) },
    }
}
