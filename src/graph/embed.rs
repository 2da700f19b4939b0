//! Vectors for features that are categories, beside features that are numbers; and their gradients.

use std::fmt;

use super::operation::Operation;
use super::{Graph, Node, Shape, Value};

/// `y = [numbers, W₁[x[f₁]], W₂[x[f₂]], …]`: of a row x `[rows, features]` the features that are numbers, in their order, then for each that is a category its
/// vector. From x, and a table W for each of the columns, as that of an [`Embedding`](super::Embedding).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embed {
    /// The features that are categories, in the order of their vectors.
    pub columns: Vec<EmbedColumn>,
}

/// A feature that is a category: a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedColumn {
    /// Which feature of a row it is, from 0.
    pub feature: u32,
    /// The parameter that its table is.
    pub parameter: usize,
    /// The number of categories that there are.
    pub vocabulary: u32,
}

/// The gradient by a column's table: for each category, the sum of dy's values from `begin` on over the rows that have it; from dy and x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedWeights {
    /// The column.
    pub column: EmbedColumn,
    /// Where its vectors begin in a row of y.
    pub begin: u32,
    /// Values of a vector.
    pub width: u32,
}

impl Embed {
    /// Where the vectors of each column begin in a row of y, and their values, from the shapes of x and of the tables.
    pub(crate) fn slices(&self, inputs: &[&Shape]) -> Vec<(u32, u32)> {
        let numbers = inputs[0][1].saturating_sub(self.columns.len() as u32);
        let slice = |begin: &mut u32, table: &&Shape| {
            let own = (*begin, table[1]);
            *begin += table[1];
            Some(own)
        };
        inputs[1..].iter().scan(numbers, slice).collect()
    }
}

impl fmt::Display for Embed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "embed")?;
        self.columns.iter().try_for_each(|column| write!(f, " {}", column.parameter))
    }
}

impl fmt::Display for EmbedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "embed_weights {}", self.column.parameter)
    }
}

impl Operation for Embed {
    fn results(&self, inputs: &[&Shape]) -> Vec<Shape> {
        let end = self.slices(inputs).last().map_or(inputs[0][1], |(begin, width)| begin + width);
        vec![vec![inputs[0][0], end]]
    }

    fn backward(&self, graph: &mut Graph, node: &Node, upstream: Value, wanted: &[bool]) -> Vec<Option<Value>> {
        let shapes: Vec<&Shape> = node.inputs.iter().map(|&input| graph.shape(input)).collect();
        let of_tables: Vec<EmbedWeights> = (self.columns.iter().zip(self.slices(&shapes)))
            .map(|(&column, (begin, width))| EmbedWeights { column, begin, width })
            .collect();
        // Categories have no gradient, and numbers are the set's: the op is a network's first.
        let gradient =
            |(of, &wanted): (&EmbedWeights, &bool)| wanted.then(|| graph.add(*of, vec![upstream, node.inputs[0]]));
        [None].into_iter().chain(of_tables.iter().zip(&wanted[1..]).map(gradient)).collect()
    }
}

impl Operation for EmbedWeights {
    fn results(&self, _inputs: &[&Shape]) -> Vec<Shape> {
        vec![vec![self.column.vocabulary + 1, self.width]]
    }
}
