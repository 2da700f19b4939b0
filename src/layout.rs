//! How tensors lie in device memory: rows of quads (four elements), minibatches of blocks of four rows. Nothing else knows of padding.

/// The sizes of one dense layer in one minibatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Rows of a minibatch.
    pub batch: u32,
    /// Features that come in.
    pub inputs: u32,
    /// Units that go out.
    pub outputs: u32,
}

impl Dense {
    /// Quads (groups of four) in a row of the input: its features and the 1 that the bias is multiplied by.
    pub fn x_quads(self) -> u32 {
        quads_with_one(self.inputs)
    }

    /// Quads in a row of the weights.
    pub fn out_quads(self) -> u32 {
        self.outputs.div_ceil(4)
    }

    /// Quads in a row of the output as the next layer reads it.
    pub fn y_quads(self) -> u32 {
        quads_with_one(self.outputs)
    }

    /// Whether the 1 after a row's last output begins a quad of its own: the outputs fill whole quads.
    pub(crate) fn one_in_own_quad(self) -> bool {
        self.y_quads() > self.out_quads()
    }

    /// Groups of four rows in a minibatch.
    pub fn batch_blocks(self) -> u32 {
        self.batch.div_ceil(4)
    }

    /// Shape of the weights in device memory: `[inputs and bias, outputs]`, both rounded up to multiples of four.
    pub fn weights_shape(self) -> [u32; 2] {
        [4 * self.x_quads(), 4 * self.out_quads()]
    }

    /// Multiply-adds of one product of this layer, as floating-point operations.
    pub(crate) fn flops(self) -> u64 {
        2 * u64::from(self.batch) * u64::from(self.inputs + 1) * u64::from(self.outputs)
    }

    /// Quads of the weights, padding included.
    pub fn weight_quads(self) -> u32 {
        4 * self.x_quads() * self.out_quads()
    }

    /// Bytes of the weights, padding included.
    pub(crate) fn weights_bytes(self) -> u64 {
        let [rows, columns] = self.weights_shape();
        4 * u64::from(rows) * u64::from(columns)
    }

    /// Bytes of the output in one minibatch, up to its last quad.
    pub(crate) fn output_bytes(self) -> u64 {
        16 * u64::from(self.batch) * u64::from(self.out_quads())
    }
}

/// Quads in a row of `features` values followed by a 1.
pub(crate) fn quads_with_one(features: u32) -> u32 {
    features / 4 + 1
}
