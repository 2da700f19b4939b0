//! The optimizer's step of one layer from a gradient that was kept until all layers' were known.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::constants::Constants;
use crate::layout::Dense;
use crate::training::Training;

/// Quads of weights that an invocation updates: several where a workgroup is a CPU's vector, as each workgroup costs it something.
fn quads_each(workgroup: u32) -> u32 {
    64 / workgroup
}

/// Reads the layer's gradient, updates weights and slots. The last launch of a step closes it.
pub fn launch(dense: Dense, training: Training<'_>, closes_step: bool, workgroup: u32) -> Launch {
    let optimizer = training.optimizer;
    let mut parts = training.update_parts();
    if closes_step {
        parts.flags.push("closes_step");
    }
    parts.constants.push((
        "constants",
        Constants::new()
            .u32("BATCH", dense.batch)
            .u32("QUADS", dense.weight_quads())
            .u32("QUADS_EACH", quads_each(workgroup))
            .u32("WORKGROUP", workgroup)
            .text(),
    ));
    let mut bindings = vec![
        (Binding::WeightGradient, Access::Read),
        (Binding::Weights, Access::Write),
        (Binding::State, Access::Write),
    ];
    if optimizer.slots() > 0 {
        bindings.push((Binding::OptimizerSlots, Access::Write));
    }
    Launch {
        kernel: "kept_update",
        variant: optimizer.name().into(),
        root: "kept_update",
        mounts: vec![parts.mount],
        constants: parts.constants,
        flags: parts.flags,
        bindings,
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: dense.weight_quads().div_ceil(workgroup * quads_each(workgroup)),
        cost: Cost {
            flops: dense.weights_bytes(),
            bytes: (1 + 2 * (1 + u64::from(optimizer.slots()))) * dense.weights_bytes(),
        },
    }
}
