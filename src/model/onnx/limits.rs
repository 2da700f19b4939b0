//! Which files can be read and written, in words for messages.

use super::proto::NodeProto;

/// The longest file: protobuf allows 2 GiB.
pub(super) const LONGEST: u64 = i32::MAX as u64;

/// What a readable graph consists of.
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

/// A name for messages, cut to its first letters if it is long.
pub(super) fn short(name: &str) -> String {
    const MOST: usize = 80;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.into(),
    }
}
