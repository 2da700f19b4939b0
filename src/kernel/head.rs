//! The end of the forward pass and the beginning of the backward one, for few outputs.

use super::{Access, Constants, Cost, Dense, Input, Launch, Slot};
use crate::{Loss, Optimizer};

/// Above this many outputs a row no longer fits an invocation's registers.
pub const MOST_OUTPUTS: u32 = 64;

/// Reads the last layer's input, weights and the labels; writes the logits' gradient and the running sums. With no
/// optimizer nothing is trained, and the logits are written instead.
pub fn launch(dense: Dense, input: Input, loss: Loss, training: Option<&Optimizer>, workgroup: u32) -> Launch {
    let mut bindings = vec![
        (Slot::Input, Access::Read),
        (Slot::Labels, Access::Read),
        (Slot::Weights, Access::Read),
        (Slot::State, Access::Write),
        (Slot::Stats, Access::Write),
    ];
    match training {
        Some(_) => bindings.extend([(Slot::Visited, Access::Write), (Slot::Gradient, Access::Write)]),
        None => bindings.push((Slot::Output, Access::Write)),
    }
    let optimizer = training.copied().unwrap_or(Optimizer::sgd(0.0));
    Launch {
        kernel: "head",
        variant: String::new(),
        root: "head",
        mounts: vec![("input", input.module()), ("loss", loss.module()), ("optimizer", optimizer.module())],
        constants: vec![
            ("optimizer_constants", optimizer.constants().text()),
            (
                "constants",
                Constants::new()
                    .u32("BATCH", dense.batch)
                    .u32("X_QUADS", dense.x_quads())
                    .u32("CLASSES", dense.outputs)
                    .u32("CLASS_QUADS", dense.out_quads())
                    .u32("LOGIT_QUADS", dense.y_quads())
                    .u32("WORKGROUP", workgroup)
                    .text(),
            ),
        ],
        flags: training.map_or_else(Vec::new, |optimizer| [optimizer.flags(), vec!["trains"]].concat()),
        bindings,
        workgroups: (4 * dense.batch_blocks()).div_ceil(workgroup),
        cost: Cost {
            flops: dense.flops() + 6 * u64::from(dense.batch) * u64::from(dense.outputs),
            bytes: dense.input_bytes(input)
                + dense.weights_bytes()
                + dense.output_bytes()
                + (4 + 4 + 32) * u64::from(dense.batch),
        },
    }
}
