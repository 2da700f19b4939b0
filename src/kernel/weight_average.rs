//! The exponential moving average of one layer's weights.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::constants::Constants;
use crate::layout::Dense;

/// Reads the layer's weights, after their update, and moves their average by 1 − `decay` of the way; not where a step `skips` its update.
pub fn launch(dense: Dense, decay: f64, skips: bool, workgroup: u32) -> Launch {
    let constants = Constants::new()
        .u32("BATCH", dense.batch)
        .f32("ONE_MINUS_DECAY", 1.0 - decay)
        .u32("QUADS", dense.weight_quads())
        .u32("WORKGROUP", workgroup);
    Launch {
        kernel: "weight_average",
        variant: String::new(),
        root: "weight_average",
        mounts: vec![],
        constants: vec![("constants", constants.text())],
        flags: if skips { vec!["skips"] } else { vec![] },
        bindings: vec![
            (Binding::Weights, Access::Read),
            (Binding::Average, Access::Write),
            (Binding::State, Access::Write),
        ],
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: dense.weight_quads().div_ceil(workgroup),
        cost: Cost { flops: dense.weights_bytes() * 3 / 4, bytes: 3 * dense.weights_bytes() },
    }
}
