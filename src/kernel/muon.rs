//! Muon's update of one hidden layer: momentum, then Newton–Schulz iterations as products under the tiles of all products.
//!
//! A layer's direction X lies in memory as its weights do, `[IN₁, OUT₄]`: the transpose of PyTorch's matrix. The iteration's
//! polynomial is odd, so the transpose of its result is its result for the transpose, and it can be multiplied on either
//! side: X(bG + cG²) with G = XᵀX is (bG + cG²)X with G = XXᵀ. The side is chosen that has the smaller G.

use super::binding::{Access, Binding};
use super::composition::{Composition, Matrix, Operand, Part};
use super::launch::{Cost, Launch};
use super::product::Product;
use super::tile::{Blocks, Tile};
use crate::constants::Constants;
use crate::layout::Dense;
use crate::optimizer::Rule;
use crate::training::Training;

const WORKGROUP: u32 = 64;

/// Muon's settings for the matrices of hidden layers. The names are those of [`Rule::Muon`].
#[derive(Clone, Copy, Debug)]
pub struct Muon {
    /// μ
    pub momentum: f64,
    /// Whether the step follows the gradient moved towards its average (Nesterov) and not the average.
    pub nesterov: bool,
    /// Whether the step is as long as AdamW's.
    pub match_rms_adamw: bool,
    /// The least norm that a direction is divided by.
    pub eps: f64,
    /// Newton–Schulz iterations.
    pub ns_steps: u32,
    /// λ, decoupled.
    pub weight_decay: f64,
    /// The factor of the learning rate.
    pub lr_scale: f64,
}

impl Muon {
    /// The settings of an optimizer that is Muon, for the parameter whose update it is.
    pub fn of(training: Training<'_>) -> Option<Self> {
        let own = training.own();
        match training.optimizer.rule {
            Rule::Muon { momentum, nesterov, match_rms_adamw, eps, ns_steps, .. } => Some(Muon {
                momentum,
                nesterov,
                match_rms_adamw,
                eps,
                ns_steps: ns_steps as u32,
                weight_decay: own.map_or(training.optimizer.weight_decay, |own| own.matrix.weight_decay),
                lr_scale: own.map_or(1.0, |own| own.matrix.lr_scale),
            }),
            _ => None,
        }
    }

    /// What the learning rate is multiplied by for a matrix of this shape.
    fn adjustment(self, dense: Dense) -> f64 {
        let (inputs, outputs) = (f64::from(dense.inputs), f64::from(dense.outputs));
        if self.match_rms_adamw { 0.2 * inputs.max(outputs).sqrt() } else { (outputs / inputs).max(1.0).sqrt() }
    }

    fn constants(self, dense: Dense) -> (&'static str, String) {
        let constants = Constants::new()
            .f32("MOMENTUM", self.momentum)
            .f32("ONE_MINUS_MOMENTUM", 1.0 - self.momentum)
            .f32("LEAST_NORM", self.eps)
            .f32("MATRIX_WEIGHT_DECAY", self.lr_scale * self.weight_decay)
            .f32("ADJUSTMENT", self.lr_scale * self.adjustment(dense));
        ("muon_constants", constants.text())
    }
}

/// What an iteration's last product has to know of the iteration and the step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Whether the direction is still to be divided by its norm: the first iteration.
    pub normalizes: bool,
    /// Whether the result updates the weights and is not kept: the last iteration.
    pub updates_weights: bool,
    /// Whether a step may be skipped.
    pub skips: bool,
    /// Whether it is the last launch of a step, which moves the step counter on.
    pub closes: bool,
}

/// Whether the Gram matrix is that of the columns (`[OUT₄, OUT₄]`) and not that of the rows (`[IN₄, IN₄]`).
fn of_columns(dense: Dense) -> bool {
    dense.outputs <= dense.inputs
}

fn in_quads(dense: Dense) -> u32 {
    dense.inputs.div_ceil(4)
}

/// Quads in a row of the Gram matrix.
pub fn side_quads(dense: Dense) -> u32 {
    in_quads(dense).min(dense.out_quads())
}

/// Blocks of the Gram matrix: the shorter side squared, over the longer.
pub fn gram_blocks(dense: Dense) -> Blocks {
    let side = side_quads(dense);
    Blocks { m: side, n: side, k: in_quads(dense).max(dense.out_quads()) }
}

/// Blocks of its polynomial: the shorter side, three times.
pub fn polynomial_blocks(dense: Dense) -> Blocks {
    let side = side_quads(dense);
    Blocks { m: side, n: side, k: side }
}

/// Blocks of the step: the matrix without its bias, over the shorter side.
pub fn step_blocks(dense: Dense) -> Blocks {
    Blocks { m: in_quads(dense), n: dense.out_quads(), k: side_quads(dense) }
}

