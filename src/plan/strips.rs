//! Whether the last layer and the loss go over a step's rows a strip at a time: where the vocabulary is large, the logits of all places would be most of a step's
//! memory. Each strip's logits make its loss and their part of all gradients before the next strip's take their place, so that nothing is computed twice: a second
//! walk over the vocabulary, which keeps no logits at all, would compute each once more.

use super::Request;
use crate::graph::{Graph, NodeId, Op, Value};
use crate::kernel::strips::Strips;
use crate::layout::{Conv, Extent, Image, Sliding};

/// A last layer whose logits are in memory for a strip of rows only.
#[derive(Clone, Copy, Debug)]
pub(super) struct InStrips {
    pub strips: Strips,
    /// The product that makes the logits.
    product: NodeId,
    logits: Value,
    /// The gradient by the logits, where it trains.
    gradient: Option<Value>,
}

impl InStrips {
    /// Where the last layer is a product of each place, which nothing but the loss and metrics read.
    pub fn of(graph: &Graph, request: Request<'_>) -> Option<Self> {
        request.network.places()?;
        let (_, loss) = graph.nodes().find(|(_, node)| matches!(node.op, Op::Loss(_)))?;
        let logits = loss.inputs[0];
        let product = graph.maker(logits);
        let is_of_places = match graph.node(product).op {
            Op::Tied(_) => true,
            Op::Conv2d(own) => own.conv.is_pointwise(),
            _ => false,
        };
        let judges = |reader| matches!(graph.node(reader).op, Op::Loss(_) | Op::Metrics(_));
        let Extent { rows, width, .. } = Extent::of(graph.shape(logits));
        let strips = Strips::of(rows, width).filter(|_| is_of_places && graph.readers(logits).all(judges))?;
        Some(InStrips { strips, product, logits, gradient: loss.results.get(1).copied() })
    }

    /// Whether it is the node that a strip begins with.
    pub fn begins_with(&self, id: NodeId) -> bool {
        id == self.product
    }

    /// Whether a node goes over the rows of a strip.
    pub fn has(&self, graph: &Graph, id: NodeId) -> bool {
        let reads = |value: Value| graph.node(id).inputs.contains(&value);
        self.begins_with(id) || reads(self.logits) || self.gradient.is_some_and(reads)
    }

    /// How a value of the step lies, which has this extent where all of it is in memory.
    pub fn extent(&self, value: Value, whole: Extent) -> Extent {
        let is_of_strip = value == self.logits || Some(value) == self.gradient;
        if is_of_strip { Extent { rows: self.strips.rows, ..whole } } else { whole }
    }

    /// The sizes of the product over a strip: its rows as images of one pixel.
    pub fn conv(&self, conv: Conv) -> Conv {
        let pixel = |image: Image| Image { height: 1, width: 1, ..image };
        let Sliding { input, output, window, .. } = conv.sliding;
        let sliding = Sliding { batch: self.strips.rows, input: pixel(input), output: pixel(output), window };
        Conv { sliding, ..conv }
    }
}
