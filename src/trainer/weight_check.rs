//! Whether all weights are finite, by their bits, counted on the device: no loss has seen the last update, and behind a tanh or a sigmoid none
//! ever may.

use super::runner::Buffers;
use crate::gpu::{Buffer, Checks, Encoder, Gpu, Program, Readback, Traffic};
use crate::kernel::gradient_norm;
use crate::plan::Role;
use crate::{Error, Network};

/// Counts what is not finite, again and again.
pub(super) struct WeightCheck {
    program: Program,
    /// `[layers, 2]` f32: the sum of a layer's squares, and the number of its quads that are not finite.
    norms: Buffer,
    copy: Readback,
}

impl WeightCheck {
    /// Bytes of its buffer; of what that is read by as well.
    pub fn bytes(network: &Network) -> u64 {
        8 * network.layers().len() as u64
    }

    pub fn new(gpu: &Gpu, network: &Network, model: &Buffers, checks: Checks) -> Result<Self, Error> {
        let bytes = WeightCheck::bytes(network);
        let (norms, copy) = (gpu.zeros("the norms of the weights", bytes)?, Readback::new(gpu, bytes)?);
        let dense = network.dense_layers(1).into_iter().enumerate();
        let launches: Vec<_> = dense.map(|(layer, dense)| gradient_norm::launch(dense, layer, None)).collect();
        let weights = |layer| &model[&Role::Weights(layer)];
        let bindings: Vec<_> =
            launches.iter().enumerate().map(|(layer, launch)| (launch, vec![weights(layer), &norms])).collect();
        Ok(WeightCheck { program: Program::new(gpu, &bindings, checks)?, norms, copy })
    }

    /// Records the counting, and the copy that is [asked for](Self::request) once it has been submitted.
    pub fn record(&self, encoder: &mut Encoder) {
        self.program.record(encoder, 1);
        self.copy.copy(encoder, &[&self.norms]);
    }

    pub fn request(&mut self) {
        self.copy.request();
    }

    /// What was counted, waiting where it has not arrived.
    pub async fn are_finite(&mut self, gpu: &Gpu, traffic: &mut Traffic) -> Result<bool, Error> {
        let norms: Vec<[f32; 2]> = self.copy.wait(gpu, traffic).await?;
        Ok(norms.iter().all(|&[_, bad_quads]| bad_quads == 0.0))
    }
}
