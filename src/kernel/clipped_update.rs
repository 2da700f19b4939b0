//! The optimizer's step of one layer from a gradient in memory, once all layers' gradients are known.

use super::{Access, Constants, Cost, Dense, Launch, Slot, Training};

const WORKGROUP: u32 = 64;

/// Reads the layer's gradient and the norms of all `layers`, updates weights and slots. The last launch of a step closes it.
pub fn launch(dense: Dense, layers: usize, training: Training<'_>, closes_step: bool) -> Launch {
    let optimizer = training.optimizer;
    let mut parts = training.update_parts();
    if training.skips_non_finite {
        parts.flags.push("skips");
    }
    if closes_step {
        parts.flags.push("closes_step");
    }
    parts.constants.push((
        "constants",
        Constants::new()
            .u32("BATCH", dense.batch)
            .u32("LAYERS", layers as u32)
            .u32("QUADS", dense.weight_quads())
            .u32("WORKGROUP", WORKGROUP)
            .text(),
    ));
    let mut bindings = vec![
        (Slot::WeightGradient, Access::Read),
        (Slot::Norms, Access::Read),
        (Slot::Weights, Access::Write),
        (Slot::State, Access::Write),
    ];
    if optimizer.slots() > 0 {
        bindings.push((Slot::OptimizerSlots, Access::Write));
    }
    Launch {
        kernel: "clipped_update",
        variant: optimizer.name().into(),
        root: "clipped_update",
        mounts: vec![parts.mount],
        constants: parts.constants,
        flags: parts.flags,
        bindings,
        workgroups: dense.weight_quads().div_ceil(WORKGROUP),
        cost: Cost {
            flops: dense.weights_bytes(),
            bytes: (1 + 2 * (1 + u64::from(optimizer.slots()))) * dense.weights_bytes(),
        },
    }
}
