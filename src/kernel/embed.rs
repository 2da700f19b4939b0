//! Vectors for the features of a minibatch that are categories, and the gradients by their tables.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use super::lists;
use crate::constants::Constants;
use crate::layout::{Dense, quads_with_one};

/// The most rows of a minibatch that is trained on: an invocation may go over all of them twice, one an iteration, for a category's sum and for that of the rows'
/// weights. llvmpipe ends an invocation's loops after 65,535 iterations of all of them together, as [`most_slots`](super::tokens::most_slots) says.
pub const MOST_ROWS: u32 = 30_000;

/// The vectors of a feature that is a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Rows of the minibatch.
    pub batch: u32,
    /// Features of a row that comes in, and which of them it is.
    pub inputs: u32,
    /// See [`inputs`](Self::inputs).
    pub feature: u32,
    /// Categories that there are.
    pub vocabulary: u32,
    /// Values of a row that goes out, and where its vectors begin in one.
    pub outputs: u32,
    /// See [`outputs`](Self::outputs).
    pub begin: u32,
    /// Values of a vector.
    pub width: u32,
}

impl Column {
    fn x_stride(self) -> u32 {
        4 * quads_with_one(self.inputs)
    }

    /// A launch of an invocation for each of `count`.
    fn launch(
        self,
        kernel: &'static str,
        root: &'static str,
        constants: Constants,
        (count, cost): (u32, Cost),
        workgroup: u32,
    ) -> Launch {
        let constants = constants
            .u32("BEGIN", self.begin)
            .u32("FEATURE", self.feature)
            .u32("WIDTH", self.width)
            .u32("X_STRIDE", self.x_stride())
            .u32("WORKGROUP", workgroup);
        Launch {
            kernel,
            variant: String::new(),
            root,
            mounts: vec![],
            constants: vec![("constants", constants.text())],
            flags: vec![],
            bindings: vec![],
            shape: None,
            parts: vec![],
            partials: None,
            workgroup,
            workgroups: count.div_ceil(workgroup),
            cost,
        }
    }
}

/// Reads rows of features, [`Binding::Input`], and the table of one of them, [`Binding::Weights`]; writes their vectors into [`Binding::Output`]. The launch of the
/// first table has `embedded`, the features that are categories, in any order: it writes the others, too, and what follows a row's last value.
pub fn forward(column: Column, embedded: Option<&[u32]>, workgroup: u32) -> Launch {
    let y_stride = 4 * quads_with_one(column.outputs);
    let (first, count) = if embedded.is_some() { (0, y_stride) } else { (column.begin, column.width) };
    let all = column.batch.next_multiple_of(4) * count;
    let mut constants = Constants::new()
        .u32("ALL", all)
        .u32("COUNT", count)
        .u32("FIRST", first)
        .u32("TABLE_STRIDE", 4 * column.width.div_ceil(4))
        .u32("VOCABULARY", column.vocabulary)
        .u32("Y_STRIDE", y_stride);
    if let Some(embedded) = embedded {
        let mut sorted = embedded.to_vec();
        sorted.sort_unstable();
        constants = constants
            .u32s("EMBEDDED", &sorted)
            .u32("EMBEDDED_COUNT", sorted.len() as u32)
            .u32("NUMBERS", column.inputs - sorted.len() as u32)
            .u32("OUT", column.outputs);
    }
    let cost = Cost { flops: 0, bytes: 8 * u64::from(all) };
    let mut launch = column.launch("embed", "embed/forward", constants, (all, cost), workgroup);
    launch.flags.extend(embedded.map(|_| "numbers"));
    launch.bindings =
        vec![(Binding::Input, Access::Read), (Binding::Weights, Access::Read), (Binding::Output, Access::Write)];
    launch
}

/// Reads rows of features, [`Binding::Input`]; writes which of them have the same category, [`Binding::Links`].
pub fn links(column: Column, workgroup: u32) -> Launch {
    let constants = Constants::new().u32("SLOTS_IN_ALL", column.batch).u32("VOCABULARY", column.vocabulary);
    let cost = Cost { flops: 0, bytes: 12 * u64::from(column.batch) };
    let mut launch = column.launch("embed_links", "embed/links", constants, (column.batch, cost), workgroup);
    launch.bindings = vec![(Binding::Input, Access::Read), (Binding::Links, Access::Write)];
    launch
}

/// Reads the gradient by the rows, [`Binding::Gradient`], the rows of features, [`Binding::Tokens`], and [`Binding::Links`]; writes [`Binding::WeightGradient`]. A
/// `weighted_mean` has the sum divided by the sum of the rows' weights, from [`Binding::Stats`].
pub fn gradient(column: Column, weighted_mean: bool, workgroup: u32) -> Launch {
    let Column { batch, vocabulary, outputs, width, .. } = column;
    let m = Dense { batch: 1, inputs: vocabulary, outputs: width }.x_quads();
    let (quads, dy_stride) = (width.div_ceil(4), 4 * outputs.div_ceil(4));
    let constants = Constants::new()
        .u32("BATCH", batch)
        .u32("SLOTS_IN_ALL", batch)
        .u32("DY_LAST", batch.next_multiple_of(4) * dy_stride - 1)
        .u32("DY_STRIDE", dy_stride)
        .u32("M", m)
        .u32("OUT_QUADS", quads)
        .u32("VOCABULARY", vocabulary);
    let values = u64::from(batch) * u64::from(width);
    let cost = Cost { flops: values, bytes: 4 * values + 64 * u64::from(m) * u64::from(quads) };
    let mut launch = column.launch("embed_gradient", "lists/gradient", constants, (m * quads, cost), workgroup);
    launch.mounts.push(("slots", "embed/slots"));
    lists::summed(launch, &[Binding::Tokens, Binding::Links], weighted_mean)
}
