//! Convolutions in groups of channels, depthwise ones among them: sums without a product's tiles, which would be mostly zeros.

use crate::constants::Constants;
use crate::kernel::binding::{Access, Binding};
use crate::kernel::composition::{Part, each_once};
use crate::kernel::dense_update::Updating;
use crate::kernel::launch::{Cost, Launch, Partials};
use crate::kernel::map::Map;
use crate::kernel::tile::Tile;
use crate::layout::{Conv, Image};

/// A map's source that computes sums over taps and a group's channels, of what it reads beside the weights.
pub(super) fn source(module: &'static str, of: Binding) -> Part {
    Part::new(module, vec![(of, Access::Read), (Binding::Weights, Access::Read)])
}

/// The launch of a map with such a source, which makes this image.
pub(super) fn launch(sums: Map, conv: Conv, image: Image, tile: Tile, cost: Cost) -> Launch {
    sums.launch(image.rows(conv.sliding.batch) / 4, image.quads(), cost, workgroup(tile))
}

fn workgroup(tile: Tile) -> u32 {
    tile.workgroup().clamp(8, 64)
}

/// Invocations that a large GPU is full with.
const INVOCATIONS: u32 = 16_384;

/// Pixels of a slice that is worth an invocation.
const LEAST_PIXELS: u32 = 64;

/// The most pixels of a slice, for the reason that a product's slices have a longest, too ([`Tile::slices_of`]).
const MOST_PIXELS: u32 = 7_500;

/// The weights' gradient: slices of the minibatch's pixels, then their sums, which update the weights or are kept.
pub(super) fn update(conv: Conv, updating: Updating, tile: Tile, cost: Cost) -> Launch {
    let dense = conv.dense();
    let [rows, columns] = dense.weights_shape();
    let (quads, pixels) = (rows * columns / 4, dense.batch);
    let slices = (INVOCATIONS / quads).min(pixels / LEAST_PIXELS).max(pixels.div_ceil(MOST_PIXELS));
    let shape = [slices, rows, columns];
    let sums = u64::from(slices) * u64::from(rows) * u64::from(columns);

    let own = workgroup(tile);
    let constants = Constants::new()
        .u32("BATCH", conv.sliding.batch)
        .u32("OUT_QUADS", dense.out_quads())
        .u32("SLICES", slices)
        .u32("PIXELS", pixels)
        .u32("PIXELS_PER_SLICE", pixels.div_ceil(slices))
        .u32("ROWS", rows)
        .u32("WORKGROUP", own);
    let first = Launch {
        kernel: "conv_update",
        variant: String::new(),
        root: "grouped/weight_gradient",
        mounts: vec![],
        constants: [vec![("constants", constants.text())], super::texts(conv)].concat(),
        flags: vec![],
        bindings: vec![
            (Binding::Input, Access::Read),
            (Binding::Gradient, Access::Read),
            (Binding::Partials, Access::Write),
        ],
        shape: None,
        parts: vec![],
        partials: Some(Partials { shape, written_by: None }),
        workgroup: own,
        workgroups: (slices * quads).div_ceil(own),
        cost: Cost { bytes: cost.bytes + 4 * sums, ..cost },
    };

    sums_of(conv, updating, first, tile.rows_at_once())
}

/// The launch that adds up what the slices' launch wrote.
fn sums_of(conv: Conv, updating: Updating, first: Launch, rows_at_once: u32) -> Launch {
    const WORKGROUP: u32 = 64;
    let (Updating { sink, scale, parts, .. }, dense) = (updating, conv.dense());
    let [slices, rows, columns] = first.partials.as_ref().map_or([1, 4, 4], |partials| partials.shape);
    let shape = [slices, rows, columns];
    let sums = u64::from(slices) * u64::from(rows) * u64::from(columns);
    let blocks = rows * columns / 16;
    let constants = Constants::new()
        .u32("BATCH", conv.sliding.batch)
        .u32("OUT_QUADS", dense.out_quads())
        .u32("ROWS_AT_ONCE", rows_at_once)
        .u32("SLICES", slices)
        .u32("WORKGROUP", WORKGROUP);
    let product = format!(
        "@publish import package::{}::product_scale;\n@publish import package::sink::store;\n\
         const M = {}u;\nconst N = {}u;\n",
        scale.module.replace('/', "::"),
        rows / 4,
        dense.out_quads()
    );
    Launch {
        root: "tile/sum_of_slices",
        mounts: vec![("input", "input/patches"), ("sink", sink.module), parts.mount],
        constants: [vec![("constants", constants.text()), ("product", product)], parts.constants, super::texts(conv)]
            .concat(),
        flags: parts.flags,
        bindings: each_once([&vec![(Binding::Partials, Access::Read)], &sink.bindings, &scale.bindings]),
        partials: Some(Partials { shape, written_by: Some(Box::new(first.clone())) }),
        workgroup: WORKGROUP,
        workgroups: blocks.div_ceil(WORKGROUP),
        cost: Cost { flops: sums, bytes: 4 * sums },
        ..first
    }
}
