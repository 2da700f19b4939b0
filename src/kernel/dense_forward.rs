//! Dense layer, forward: `y = activate(x·W + b)`, with dropout where it trains.

use super::binding::{Access, Binding};
use super::composition::{Composition, Matrix, Operand, Part};
use super::input::Input;
use super::launch::{Cost, Launch};
use super::product::Product;
use super::tile::{Blocks, Tile};
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::layout::Dense;

/// Blocks of the product: rows of the minibatch × units, over the inputs.
pub fn blocks(dense: Dense) -> Blocks {
    Blocks { m: dense.batch_blocks(), n: dense.out_quads(), k: dense.x_quads() }
}

/// Reads the input and the weights, writes the activations (or logits, where the activation is the identity). `trains` is a
/// number, which tells the masks of its dropout from others', where it is trained: derivatives are kept then, and units drop out.
pub fn launch(dense: Dense, input: Input, epilogue: Epilogue, trains: Option<usize>, tile: Tile) -> Launch {
    launch_with(dense, input, epilogue, trains, false, tile)
}

/// [`launch`]; where it `adds`, with the output of an earlier layer, which is as wide as this one's: `y = activate(x·W + b + residual)`. It binds
/// [`Binding::Residual`] then.
pub fn launch_with(
    dense: Dense,
    input: Input,
    epilogue: Epilogue,
    trains: Option<usize>,
    adds: bool,
    tile: Tile,
) -> Launch {
    let (activate, mut flags, texts) = activate(epilogue, trains);
    flags.extend(dense.one_in_own_quad().then_some("one_in_own_quad"));
    let add = adds.then(|| Part::new("stage/add_residual", vec![(Binding::Residual, Access::Read)]));
    let added = if adds { dense.output_bytes() } else { 0 };
    // With the 1 after the units, which is in a quad of its own where they fill whole quads.
    let written = 16 * u64::from(dense.batch) * u64::from(dense.y_quads());
    Product {
        kernel: "dense_forward",
        input: Some(input),
        mounts: vec![("input", input.module()), ("activation", epilogue.activation.module())],
        constants: Constants::new()
            .u32("BATCH", dense.batch)
            .u32("X_QUADS", dense.x_quads())
            .u32("OUT", dense.outputs)
            .u32("OUT_QUADS", dense.out_quads())
            .u32("Y_QUADS", dense.y_quads()),
        other_constants: texts.into_iter().chain(epilogue.activation.own_text()).collect(),
        flags,
        blocks: blocks(dense),
        composition: Composition {
            a: Operand::input_rows(input),
            b: Operand::blocks(Matrix::WEIGHTS),
            scale: Part::new("scale/input", vec![]),
            stages: add.into_iter().chain([activate]).collect(),
            sink: Part::new("sink/activations", vec![(Binding::Output, Access::Write)]),
        },
        cost: Cost { flops: dense.flops(), bytes: input.bytes(dense) + dense.weights_bytes() + written + added },
    }
    .launch(tile)
}

/// The stage of an activation and its dropout, with the flags and the constants that it takes. It keeps derivatives where it trains.
pub(super) fn activate(
    epilogue: Epilogue,
    trains: Option<usize>,
) -> (Part, Vec<&'static str>, Vec<(&'static str, String)>) {
    let (mut bindings, mut flags, mut dropout) = (vec![], vec![], Constants::new());
    flags.extend(epilogue.activation.keeps_derivative().then_some("from_logit"));
    if epilogue.keeps_derivative() && trains.is_some() {
        flags.push("keeps_derivative");
        bindings.push((Binding::Derivatives, Access::Write));
    }
    if let Some(number) = trains.filter(|_| epilogue.dropout > 0.0) {
        flags.push("drops_out");
        bindings.push((Binding::State, Access::Write));
        dropout = dropout_constants(epilogue.dropout, number);
    }
    (Part::new("stage/activate", bindings), flags, vec![("dropout_constants", dropout.text())])
}

/// The constants of module `dropout`.
pub(super) fn dropout_constants(probability: f64, number: usize) -> Constants {
    Constants::new()
        .u32("LAYER", number as u32)
        .u32("DROPPED_BELOW", (probability * 2f64.powi(32)) as u32)
        .f32("KEPT", 1.0 / (1.0 - probability))
}
