//! One layer's part of the global norm of the gradient.

use super::{Access, Constants, Cost, Dense, Launch, Slot};

const WORKGROUP: u32 = 64;

/// Reads the layer's gradient, writes the sum of its squares.
pub fn launch(dense: Dense, layer: usize) -> Launch {
    Launch {
        kernel: "gradient_norm",
        variant: String::new(),
        root: "gradient_norm",
        mounts: vec![],
        constants: vec![(
            "constants",
            Constants::new()
                .u32("LAYER", layer as u32)
                .u32("QUADS", dense.weight_quads())
                .u32("WORKGROUP", WORKGROUP)
                .text(),
        )],
        flags: vec![],
        bindings: vec![(Slot::WeightGradient, Access::Read), (Slot::Norms, Access::Write)],
        workgroups: 1,
        cost: Cost { flops: dense.weights_bytes() / 2, bytes: dense.weights_bytes() },
    }
}
