//! What files can be read and written, and how messages say so.

use super::proto::NodeProto;

/// The longest file: what protobuf allows, 2 GiB.
pub(super) const LONGEST: u64 = i32::MAX as u64;

/// What a file can be made of.
pub(super) const FITS: &str = "a model is a chain of Gemm, or MatMul and Add, with relu, leaky-relu, elu, gelu, silu, tanh, sigmoid or softplus \
                    between them, residual sums, Sub and Mul before it and Softmax, LogSoftmax or Sigmoid at its end";

/// A node, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub at: usize,
    pub node: &'a NodeProto,
}

impl Place<'_> {
    /// What is to be said of it.
    pub fn say(&self, reason: &str) -> String {
        format!("node {}, {} \"{}\": {reason}", self.at, short(&self.node.op_type), short(&self.node.name))
    }
}

/// A name for messages: as many of its letters as a line has room for.
pub(super) fn short(name: &str) -> String {
    const MOST: usize = 80;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.into(),
    }
}
