//! The optimizer's step of one layer, from a gradient in memory that is clipped by the global norm.

use super::{Access, Constants, Cost, Dense, Launch, Slot};
use crate::Optimizer;

const WORKGROUP: u32 = 64;

/// Reads the layer's gradient and the norms of all `layers`, updates weights and slots. The last launch of a step closes it.
pub fn launch(dense: Dense, layers: usize, optimizer: &Optimizer, max_norm: f64, closes_step: bool) -> Launch {
    let mut flags = optimizer.flags();
    if closes_step {
        flags.push("closes_step");
    }
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
        mounts: vec![("optimizer", optimizer.module())],
        constants: vec![
            ("optimizer_constants", optimizer.constants().text()),
            ("clip_constants", Constants::new().f32("MAX_NORM", max_norm).text()),
            (
                "constants",
                Constants::new()
                    .u32("BATCH", dense.batch)
                    .u32("LAYERS", layers as u32)
                    .u32("QUADS", dense.weight_quads())
                    .u32("WORKGROUP", WORKGROUP)
                    .text(),
            ),
        ],
        flags,
        bindings,
        workgroups: dense.weight_quads().div_ceil(WORKGROUP),
        cost: Cost {
            flops: dense.weights_bytes(),
            bytes: (1 + 2 * (1 + u64::from(optimizer.slots()))) * dense.weights_bytes(),
        },
    }
}
