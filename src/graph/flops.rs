//! The floating-point operations of a forward pass by its formulas: without padding, the same for every kernel and tile.

use super::{Graph, Node, Op, Over};

impl Graph {
    /// The floating-point operations of a node of the forward pass, a multiply-add as two: of products with their bias, of pools one for each value that they
    /// look at, of sums one a value, and of norms the operations of their formula. Activations, dropout and what moves values count as none. Of the ops of
    /// other passes, 0.
    pub(crate) fn forward_flops(&self, node: &Node) -> u64 {
        let values = |at: usize| self.shape(node.inputs[at]).iter().map(|&side| u64::from(side)).product::<u64>();
        let results = || self.shape(node.result()).iter().map(|&side| u64::from(side)).product::<u64>();
        match &node.op {
            Op::Linear(_) => 2 * u64::from(self.shape(node.inputs[0])[0]) * values(1),
            Op::Conv2d(own) => {
                let taps = u64::from(own.conv.sliding.window.taps()) * u64::from(own.conv.group_channels());
                2 * results() * (taps + u64::from(own.conv.bias))
            }
            Op::MaxPool(own) => results() * u64::from(own.sliding.window.taps()),
            Op::AveragePool(own) => results() * u64::from(own.0.window.taps()),
            Op::GlobalAveragePool(_) => values(0),
            // A multiply-add by what the running statistics, γ and β come to.
            Op::BatchNorm(_) => 2 * values(0),
            // The sum of the squares, and the product by 1/σ and γ; with a mean its sum, and the differences from it twice; with β its sum.
            Op::RowNorm(own) => match own.over {
                Over::RootMeanSquare => 4 * values(0),
                Over::Row | Over::Groups(_) => 8 * values(0),
            },
            Op::Add(_) => values(0),
            _ => 0,
        }
    }
}
