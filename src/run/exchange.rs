//! What the processes of a run tell each other in each step: the sums of their shards' gradients, and the running sums of their rows.

use std::ops::Range;
use std::sync::Arc;

use super::buffers::Buffers;
use super::state::STEP_WORD;
use super::sums::Sums;
use crate::error::Error;
use crate::gpu::{Buffer, Encoder, Gpu, Readback, Traffic};
use crate::kernel::accumulate::Parts;
use crate::plan::{Plan, Role, STATE_BYTES};
use crate::processes::{self, Processes};
use crate::training::Shards;

/// What is copied out between a step's gradients and its updates, told to the other processes, and copied in.
pub(crate) struct Exchange {
    processes: Arc<dyn Processes>,
    shards: Shards,
    /// Of each parameter, the sum of gradients, and how many of its bytes are the sum over all of this process's shards.
    gradients: Vec<(Buffer, u64)>,
    /// Values of each shard: the running sums of its rows, and the sum of their weights where the loss has a weighted mean.
    of_shards: Vec<Buffer>,
    state: Buffer,
    copies: Readback,
}

/// What the exchange of a step has told.
pub(crate) struct Told {
    /// The running sums over the rows of all processes.
    pub sums: Sums,
    /// Whether any process wants the run to end.
    pub ends: bool,
    /// Bytes that were sent.
    pub sent: u64,
}

impl Exchange {
    /// For the steps of a plan in these buffers; none where no other process computes any of its shards.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub async fn new(
        gpu: &Gpu,
        plan: &Plan,
        buffers: &Buffers,
        processes: &Arc<dyn Processes>,
    ) -> Result<Option<Self>, Error> {
        let Parts::Shards(shards) = plan.parts else { return Ok(None) };
        if shards.own == shards.all {
            return Ok(None);
        }
        let sums = plan.buffers.iter().filter(|buffer| matches!(buffer.role, Role::GradientSum(_)));
        let gradients: Vec<_> = sums.map(|sum| (buffers[&sum.role].clone(), sum.bytes / sum.shape[0])).collect();
        let of_shards = [Role::Stats, Role::Shares].iter().filter_map(|role| buffers.get(role)).cloned().collect();
        let mut exchange = Exchange {
            processes: Arc::clone(processes),
            shards,
            gradients,
            of_shards,
            state: buffers[&Role::State].clone(),
            copies: Readback::new(gpu, 4).await?,
        };
        exchange.copies =
            Readback::new(gpu, exchange.sources().iter().map(|(_, range)| range.end - range.start).sum()).await?;
        Ok(Some(exchange))
    }

    /// What is copied out: the gradients, this process's own values of its shards, and the state.
    fn sources(&self) -> Vec<(&Buffer, Range<u64>)> {
        let gradients = self.gradients.iter().map(|(buffer, bytes)| (buffer, 0..*bytes));
        let own = self.of_shards.iter().map(|buffer| (buffer, self.own(buffer)));
        gradients.chain(own).chain([(&self.state, 0..STATE_BYTES)]).collect()
    }

    /// Which bytes of a buffer with values of all shards are this process's own.
    fn own(&self, buffer: &Buffer) -> Range<u64> {
        let each = buffer.size() / u64::from(self.shards.all);
        let first = each * u64::from(self.shards.first);
        first..first + each * u64::from(self.shards.own)
    }

    /// Records the copies, behind the gradients.
    pub fn copy_out(&self, encoder: &mut Encoder) {
        self.copies.copy_ranges(encoder, self.sources());
    }

    /// Asks for the copies, once their recording has been submitted.
    pub fn request(&mut self) -> Result<(), Error> {
        self.copies.request()
    }

    /// Waits for the copies, tells them to the other processes, and writes what these told, for what is submitted next.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed, and what kept the other processes from answering.
    pub async fn tell(&mut self, gpu: &Gpu, traffic: &mut Traffic, ends: bool) -> Result<Told, Error> {
        let mut words: Vec<u32> = self.copies.wait(gpu, traffic).await?;
        let gradient_words = self.gradients.iter().map(|(_, bytes)| *bytes as usize / 4).sum();
        let (gradients, others) = words.split_at_mut(gradient_words);
        let (own, state) = others.split_at(others.len() - STATE_BYTES as usize / 4);
        let message = [own, &[ends.into()]].concat();
        let all = processes::gather(&*self.processes, bytemuck::cast_slice(&message))?;
        let all: Vec<u32> = bytemuck::pod_collect_to_vec(&all);
        processes::sum(&*self.processes, bytemuck::cast_slice_mut(gradients))?;

        let mut at = 0;
        for (buffer, bytes) in &self.gradients {
            let words = *bytes as usize / 4;
            gpu.write(buffer, &gradients[at..at + words]);
            at += words;
        }
        let (mut sums, mut at) = (Sums::default(), 0);
        for buffer in &self.of_shards {
            let own = self.own(buffer);
            let words = (own.end - own.start) as usize / 4;
            let of_all = all.chunks(message.len()).flat_map(|message| &message[at..at + words]);
            let of_all: Vec<u32> = of_all.copied().collect();
            gpu.write(buffer, &of_all);
            if at == 0 {
                sums = Sums::of_both(&of_all, state);
            }
            at += words;
        }
        // The step moves on with its updates.
        sums.step = state[STEP_WORD] + 1;
        let ends = all.chunks(message.len()).any(|message| message[at] != 0);
        let count = self.processes.count() as u64;
        let sent = (count - 1) * (4 * message.len() as u64 + 2 * 4 * gradient_words as u64 / count);
        Ok(Told { sums, ends, sent })
    }
}
