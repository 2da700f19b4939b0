//! What a product of a layer is composed of: two operands, stages in its epilogue and a sink. A new one of either is a shader file, its line in
//! `link.rs`, and a value of these types.

use std::fmt::Write;

use super::binding::{Access, Binding};
use super::input::Input;
use super::tile::Blocks;
use crate::constants::Constants;

/// A matrix in memory that a product reads.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Matrix {
    module: &'static str,
    binding: Binding,
}

impl Matrix {
    /// A layer's gradient.
    pub const GRADIENT: Matrix = Matrix { module: "matrix/gradient", binding: Binding::Gradient };
    /// A layer's weights, which have no rows for an operand A.
    pub const WEIGHTS: Matrix = Matrix { module: "matrix/weights", binding: Binding::Weights };
    /// The gradient by a convolution's output, for each pixel of its input: that of the outputs whose taps lie on it.
    pub const GRADIENT_OF_TAPS: Matrix = Matrix { module: "matrix/gradient_of_taps", binding: Binding::Gradient };
    /// A convolution's weights, from a pixel's channels to the outputs of all taps. They have no rows for an operand A.
    pub const WEIGHTS_OF_TAPS: Matrix = Matrix { module: "matrix/weights_of_taps", binding: Binding::Weights };
    /// The table of an embedding, which has no rows for an operand A.
    pub const TABLE: Matrix = Matrix { module: "matrix/table", binding: Binding::Weights };
    /// The places of sequences.
    pub const PLACES: Matrix = Matrix { module: "matrix/places", binding: Binding::Input };
    /// Muon's direction of a layer.
    pub const DIRECTION: Matrix = Matrix { module: "matrix/direction", binding: Binding::Direction };
    /// The direction's Gram matrix, or its polynomial.
    pub const SQUARE: Matrix = Matrix { module: "matrix/square", binding: Binding::Square };

    /// How its elements are read: by a stage, too.
    pub fn bound(self) -> Vec<(Binding, Access)> {
        vec![(self.binding, Access::Read)]
    }
}

/// Where blocks of an operand come from.
pub(super) struct Operand {
    /// How its source is seen: `rows` or `columns` for A, `blocks` or `blocks_transposed` for B.
    view: &'static str,
    /// The module that has the values.
    source: &'static str,
    /// The rows that the source has, where A is its transpose.
    rows: Option<u32>,
    /// Whether each row is found by the order in which an epoch visits the set.
    is_ordered: bool,
    /// What the source binds.
    bindings: Vec<(Binding, Access)>,
}

impl Operand {
    /// A as the rows of a layer's input, in the order of the minibatch.
    pub fn input_rows(input: Input) -> Self {
        let bindings = input.row_bindings();
        Operand { view: "operand/rows", source: "input", rows: None, is_ordered: input.is_of_set(), bindings }
    }

    /// A as the patches of images, one for each pixel of a convolution's output.
    pub fn patches() -> Self {
        Operand { view: "operand/patches", ..Operand::input_rows(Input::Patches) }
    }

    /// A as the transpose of a layer's input, whose rows are the minibatch's samples, as the loss kernel recorded them.
    pub fn recorded_input_columns(input: Input, samples: u32) -> Self {
        let mut bindings = vec![(Binding::Input, Access::Read)];
        bindings.extend(input.is_of_set().then_some((Binding::Visited, Access::Read)));
        Operand { view: "operand/columns", source: "input", rows: Some(samples), is_ordered: false, bindings }
    }

    /// A as a matrix.
    pub fn rows(of: Matrix) -> Self {
        let view = if of == Matrix::GRADIENT_OF_TAPS { "operand/patches" } else { "operand/rows" };
        Operand { view, ..Operand::blocks(of) }
    }

    /// A as the transpose of a matrix that has this number of rows.
    pub fn columns(of: Matrix, rows: u32) -> Self {
        Operand { view: "operand/columns", rows: Some(rows), ..Operand::blocks(of) }
    }

    /// B as a matrix.
    pub fn blocks(of: Matrix) -> Self {
        let Matrix { module: source, .. } = of;
        Operand { view: "operand/blocks", source, rows: None, is_ordered: false, bindings: of.bound() }
    }

    /// B as the transpose of a matrix.
    pub fn transposed_blocks(of: Matrix) -> Self {
        Operand { view: "operand/blocks_transposed", ..Operand::blocks(of) }
    }
}

/// A per-element function of a product's epilogue, or what stores the result.
pub(super) struct Part {
    pub module: &'static str,
    pub bindings: Vec<(Binding, Access)>,
}

