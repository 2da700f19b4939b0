//! The rows of a minibatch side by side as f32, where products cannot read them from the set itself.

use super::binding::{Access, Binding};
use super::input::Input;
use super::launch::{Cost, Launch};
use crate::constants::Constants;
use crate::layout::Dense;

/// Some of a set's rows, in a buffer of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The set's row that is its first.
    pub first_row: u32,
    /// How many rows.
    pub rows: u32,
}

/// Reads one part of the set, writes those rows of the minibatch that are in it. `source` says what the set holds; `scales` whether each
/// feature has a shift and a scale.
pub fn launch(dense: Dense, source: Input, part: Part, scales: bool, workgroup: u32) -> Launch {
    let samples = 4 * dense.batch_blocks();
    let mut bindings = source.row_bindings();
    bindings.push((Binding::Output, Access::Write));
    bindings.extend(scales.then_some((Binding::Scaling, Access::Read)));
    let values = 4 * u64::from(samples) * u64::from(dense.x_quads());
    Launch {
        kernel: "gather",
        variant: String::new(),
        root: "gather",
        mounts: vec![("input", source.module())],
        constants: vec![(
            "constants",
            Constants::new()
                .u32("BATCH", dense.batch)
                .u32("FIRST_ROW", part.first_row)
                .u32("SAMPLES", samples)
                .u32("ROWS", part.rows)
                .u32("WORKGROUP", workgroup)
                .u32("X_QUADS", dense.x_quads())
                .text(),
        )],
        flags: scales.then_some("scales").into_iter().collect(),
        bindings,
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: samples,
        cost: Cost {
            flops: if scales { 2 * values } else { 0 },
            bytes: source.bytes(dense) + 4 * values + if scales { 32 * u64::from(dense.x_quads()) } else { 0 },
        },
    }
}
