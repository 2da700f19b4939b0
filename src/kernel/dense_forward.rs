//! Dense layer, forward: `y = activate(x·W + b)`, with dropout where it trains.

use super::binding::{Access, Binding};
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

/// Reads the input and the weights, writes the activations (or logits, where the activation is the identity). `trains` is the
/// layer's position where it is trained: derivatives are kept then, and units drop out.
pub fn launch(dense: Dense, input: Input, layer: Layer, trains: Option<usize>, tile: Tile) -> Launch {
    let mut operands = input.row_bindings();
    operands.push((Binding::Weights, Access::Read));
    let mut result = vec![(Binding::Output, Access::Write)];
    let mut flags = vec![];
    flags.extend(dense.one_in_own_quad().then_some("one_in_own_quad"));
    if layer.activation.keeps_derivative() {
        flags.push("from_logit");
    }
    if layer.keeps_derivative() && trains.is_some() {
        flags.push("keeps_derivative");
        result.push((Binding::Derivatives, Access::Write));
    }
    let mut dropout = Constants::new();
    if let Some(position) = trains.filter(|_| layer.dropout > 0.0) {
        flags.push("drops_out");
        result.push((Binding::State, Access::Write));
        dropout = dropout
            .u32("LAYER", position as u32)
            .u32("DROPPED_BELOW", (layer.dropout * 2f64.powi(32)) as u32)
            .f32("KEPT", 1.0 / (1.0 - layer.dropout));
    }
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
        operands,
        result,
        blocks: blocks(dense),
        cost: Cost { flops: dense.flops(), bytes: input.bytes(dense) + dense.weights_bytes() + dense.output_bytes() },
    }
    .launch(tile)
}
