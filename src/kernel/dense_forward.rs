//! Dense layer, forward: `y = activate(x·W + b)`, with dropout where it trains.

use super::binding::{Access, Binding};
use super::composition::{Composition, Matrix, Operand, Part};
use super::input::Input;
use super::launch::{Cost, Launch};
use super::product::Product;
use super::tile::{Blocks, Tile};
use crate::constants::Constants;
use crate::layout::Dense;
use crate::network::Layer;

/// Blocks of the product: rows of the minibatch × units, over the inputs.
pub fn blocks(dense: Dense) -> Blocks {
    Blocks { m: dense.batch_blocks(), n: dense.out_quads(), k: dense.x_quads() }
}

/// Where a residual connection is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// Nowhere.
    #[default]
    None,
    /// To what the activation is of: `activate(x·W + b + residual)`.
    BeforeActivation,
    /// To the activation's result, after dropout: `activate(x·W + b) + residual`.
    AfterActivation,
}

/// Reads the input and the weights, writes the activations (or logits, where the activation is the identity). `trains` is the
/// layer's position where it is trained: derivatives are kept then, and units drop out.
pub fn launch(dense: Dense, input: Input, layer: Layer, trains: Option<usize>, tile: Tile) -> Launch {
    launch_with(dense, input, layer, trains, Residual::None, tile)
}

/// [`launch`], with the output of an earlier layer added, which is as wide as this one's: it binds [`Binding::Residual`].
pub fn launch_with(
    dense: Dense,
    input: Input,
    layer: Layer,
    trains: Option<usize>,
    residual: Residual,
    tile: Tile,
) -> Launch {
    let mut activate = vec![];
    let mut flags = vec![];
    flags.extend(dense.one_in_own_quad().then_some("one_in_own_quad"));
    if layer.activation.keeps_derivative() {
        flags.push("from_logit");
    }
    if layer.keeps_derivative() && trains.is_some() {
        flags.push("keeps_derivative");
        activate.push((Binding::Derivatives, Access::Write));
    }
    let mut dropout = Constants::new();
    if let Some(position) = trains.filter(|_| layer.dropout > 0.0) {
        flags.push("drops_out");
        activate.push((Binding::State, Access::Write));
        dropout = dropout
            .u32("LAYER", position as u32)
            .u32("DROPPED_BELOW", (layer.dropout * 2f64.powi(32)) as u32)
            .f32("KEPT", 1.0 / (1.0 - layer.dropout));
    }
    let add = || Part::new("stage/add_residual", vec![(Binding::Residual, Access::Read)]);
    let activate = Part::new("stage/activate", activate);
    let (stages, added) = match residual {
        Residual::None => (vec![activate], 0),
        Residual::BeforeActivation => (vec![add(), activate], dense.output_bytes()),
        Residual::AfterActivation => (vec![activate, add()], dense.output_bytes()),
    };
    // With the 1 after the units, which is in a quad of its own where they fill whole quads.
    let written = 16 * u64::from(dense.batch) * u64::from(dense.y_quads());
    Product {
        kernel: "dense_forward",
        input: Some(input),
        mounts: vec![("input", input.module()), ("activation", layer.activation.module())],
        constants: Constants::new()
            .u32("BATCH", dense.batch)
            .u32("X_QUADS", dense.x_quads())
            .u32("OUT", dense.outputs)
            .u32("OUT_QUADS", dense.out_quads())
            .u32("Y_QUADS", dense.y_quads()),
        other_constants: [("dropout_constants", dropout.text())]
            .into_iter()
            .chain(layer.activation.own_text())
            .collect(),
        flags,
        blocks: blocks(dense),
        composition: Composition {
            a: Operand::input_rows(input),
            b: Operand::blocks(Matrix::WEIGHTS),
            scale: Part::new("scale/input", vec![]),
            stages,
            sink: Part::new("sink/activations", vec![(Binding::Output, Access::Write)]),
        },
        cost: Cost { flops: dense.flops(), bytes: input.bytes(dense) + dense.weights_bytes() + written + added },
    }
    .launch(tile)
}
