//! Which files can be read and written, in words for messages.

use super::proto::NodeProto;

/// The longest file: protobuf allows 2 GiB.
pub(super) const LONGEST: u64 = i32::MAX as u64;

/// What a readable graph consists of.
pub(super) const FITS: &str = "a model is a chain of Gemm, or MatMul and Add, and of images Conv, pools and norms, with relu, leaky-relu, elu, gelu, silu, tanh, \
                    sigmoid or softplus between them, residual sums, Sub and Mul before it and Softmax, LogSoftmax or Sigmoid at its end";

/// What is wrong with an image that has zeros around it.
pub(super) const PADDED: &str = "it takes an image with the zeros that a Pad put around it: only Conv may";

/// What is wrong with a graph of tokens that is not as it is written here.
pub(super) const TOKENS: &str = "it looks up a vector for each token, and a graph of tokens is read only as wgrad wrote it: import the state dict, as \
                     safetensors";

/// A node, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub at: usize,
    pub node: &'a NodeProto,
}

impl Place<'_> {
    /// What it is called.
    pub fn name(&self) -> String {
        format!("node {}, {} \"{}\"", self.at, short(&self.node.op_type), short(&self.node.name))
    }

    /// What is to be said of it.
    pub fn say(&self, reason: &str) -> String {
        format!("{}: {reason}", self.name())
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

/// The largest number of an attribute: no layer's is larger.
pub(super) const LARGEST: i64 = 1 << 24;

/// A number of things, which an attribute of this name gives.
pub(super) fn positive(number: i64, name: &str) -> Result<usize, String> {
    let valid = (1..=LARGEST).contains(&number);
    valid.then_some(number as usize).ok_or_else(|| format!("its {name} is {number}: it must be from 1 to {LARGEST}"))
}
