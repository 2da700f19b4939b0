//! Products with the table of an embedding: the last layer of a network that shares it, and its gradients. On the device the table has a row for each token, so that
//! the forward product is that of a dense layer's gradient, and the other way round.

use super::binding::{Access, Binding};
use super::composition::{Composition, Matrix, Operand, Part};
use super::launch::{Cost, Launch};
use super::product::Product;
use super::tile::{Blocks, Tile};
use crate::activation::{Activation, Epilogue};
use crate::constants::Constants;

/// The sizes of such a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Rows of a minibatch, which are places of sequences, rounded up to a multiple of four.
    pub rows: u32,
    /// Values of a place, and of a row of the table.
    pub width: u32,
    /// Rows of the table: tokens.
    pub vocabulary: u32,
}

impl Table {
    fn quads(self) -> [u32; 2] {
        [self.width.div_ceil(4), self.vocabulary.div_ceil(4)]
    }

    /// Blocks of the logits.
    pub fn blocks(self) -> Blocks {
        let [width, vocabulary] = self.quads();
        Blocks { m: self.rows / 4, n: vocabulary, k: width }
    }

    /// Blocks of the gradient by what comes in.
    pub fn input_blocks(self) -> Blocks {
        let [width, vocabulary] = self.quads();
        Blocks { m: self.rows / 4, n: width, k: vocabulary }
    }

    /// Blocks of the gradient by the table.
    pub fn weights_blocks(self) -> Blocks {
        let [width, vocabulary] = self.quads();
        Blocks { m: vocabulary, n: width, k: self.rows / 4 }
    }

    fn constants(self) -> Constants {
        let [width, vocabulary] = self.quads();
        Constants::new()
            .u32("BATCH", self.rows)
            .u32("WIDTH_QUADS", width)
            .u32("OUT", self.vocabulary)
            .u32("OUT_QUADS", vocabulary)
            .u32("Y_QUADS", vocabulary)
            .u32("IN", self.width)
            .u32("IN_QUADS", width)
            .u32("X_QUADS", width)
    }

    /// The product, which moves both tensors of the minibatch and the table.
    fn launch(
        self,
        kernel: &'static str,
        below: Epilogue,
        blocks: Blocks,
        composition: Composition,
        tile: Tile,
    ) -> Launch {
        let [rows, width, vocabulary] = [self.rows, self.width, self.vocabulary].map(u64::from);
        Product {
            kernel,
            input: None,
            mounts: vec![("activation", below.activation.module())],
            constants: self.constants(),
            other_constants: vec![],
            flags: if below.keeps_derivative() { vec!["keeps_derivative"] } else { vec![] },
            blocks,
            composition,
            cost: Cost {
                flops: 2 * rows * width * vocabulary,
                bytes: 4 * (rows * (width + vocabulary) + width * vocabulary),
            },
        }
        .launch(tile)
    }
}

/// `z = x·Wᵀ`: reads [`Binding::Input`] and [`Binding::Weights`], writes [`Binding::Output`].
pub fn forward(table: Table, tile: Tile) -> Launch {
    let composition = Composition {
        a: Operand::rows(Matrix::PLACES),
        b: Operand::transposed_blocks(Matrix::TABLE),
        scale: Part::new("scale/none", vec![]),
        stages: vec![Part::new("stage/none", vec![])],
        sink: Part::new("sink/image", vec![(Binding::Output, Access::Write)]),
    };
    table.launch("tied_forward", Epilogue::of(Activation::Identity), table.blocks(), composition, tile)
}

/// `dx = dz·W`, with what [`dense_backward`](super::dense_backward) computes besides: reads [`Binding::Gradient`] and [`Binding::Weights`], writes
/// [`Binding::InputGradient`].
pub fn backward(table: Table, below: Epilogue, adds: bool, tile: Tile) -> Launch {
    let add = adds.then(|| Part::new("stage/add_gradient", vec![(Binding::OtherGradient, Access::Read)]));
    let mask = if below.keeps_derivative() { Binding::Derivatives } else { Binding::Input };
    let derivative = Part::new("stage/derivative", vec![(mask, Access::Read)]);
    let composition = Composition {
        a: Operand::rows(Matrix::GRADIENT),
        b: Operand::blocks(Matrix::TABLE),
        scale: Part::new("scale/none", vec![]),
        stages: add.into_iter().chain([derivative]).collect(),
        sink: Part::new("sink/input_gradient", vec![(Binding::InputGradient, Access::Write)]),
    };
    table.launch("tied_backward", below, table.input_blocks(), composition, tile)
}

/// `dW = dzᵀ·x`, a part of the gradient by the table: reads [`Binding::Gradient`] and [`Binding::Input`], writes [`Binding::InputGradient`]. Of rows in
/// strips, it adds what comes of one.
pub fn weights(table: Table, in_strips: bool, tile: Tile) -> Launch {
    let sink = if in_strips { "sink/strips_of_table" } else { "sink/input_gradient" };
    let composition = Composition {
        a: Operand::columns(Matrix::GRADIENT, table.rows),
        b: Operand::blocks(Matrix::PLACES),
        scale: Part::new("scale/none", vec![]),
        stages: vec![Part::new("stage/none", vec![])],
        sink: Part::new(sink, vec![(Binding::InputGradient, Access::Write)]),
    };
    table.launch("tied_weights", Epilogue::of(Activation::Identity), table.weights_blocks(), composition, tile)
}