impl Part {
    /// A part that binds these.
    pub fn new(module: &'static str, bindings: Vec<(Binding, Access)>) -> Self {
        Part { module, bindings }
    }
}

/// The most stages of an epilogue.
const STAGES: [&str; 3] = ["stage_0", "stage_1", "stage_2"];

/// What a product does besides multiplying.
pub(super) struct Composition {
    pub a: Operand,
    pub b: Operand,
    /// The module that has what its sums are multiplied by.
    pub scale: Part,
    /// At most three, in the order in which they are applied.
    pub stages: Vec<Part>,
    pub sink: Part,
}

impl Composition {
    /// What blocks of the operands are read from.
    pub fn operand_bindings(&self) -> Vec<(Binding, Access)> {
        each_once([&self.a.bindings, &self.b.bindings])
    }

    /// What the result takes: its destination, and what the stages and the scale read.
    pub fn epilogue_bindings(&self) -> Vec<(Binding, Access)> {
        each_once(self.stages.iter().chain([&self.sink, &self.scale]).map(|part| &part.bindings))
    }

    /// The modules that it mounts, and the texts that join them.
    pub fn join(&self, blocks: Blocks) -> Joined {
        let Composition { a, b, scale, stages, sink } = self;
        let path = |module: &str| module.replace('/', "::");
        let mut mounts = vec![("operand_a", a.view), ("operand_b", b.view), ("sink", sink.module)];
        let (stage_mounts, staged) = staged(stages);
        mounts.extend(stage_mounts);

        let source = path(a.source);
        let of_view = match a.view {
            "operand/columns" if a.source == "input" => "offset, recorded_row",
            "operand/columns" => "row_offset as offset, recorded_row",
            "operand/patches" => "row_offset",
            _ => "RawElement, finished_element, raw_element, row_offset",
        };
        let rows = a.rows.map_or(String::new(), |rows| Constants::new().u32("ROWS", rows).text());
        let source_a = format!(
            "@publish import package::{source}::{{RawQuad, StoredQuad, decoded, finished_quad, quad, raw_quad, {of_view}}};\n{rows}"
        );
        let of_view = if b.view == "operand/blocks" { "raw_quad" } else { "raw_element" };
        let source_b = format!("@publish import package::{}::{{block, row_offset, {of_view}}};\n", path(b.source));
        let Blocks { m, n, k } = blocks;
        let product = format!(
            "@publish import package::{source}::{{StoredQuad, decoded}};\n\
             @publish import package::operand_a::{{\
             A_IS_BY_STEPS, A_IS_TRANSPOSED, LineA, RawA, a_block, a_column_offset, a_column_offsets, a_finished, a_line, a_quad, a_raw, a_row_offset, \
             a_row_offsets, a_step}};\n\
             @publish import package::operand_b::{{B_IS_TRANSPOSED, LineB, b_block, b_line, b_raw}};\n\
             @publish import package::{}::product_scale;\n\
             @publish import package::sink::store;\n\
             const A_ROWS_ARE_ORDERED = {};\n\
             const M = {m}u;\nconst N = {n}u;\nconst K = {k}u;\n",
            path(scale.module),
            a.is_ordered,
        );
        Joined {
            mounts,
            texts: vec![("source_a", source_a), ("source_b", source_b), ("product", product), ("stages", staged)],
        }
    }
}

/// The stages' modules under their names, and the text of the function `staged` that applies them one after the other.
pub(super) fn staged(stages: &[Part]) -> (impl Iterator<Item = (&'static str, &'static str)>, String) {
    let (mut imports, mut value) = (String::new(), "value".to_string());
    for (at, _) in stages.iter().enumerate() {
        let _ = writeln!(imports, "import package::stage_{at}::apply as apply_{at};");
        value = format!("apply_{at}(row, quad, {value})");
    }
    let text = format!("{imports}fn staged(row: u32, quad: u32, value: vec4f) -> vec4f {{ return {value}; }}\n");
    (STAGES.into_iter().zip(stages.iter().map(|stage| stage.module)), text)
}

/// See [`Composition::join`].
pub(super) struct Joined {
    pub mounts: Vec<(&'static str, &'static str)>,
    pub texts: Vec<(&'static str, String)>,
}

/// The bindings, each where it is first.
pub(super) fn each_once<'a>(bindings: impl IntoIterator<Item = &'a Vec<(Binding, Access)>>) -> Vec<(Binding, Access)> {
    let mut known: Vec<(Binding, Access)> = vec![];
    for bound in bindings.into_iter().flatten() {
        if !known.contains(bound) {
            known.push(*bound);
        }
    }
    known
}
