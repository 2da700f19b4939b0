//! What layers learn, or keep of what they saw: matrices, each with a bias or without.

use crate::initializer::Initializer;
use crate::layout::Dense;

/// A matrix that a layer has, with its bias where it has one: weights, or what a norm scales by, or its running statistics. In files it is the tensor
/// `NAME.weight`, laid out as PyTorch does, and `NAME.bias`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Parameter {
    /// The layer's name in files, as `0` or `2.body.0`.
    pub name: String,
    /// The layer's location, as errors name it: `layer 1`, or `layer 2's body, layer 1`.
    pub location: String,
    /// Values that each output is made from: features, or a window's taps times the channels of a group.
    pub inputs: usize,
    /// Units, or channels, that go out.
    pub outputs: usize,
    /// What it holds.
    pub kind: ParameterKind,
    /// Whether it has a bias.
    pub bias: bool,
    /// How its values begin, where the layer has an initializer of its own.
    pub initializer: Option<Initializer>,
    /// How its rows lie on the device.
    pub(crate) rows: RowOrder,
}

/// What a [`Parameter`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterKind {
    /// A dense layer's matrix: `[outputs, inputs]` in files.
    Matrix,
    /// A convolution's weights: `[outputs, channels of a group, down, across]` in files.
    Kernel {
        /// Taps down and across.
        size: [usize; 2],
    },
    /// The matrices of an attention that make its queries, keys and values, side by side: `[outputs, inputs]` in files, where they are `in_proj_weight` and
    /// `in_proj_bias`.
    Projection,
    /// A vector for each token, or for each place of a sequence: `[inputs, outputs]` in files.
    Embedding,
    /// What a norm multiplies each channel by, and the bias that it adds: `[outputs]` in files.
    Scale,
    /// The running mean of each channel and, in place of a bias, its running variance: the tensors `running_mean` and `running_var`. No optimizer changes
    /// them.
    Statistics,
}

/// The order of a matrix's inputs in files, which is channel by channel as in PyTorch, and on the device, where a place has all of its channels side by side. A
/// sequence is place by place in files, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowOrder {
    /// Channels of a place.
    pub channels: usize,
    /// Pixels of an image that was flattened, or taps of a window; 1 where inputs are features.
    pub places: usize,
    /// Whether a place begins a quad of its own.
    pub whole_quads: bool,
    /// Whether files have them place by place.
    pub by_place: bool,
}

impl RowOrder {
    /// Features, in the same order everywhere.
    pub fn features(features: usize) -> Self {
        RowOrder { channels: features, places: 1, whole_quads: false, by_place: false }
    }

    /// Rows from one place to the next.
    fn stride(self) -> usize {
        if self.whole_quads { self.channels.next_multiple_of(4) } else { self.channels }
    }

    /// The number of rows on the device, without the bias's.
    pub fn count(self) -> usize {
        self.places.saturating_mul(self.stride())
    }

    /// The row on the device of an input, counted as in files.
    pub fn of(self, input: usize) -> usize {
        match self.by_place {
            true => input / self.channels * self.stride() + input % self.channels,
            false => input % self.places * self.stride() + input / self.places,
        }
    }
}

impl ParameterKind {
    /// What its two tensors are called, after the layer's name.
    pub(crate) fn tensors(self) -> [&'static str; 2] {
        match self {
            ParameterKind::Statistics => ["running_mean", "running_var"],
            ParameterKind::Projection => ["in_proj_weight", "in_proj_bias"],
            _ => ["weight", "bias"],
        }
    }
}

impl Parameter {
    /// The names of its tensors in files: the second is that of its bias, where it has one.
    pub fn tensor_names(&self) -> [String; 2] {
        self.kind.tensors().map(|part| format!("{}.{part}", self.name))
    }

    /// Whether an optimizer updates it.
    pub fn is_trained(&self) -> bool {
        self.kind != ParameterKind::Statistics
    }

    /// The shape of its first tensor in files.
    pub fn shape(&self) -> Vec<usize> {
        match self.kind {
            ParameterKind::Matrix | ParameterKind::Projection => vec![self.outputs, self.inputs],
            ParameterKind::Embedding => vec![self.inputs, self.outputs],
            ParameterKind::Kernel { size: [down, across] } => {
                vec![self.outputs, self.inputs / down.saturating_mul(across).max(1), down, across]
            }
            ParameterKind::Scale | ParameterKind::Statistics => vec![self.outputs],
        }
    }

    /// The number of values, the bias included.
    pub fn count(&self) -> usize {
        self.inputs.saturating_add(self.bias.into()).saturating_mul(self.outputs)
    }

    /// Its size on the device, as a layer's of `batch` rows.
    pub(crate) fn dense(&self, batch: u32) -> Dense {
        Dense { batch, inputs: self.rows.count() as u32, outputs: self.outputs as u32 }
    }
}