/// Reads the layer's gradient, clips it, moves the momentum and writes the direction; updates the bias by the optimizer's
/// elementwise rule.
pub fn momentum(dense: Dense, training: Training<'_>, muon: Muon) -> Launch {
    let mut parts = training.update_parts();
    // The kernel reads the slots by itself.
    parts.flags.extend(training.own().map(|_| "orthogonalizes"));
    let bindings = vec![
        (Binding::WeightGradient, Access::Read),
        (Binding::Weights, Access::Write),
        (Binding::OptimizerSlots, Access::Write),
        (Binding::State, Access::Write),
        (Binding::Direction, Access::Write),
    ];
    let own = Constants::new()
        .u32("BATCH", dense.batch)
        .u32("IN", dense.inputs)
        .u32("OUT_QUADS", dense.out_quads())
        .u32("QUADS", dense.weight_quads())
        .u32("WORKGROUP", WORKGROUP);
    let mut constants = parts.constants;
    constants.extend([muon.constants(dense), ("constants", own.text())]);
    Launch {
        kernel: "muon_momentum",
        variant: if muon.nesterov { "nesterov".into() } else { String::new() },
        root: "muon_momentum",
        mounts: vec![parts.mount],
        constants,
        flags: parts.flags,
        bindings,
        shape: None,
        parts: vec![],
        partials: None,
        workgroup: WORKGROUP,
        workgroups: dense.weight_quads().div_ceil(WORKGROUP),
        cost: Cost { flops: dense.weights_bytes(), bytes: 4 * dense.weights_bytes() },
    }
}

/// Reads the direction, writes its Gram matrix.
pub fn gram(dense: Dense, muon: Muon, tile: Tile, normalizes: bool) -> Launch {
    let (a, b) = if of_columns(dense) {
        (Operand::columns(Matrix::DIRECTION, 4 * in_quads(dense)), Operand::blocks(Matrix::DIRECTION))
    } else {
        (Operand::rows(Matrix::DIRECTION), Operand::transposed_blocks(Matrix::DIRECTION))
    };
    let composition = Composition { a, b, scale: direction_scale(normalizes), stages: vec![], sink: matrix() };
    let mut product = product("newton_schulz_gram", dense, gram_blocks(dense), composition, dense.weights_bytes());
    product.other_constants.push(muon.constants(dense));
    product.flags.push("is_both_operands");
    product.flags.extend(normalizes.then_some("normalizes"));
    product.launch(tile)
}

/// Reads the Gram matrix G, writes bG + cG².
pub fn polynomial(dense: Dense, tile: Tile) -> Launch {
    let composition = Composition {
        a: Operand::rows(Matrix::SQUARE),
        b: Operand::blocks(Matrix::SQUARE),
        scale: Part::new("scale/polynomial", vec![]),
        stages: vec![Part::new("stage/add_gram", Matrix::SQUARE.bound())],
        sink: matrix(),
    };
    product("newton_schulz_polynomial", dense, polynomial_blocks(dense), composition, square_bytes(dense)).launch(tile)
}

/// Reads the direction and the polynomial; writes the next direction, or updates the weights by it.
pub fn step(dense: Dense, muon: Muon, tile: Tile, step: Step) -> Launch {
    let (a, b) =
        if of_columns(dense) { (Matrix::DIRECTION, Matrix::SQUARE) } else { (Matrix::SQUARE, Matrix::DIRECTION) };
    let (sink, moved) = if step.updates_weights {
        (Part::new("sink/muon", vec![(Binding::Weights, Access::Write), (Binding::State, Access::Write)]), 3)
    } else {
        (matrix(), 2)
    };
    let composition = Composition {
        a: Operand::rows(a),
        b: Operand::blocks(b),
        scale: direction_scale(step.normalizes),
        stages: vec![Part::new("stage/add_direction", Matrix::DIRECTION.bound())],
        sink,
    };
    let mut product =
        product("newton_schulz_step", dense, step_blocks(dense), composition, moved * dense.weights_bytes());
    product.constants = product.constants.u32("BATCH", dense.batch).u32("IN", dense.inputs);
    product.other_constants.push(muon.constants(dense));
    product.flags.extend(step.normalizes.then_some("normalizes"));
    product.flags.extend((step.updates_weights && step.skips).then_some("skips"));
    product.flags.extend(step.closes.then_some("closes_step"));
    product.launch(tile)
}

/// One of an iteration's products; besides a matrix of the Gram matrix's size it moves `bytes`.
fn product(kernel: &'static str, dense: Dense, blocks: Blocks, composition: Composition, bytes: u64) -> Product {
    Product {
        kernel,
        input: None,
        mounts: vec![],
        constants: Constants::new().u32("OUT_QUADS", dense.out_quads()).u32("SIDE_QUADS", side_quads(dense)),
        other_constants: vec![],
        flags: vec![],
        blocks,
        composition,
        cost: cost(blocks, square_bytes(dense) + bytes),
    }
}

/// What a product of the direction is multiplied by.
fn direction_scale(normalizes: bool) -> Part {
    Part::new("scale/direction", normalizes.then_some((Binding::Norms, Access::Read)).into_iter().collect())
}

/// The sink of a product that is stored.
fn matrix() -> Part {
    Part::new("sink/matrix", vec![(Binding::Product, Access::Write)])
}

fn square_bytes(dense: Dense) -> u64 {
    64 * u64::from(side_quads(dense)).pow(2)
}

/// Multiply-adds of whole blocks: the padding is multiplied too.
fn cost(blocks: Blocks, bytes: u64) -> Cost {
    Cost { flops: 2 * 64 * u64::from(blocks.m) * u64::from(blocks.n) * u64::from(blocks.k), bytes }
}
