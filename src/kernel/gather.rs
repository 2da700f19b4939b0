//! The rows of a minibatch side by side as f32, where products cannot read them from the set itself.

use super::binding::{Access, Binding};
use super::input::Input;
use super::launch::{Cost, Launch};
use super::map::Rows;
use crate::constants::Constants;
use crate::layout::quads_with_one;

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
pub fn launch(rows: Rows, source: Input, part: Part, scales: bool, workgroup: u32) -> Launch {
    let (samples, quads) = (rows.batch.next_multiple_of(4), quads_with_one(rows.width));
    let mut bindings = source.row_bindings();
    bindings.push((Binding::Output, Access::Write));
    bindings.extend(scales.then_some((Binding::Scaling, Access::Read)));
    let values = 4 * u64::from(samples) * u64::from(quads);
    Launch {
        kernel: "gather",
        variant: String::new(),
        root: "gather",
        mounts: vec![("input", source.module())],
        constants: vec![(
            "constants",
            Constants::new()
                .u32("BATCH", rows.batch)
                .u32("FIRST_ROW", part.first_row)
                .u32("SAMPLES", samples)
                .u32("ROWS", part.rows)
                .u32("WORKGROUP", workgroup)
                .u32("X_QUADS", quads)
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
            bytes: u64::from(rows.batch) * u64::from(quads) * source.quad_bytes()
                + 4 * values
                + if scales { 32 * u64::from(quads) } else { 0 },
        },
    }
}
