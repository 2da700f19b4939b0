//! What the processes of a run share: gradients in every step, or weights now and then.

use std::sync::Arc;

use super::averaging::Averaging;
use super::buffers::Buffers;
use super::exchange::Exchange;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::kernel::accumulate::Parts;
use crate::plan::Plan;
use crate::processes::Processes;

/// What the processes of a run share.
pub(super) enum Shared {
    /// The gradients of every step.
    Gradients(Exchange),
    /// The weights after some steps.
    Weights(Averaging),
}

impl Shared {
    /// For the steps of a plan in these buffers; none where no other process computes any of its shards. Weights are shared where they are averaged after every so many steps.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub async fn new(
        gpu: &Gpu,
        plan: &Plan,
        buffers: &Buffers,
        processes: &Arc<dyn Processes>,
        sync_every: Option<u64>,
    ) -> Result<Option<Self>, Error> {
        let Parts::Shards(shards) = plan.parts else { return Ok(None) };
        if shards.own == shards.all {
            return Ok(None);
        }
        Ok(Some(match sync_every {
            None => Shared::Gradients(Exchange::new(gpu, plan, buffers, processes, shards).await?),
            Some(every) => Shared::Weights(Averaging::new(gpu, plan, buffers, processes, shards, every).await?),
        }))
    }

    /// The steps until the processes tell each other anything, where as many were done since the weights were new.
    pub fn left(&self, steps_done: u64) -> u64 {
        match self {
            Shared::Gradients(_) => 1,
            Shared::Weights(averaging) => averaging.left(steps_done),
        }
    }
}
