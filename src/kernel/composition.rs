//! What a product of a layer is composed of: two operands, stages in its epilogue and a sink. A new one of either is a shader file, its line in
//! `link.rs`, and a value of these types.

use std::fmt::Write;

use super::binding::{Access, Binding};
use super::input::Input;
use super::tile::Blocks;

/// Where blocks of an operand come from.
pub(super) struct Operand {
    /// How its source is seen: `rows` or `columns` for A, `blocks` or `blocks_transposed` for B.
    pub view: &'static str,
    /// The module that has the values.
    pub source: &'static str,
    /// The source's function that says where a row begins, where A is read by rows.
    pub row_offset: &'static str,
    /// What the source binds.
    pub bindings: Vec<(Binding, Access)>,
}

impl Operand {
    /// A as the rows of a layer's input, in the order of the minibatch.
    pub fn input_rows(input: Input) -> Self {
        Operand { view: "operand/rows", source: "input", row_offset: "row_offset", bindings: input.row_bindings() }
    }

    /// A as the transpose of a layer's input, its rows as the loss kernel recorded them.
    pub fn recorded_input_columns(input: Input) -> Self {
        let mut bindings = vec![(Binding::Input, Access::Read)];
        bindings.extend((input != Input::Activations).then_some((Binding::Visited, Access::Read)));
        Operand { view: "operand/columns", source: "input", row_offset: "recorded_row_offset", bindings }
    }

    /// A as the rows of a layer's gradient.
    pub fn gradient_rows() -> Self {
        Operand { view: "operand/rows", ..Operand::gradient() }
    }

    /// B as a layer's gradient.
    pub fn gradient() -> Self {
        let bindings = vec![(Binding::Gradient, Access::Read)];
        Operand { view: "operand/blocks", source: "matrix/gradient", row_offset: "row_offset", bindings }
    }

    /// B as a layer's weights.
    pub fn weights() -> Self {
        let bindings = vec![(Binding::Weights, Access::Read)];
        Operand { view: "operand/blocks", source: "matrix/weights", row_offset: "row_offset", bindings }
    }

    /// B as the transpose of a layer's weights.
    pub fn transposed_weights() -> Self {
        Operand { view: "operand/blocks_transposed", ..Operand::weights() }
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
    /// The modules that it mounts, the text that joins them, and what its operands and its epilogue bind.
    pub fn join(self, blocks: Blocks) -> Joined {
        let Composition { a, b, scale, stages, sink } = self;
        let path = |module: &str| module.replace('/', "::");
        let mut mounts = vec![("operand_a", a.view), ("operand_b", b.view), ("sink", sink.module)];
        let (stage_mounts, staged) = staged(&stages);
        mounts.extend(stage_mounts);

        let (source, row_offset) = (path(a.source), a.row_offset);
        let source_a = format!(
            "@publish import package::{source}::{{StoredQuad, quad, {row_offset} as row_offset, stored_quad}};\n"
        );
        let source_b = format!("@publish import package::{}::block;\n", path(b.source));
        let Blocks { m, n, k } = blocks;
        let product = format!(
            "@publish import package::{source}::{{StoredQuad, decoded}};\n\
             @publish import package::operand_a::{{A_IS_TRANSPOSED, a_block, a_column_offset, a_column_offsets, a_quad, a_row_offset, a_row_offsets}};\n\
             @publish import package::operand_b::{{B_IS_TRANSPOSED, b_block}};\n\
             @publish import package::{}::product_scale;\n\
             @publish import package::sink::store;\n\
             const M = {m}u;\nconst N = {n}u;\nconst K = {k}u;\n",
            path(scale.module)
        );
        let epilogue = stages.into_iter().chain([sink, scale]).flat_map(|part| part.bindings).collect();
        Joined {
            mounts,
            texts: vec![("source_a", source_a), ("source_b", source_b), ("product", product), ("stages", staged)],
            operands: [a.bindings, b.bindings].concat(),
            epilogue,
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
    pub operands: Vec<(Binding, Access)>,
    pub epilogue: Vec<(Binding, Access)>,
}
